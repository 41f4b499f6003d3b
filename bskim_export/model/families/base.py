"""What every backbone family offers: a transformer layer, cut right behind its attention context."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from transformers import PretrainedConfig

Attend = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""attend(query, key, value, scaling): [N, k, heads, head_size] each -> context [..., heads * head_size]"""


@dataclass(frozen=True)
class LayerShape:
    """What a predictor must know of its layer."""

    num_heads: int
    head_size: int
    hidden_size: int

    @property
    def context_size(self) -> int:
        """Return the width of the attention context."""
        return self.num_heads * self.head_size


class Family(Protocol):
    """Access to the parts of a Hugging Face question-answering model.

    Everything that differs between encoders is behind this; docs/families.md says how to add one.

    position_offset: the position id of a window's first token; if above 0, padding has the one before it
    attention_dropout: dropout of attention probabilities in training
    intermediate_size: the inner width of a layer's FFN

    Raises:
        CheckpointError: by the constructor, if the config asks for a variant that the family does not support.
    """

    position_offset: int
    attention_dropout: float
    intermediate_size: int

    def __init__(self, config: PretrainedConfig): ...

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the transformer layers, one for each pass through the encoder; layers that share their weights are
        the same module several times."""

    def embedder(self, model: nn.Module) -> nn.Module:
        """Return what makes the hidden states that enter layer 0: called with input_ids, token_type_ids, position_ids,
        int64 [N, S] each (position_ids None: they are numbered as Hugging Face does) -> [N, S, H]."""

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        """Return a layer's attention context, with `attend` in place of the layer's own attention."""

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        """Return a layer's output: output projection, residual, LayerNorm, FFN. No token sees another."""

    def shape(self, layer: nn.Module) -> LayerShape:
        """Return a layer's shape."""

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        """Return a layer's query, key, value and output projections, whose features are those of its heads."""

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        """Tell a layer how many heads its projections have left."""

    def head(self, model: nn.Module) -> nn.Module:
        """Return what makes the start and end logits, dropout for training included: [..., H] -> [..., 2]."""

    def predictor_prefix(self, layer: int) -> str:
        """Return where the paper's released code keeps a layer's predictor in the state dict."""

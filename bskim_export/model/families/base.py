"""The interface of a backbone family: a transformer layer, cut right behind its attention context."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from transformers import PretrainedConfig

Attend = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""attend(query, key, value, scaling): [N, k, heads, head_size] each -> context [..., heads * head_size]"""


@dataclass(frozen=True)
class LayerShape:
    """The sizes of a layer, as its predictor needs them.

    num_heads: attention heads, without those that were pruned
    head_size: width of a head's query, key and value
    hidden_size: width H of the hidden states
    """

    num_heads: int
    head_size: int
    hidden_size: int

    @property
    def context_size(self) -> int:
        """Return the width of the attention context."""
        return self.num_heads * self.head_size


class Family(Protocol):
    """Access to the parts of a Hugging Face question-answering model.

    Everything that differs between encoders is behind this; docs/families.md says how to add one. `model` is always the
    whole question-answering model, and `layer` an entry of `layers(model)`. Hugging Face's modules tell a type checker
    nothing of their members, so each family names those that it reads in small protocols of its own.

    position_offset: the position id of a window's first token; if above 0, padding has the one before it
    attention_dropout: dropout of attention probabilities in training
    intermediate_size: the inner width of a layer's FFN

    Raises:
        CheckpointError: by the constructor, if the config asks for a variant that the family does not support.
    """

    position_offset: int
    attention_dropout: float
    intermediate_size: int

    def __init__(self, config: PretrainedConfig) -> None: ...

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the transformer layers, one for each pass through the encoder.

        Layers that share their weights are the same module several times.
        """

    def embedder(self, model: nn.Module) -> nn.Module:
        """Return the module that makes the hidden states which enter layer 0.

        It takes input_ids, token_type_ids, position_ids, int64 [N, S] each, and gives [N, S, H]. With position_ids None
        it numbers the positions as Hugging Face does. It may be a new module at every call, made of the model's own.
        """

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        """Return a layer's attention context, with `attend` in place of the layer's own attention.

        Args:
            hidden: [N, k, H], the hidden states that enter the layer

        Returns:
            [..., heads * head_size]: the shape that `attend` gives
        """

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        """Return a layer's output: output projection, residual, LayerNorm, FFN. No token sees another.

        Args:
            context: [N, k, heads * head_size], the attention context
            residual: [N, k, H], the hidden states that entered the layer

        Returns:
            [N, k, H]
        """

    def shape(self, layer: nn.Module) -> LayerShape:
        """Return a layer's shape."""

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        """Return a layer's query, key, value and output projections: the layer's own modules, for pruning to shorten.

        The outputs of the first three, and the inputs of the last, are heads * head_size features, head by head.
        """

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        """Set how many heads a layer computes with, after its projections were shortened to that many.

        Everything that the layer derives from the number is set too, so that Hugging Face's own forward works as well
        as `context` and `shape`. The projections stay as they are.
        """

    def head(self, model: nn.Module) -> nn.Module:
        """Return the question-answering head: hidden states [..., H] -> start and end logits [..., 2].

        It includes the dropout that the model has before it in training. It may be a new module at every call, made of
        the model's own.
        """

    def predictor_prefix(self, layer: int) -> str:
        """Return where the paper's released code keeps the predictor of layer number `layer` in the state dict."""

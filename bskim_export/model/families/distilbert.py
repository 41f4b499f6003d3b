"""DistilBERT: BERT without token types and pooler, and with names of its own."""

from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor, nn
from transformers import PretrainedConfig

from bskim_export.model.families.base import Attend, LayerShape


class AttentionLike(Protocol):
    """The members of `layer.attention` that the family uses."""

    q_lin: nn.Linear
    k_lin: nn.Linear
    v_lin: nn.Linear
    out_lin: nn.Linear
    n_heads: int
    attention_head_size: int
    scaling: float


class FeedForwardLike(Protocol):
    """The member of `layer.ffn` that the family uses."""

    def ff_chunk(self, attended: Tensor, /) -> Tensor: ...


class DistilBertLayerLike(Protocol):
    """The members of a layer that the family uses."""

    attention: AttentionLike
    sa_layer_norm: nn.Module
    ffn: FeedForwardLike
    output_layer_norm: nn.Module


class Embedder(nn.Module):
    """Word and position embeddings, learned or sinusoidal: there are no token types."""

    def __init__(self, embeddings: nn.Module):
        super().__init__()
        self.embeddings = embeddings

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor | None) -> Tensor:
        return self.embeddings(input_ids=input_ids, position_ids=position_ids)


class DistilBertFamily:
    """Encoders with `transformer.layer[i].{attention,ffn}` and dropout before the `qa_outputs` head.

    The released code keeps the predictors beside the layers, in a list of their own.
    """

    position_offset = 0

    def __init__(self, config: PretrainedConfig) -> None:
        self.attention_dropout: float = config.attention_dropout
        self.intermediate_size: int = config.hidden_dim

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        return list(model.get_submodule("distilbert.transformer.layer").children())

    def embedder(self, model: nn.Module) -> nn.Module:
        return Embedder(model.get_submodule("distilbert.embeddings"))

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        own = cast(DistilBertLayerLike, layer).attention
        split = (own.n_heads, own.attention_head_size)
        query, key, value = (p(hidden).unflatten(-1, split) for p in (own.q_lin, own.k_lin, own.v_lin))
        return attend(query, key, value, own.scaling)

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        own = cast(DistilBertLayerLike, layer)
        attended = own.sa_layer_norm(own.attention.out_lin(context) + residual)
        return own.output_layer_norm(own.ffn.ff_chunk(attended) + attended)

    def shape(self, layer: nn.Module) -> LayerShape:
        own = cast(DistilBertLayerLike, layer).attention
        return LayerShape(own.n_heads, own.attention_head_size, own.out_lin.out_features)

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        own = cast(DistilBertLayerLike, layer).attention
        return own.q_lin, own.k_lin, own.v_lin, own.out_lin

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        cast(DistilBertLayerLike, layer).attention.n_heads = num_heads

    def head(self, model: nn.Module) -> nn.Module:
        return nn.Sequential(model.get_submodule("dropout"), model.get_submodule("qa_outputs"))

    def predictor_prefix(self, layer: int) -> str:
        return f"distilbert.transformer.skim_predictors.{layer}."

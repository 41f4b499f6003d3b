"""ALBERT: few layers' weights, shared by many layers, and an embedding narrower than they are."""

from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor, nn
from transformers import PretrainedConfig

from bskim_export.errors import CheckpointError
from bskim_export.model.families.base import Attend, LayerShape
from bskim_export.model.families.bert import Embedder


class AttentionLike(Protocol):
    """The members of `layer.attention` that the family uses."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    dense: nn.Linear
    output_dropout: nn.Module
    LayerNorm: nn.Module
    num_attention_heads: int
    attention_head_size: int
    all_head_size: int
    scaling: float


class AlbertLayerLike(Protocol):
    """The members of a layer that the family uses."""

    attention: AttentionLike
    full_layer_layer_norm: nn.Module

    def ff_chunk(self, attention_output: Tensor, /) -> Tensor: ...


class AlbertFamily:
    """Encoders whose layers are passes through `encoder.albert_layer_groups`; each pass has a predictor of its own.

    Raises:
        CheckpointError: a group has several inner layers. Then the released code skims by the first one's attention
            after the last one, and dropping behind the attention context would not give its numbers. No published
            ALBERT is made so.
    """

    position_offset = 0

    def __init__(self, config: PretrainedConfig) -> None:
        if config.inner_group_num != 1:
            raise CheckpointError(
                f"ALBERT models with inner_group_num {config.inner_group_num} are not supported, only with 1: "
                "their skim points would lie inside a group."
            )
        self.attention_dropout: float = config.attention_probs_dropout_prob
        self.intermediate_size: int = config.intermediate_size
        self._passes: int = config.num_hidden_layers

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        groups = list(model.get_submodule("albert.encoder.albert_layer_groups").children())
        share = self._passes / len(groups)  # rounded as Hugging Face rounds it
        return [groups[int(i / share)].get_submodule("albert_layers.0") for i in range(self._passes)]

    def embedder(self, model: nn.Module) -> nn.Module:
        encoder = model.get_submodule("albert")
        project = encoder.get_submodule("encoder.embedding_hidden_mapping_in")
        return Embedder(encoder.get_submodule("embeddings"), project)

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        own = cast(AlbertLayerLike, layer).attention
        split = (own.num_attention_heads, own.attention_head_size)
        query, key, value = (p(hidden).unflatten(-1, split) for p in (own.query, own.key, own.value))
        return attend(query, key, value, own.scaling)

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        own = cast(AlbertLayerLike, layer)
        projected = own.attention.output_dropout(own.attention.dense(context))
        attended = own.attention.LayerNorm(residual + projected)
        return own.full_layer_layer_norm(own.ff_chunk(attended) + attended)

    def shape(self, layer: nn.Module) -> LayerShape:
        own = cast(AlbertLayerLike, layer).attention
        return LayerShape(own.num_attention_heads, own.attention_head_size, own.dense.out_features)

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        own = cast(AlbertLayerLike, layer).attention
        return own.query, own.key, own.value, own.dense

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        own = cast(AlbertLayerLike, layer).attention
        own.num_attention_heads = num_heads
        own.all_head_size = num_heads * own.attention_head_size

    def head(self, model: nn.Module) -> nn.Module:
        return model.get_submodule("qa_outputs")

    def predictor_prefix(self, layer: int) -> str:
        return f"albert.encoder.skim_predictors.{layer}."

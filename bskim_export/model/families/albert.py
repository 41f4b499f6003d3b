"""ALBERT: few layers' weights, shared by many layers, and an embedding narrower than they are."""

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PretrainedConfig

from bskim_export.errors import CheckpointError
from bskim_export.model.families.base import Attend, LayerShape
from bskim_export.model.families.bert import Embedder


class AlbertFamily:
    """Encoders whose layers are passes through `encoder.albert_layer_groups`; each pass has a predictor of its own.

    Raises:
        CheckpointError: a group has several inner layers. Then the released code skims by the first one's attention
            after the last one, and dropping behind the attention context would not give its numbers. No published
            ALBERT is made so.
    """

    position_offset = 0

    def __init__(self, config: PretrainedConfig):
        if config.inner_group_num != 1:
            raise CheckpointError(
                f"ALBERT models with inner_group_num {config.inner_group_num} are not supported, only with 1: "
                "their skim points would lie inside a group."
            )
        self.attention_dropout = config.attention_probs_dropout_prob
        self.intermediate_size = config.intermediate_size

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        groups, passes = model.albert.encoder.albert_layer_groups, model.config.num_hidden_layers
        share = passes / len(groups)  # rounded as Hugging Face rounds it
        return [groups[int(i / share)].albert_layers[0] for i in range(passes)]

    def embedder(self, model: nn.Module) -> nn.Module:
        return Embedder(model.albert.embeddings, model.albert.encoder.embedding_hidden_mapping_in)

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        own = layer.attention
        split = (own.num_attention_heads, own.attention_head_size)
        query, key, value = (p(hidden).unflatten(-1, split) for p in (own.query, own.key, own.value))
        return attend(query, key, value, own.scaling)

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        own = layer.attention
        attended = own.LayerNorm(residual + own.output_dropout(own.dense(context)))
        return layer.full_layer_layer_norm(layer.ff_chunk(attended) + attended)

    def shape(self, layer: nn.Module) -> LayerShape:
        own = layer.attention
        return LayerShape(own.num_attention_heads, own.attention_head_size, own.dense.out_features)

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        own = layer.attention
        return own.query, own.key, own.value, own.dense

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        own = layer.attention
        own.num_attention_heads, own.all_head_size = num_heads, num_heads * own.attention_head_size

    def head(self, model: nn.Module) -> nn.Module:
        return model.qa_outputs

    def predictor_prefix(self, layer: int) -> str:
        return f"albert.encoder.skim_predictors.{layer}."

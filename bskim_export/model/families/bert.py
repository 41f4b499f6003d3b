"""BERT and the models of its shape: MiniLM, ELECTRA, RoBERTa."""

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PretrainedConfig

from bskim_export.model.families.base import Attend, LayerShape


class Embedder(nn.Module):
    """Embeddings, and the projection of narrower ones (ELECTRA's, ALBERT's) to the width of the layers."""

    def __init__(self, embeddings: nn.Module, project: nn.Module):
        super().__init__()
        self.embeddings, self.project = embeddings, project

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor | None) -> Tensor:
        return self.project(
            self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids)
        )


class BertFamily:
    """Encoders with `embeddings`, `encoder.layer[i].attention.{self,output}` and a `qa_outputs` head."""

    def __init__(self, config: PretrainedConfig):
        self.base = config.model_type
        self.intermediate_size = config.intermediate_size
        # RoBERTa numbers its positions from behind the padding index
        self.position_offset = config.pad_token_id + 1 if config.model_type == "roberta" else 0
        self.attention_dropout = config.attention_probs_dropout_prob

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        return getattr(model, self.base).encoder.layer

    def embedder(self, model: nn.Module) -> nn.Module:
        encoder = getattr(model, self.base)
        return Embedder(encoder.embeddings, getattr(encoder, "embeddings_project", nn.Identity()))

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        own = layer.attention.self
        split = (own.num_attention_heads, own.attention_head_size)
        query, key, value = (p(hidden).unflatten(-1, split) for p in (own.query, own.key, own.value))
        return attend(query, key, value, own.scaling)

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        return layer.feed_forward_chunk(layer.attention.output(context, residual))

    def shape(self, layer: nn.Module) -> LayerShape:
        own = layer.attention.self
        return LayerShape(own.num_attention_heads, own.attention_head_size, layer.attention.output.dense.out_features)

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        own = layer.attention.self
        return own.query, own.key, own.value, layer.attention.output.dense

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        own = layer.attention.self
        own.num_attention_heads, own.all_head_size = num_heads, num_heads * own.attention_head_size

    def head(self, model: nn.Module) -> nn.Module:
        return model.qa_outputs

    def predictor_prefix(self, layer: int) -> str:
        return f"{self.base}.encoder.layer.{layer}.attention.self.skim_predictor."

"""DistilBERT: BERT without token types and pooler, and with names of its own."""

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PretrainedConfig

from bskim_export.model.families.base import Attend, LayerShape


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

    def __init__(self, config: PretrainedConfig):
        self.attention_dropout = config.attention_dropout
        self.intermediate_size = config.hidden_dim

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        return model.distilbert.transformer.layer

    def embedder(self, model: nn.Module) -> nn.Module:
        return Embedder(model.distilbert.embeddings)

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        own = layer.attention
        split = (own.n_heads, own.attention_head_size)
        query, key, value = (p(hidden).unflatten(-1, split) for p in (own.q_lin, own.k_lin, own.v_lin))
        return attend(query, key, value, own.scaling)

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        attended = layer.sa_layer_norm(layer.attention.out_lin(context) + residual)
        return layer.output_layer_norm(layer.ffn.ff_chunk(attended) + attended)

    def shape(self, layer: nn.Module) -> LayerShape:
        own = layer.attention
        return LayerShape(own.n_heads, own.attention_head_size, own.out_lin.out_features)

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        own = layer.attention
        return own.q_lin, own.k_lin, own.v_lin, own.out_lin

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        layer.attention.n_heads = num_heads

    def head(self, model: nn.Module) -> nn.Module:
        return nn.Sequential(model.dropout, model.qa_outputs)

    def predictor_prefix(self, layer: int) -> str:
        return f"distilbert.transformer.skim_predictors.{layer}."

"""BERT and the models of its shape: MiniLM, ELECTRA, RoBERTa."""

from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor, nn
from transformers import PretrainedConfig

from bskim_export.model.families.base import Attend, LayerShape


class SelfAttentionLike(Protocol):
    """The members of `layer.attention.self` that the family uses."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    num_attention_heads: int
    attention_head_size: int
    all_head_size: int
    scaling: float


class SelfOutputLike(Protocol):
    """The members of `layer.attention.output` that the family uses: projection, residual, LayerNorm."""

    dense: nn.Linear

    def __call__(self, hidden_states: Tensor, input_tensor: Tensor, /) -> Tensor: ...


class AttentionLike(Protocol):
    """The two halves of a layer's attention."""

    self: SelfAttentionLike
    output: SelfOutputLike


class BertLayerLike(Protocol):
    """The members of a layer that the family uses."""

    attention: AttentionLike

    def feed_forward_chunk(self, attention_output: Tensor, /) -> Tensor: ...


class Embedder(nn.Module):
    """Embeddings, and the projection of narrower ones (ELECTRA's, ALBERT's) to the width of the layers."""

    def __init__(self, embeddings: nn.Module, project: nn.Module):
        super().__init__()
        self.embeddings = embeddings
        self.project = project

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor | None) -> Tensor:
        return self.project(
            self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids)
        )


class BertFamily:
    """Encoders with `embeddings`, `encoder.layer[i].attention.{self,output}` and a `qa_outputs` head."""

    def __init__(self, config: PretrainedConfig) -> None:
        self.base: str = config.model_type
        self.intermediate_size: int = config.intermediate_size
        # RoBERTa numbers its positions from behind the padding index
        self.position_offset: int = config.pad_token_id + 1 if config.model_type == "roberta" else 0
        self.attention_dropout: float = config.attention_probs_dropout_prob

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        return list(model.get_submodule(f"{self.base}.encoder.layer").children())

    def embedder(self, model: nn.Module) -> nn.Module:
        encoder = model.get_submodule(self.base)
        project = getattr(encoder, "embeddings_project", nn.Identity())  # ELECTRA's, if its embeddings are narrower
        return Embedder(encoder.get_submodule("embeddings"), project)

    def context(self, layer: nn.Module, hidden: Tensor, attend: Attend) -> Tensor:
        own = cast(BertLayerLike, layer).attention.self
        split = (own.num_attention_heads, own.attention_head_size)
        query, key, value = (p(hidden).unflatten(-1, split) for p in (own.query, own.key, own.value))
        return attend(query, key, value, own.scaling)

    def rest(self, layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
        own = cast(BertLayerLike, layer)
        return own.feed_forward_chunk(own.attention.output(context, residual))

    def shape(self, layer: nn.Module) -> LayerShape:
        own = cast(BertLayerLike, layer).attention
        return LayerShape(own.self.num_attention_heads, own.self.attention_head_size, own.output.dense.out_features)

    def projections(self, layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        own = cast(BertLayerLike, layer).attention
        return own.self.query, own.self.key, own.self.value, own.output.dense

    def set_num_heads(self, layer: nn.Module, num_heads: int) -> None:
        own = cast(BertLayerLike, layer).attention.self
        own.num_attention_heads = num_heads
        own.all_head_size = num_heads * own.attention_head_size

    def head(self, model: nn.Module) -> nn.Module:
        return model.get_submodule("qa_outputs")

    def predictor_prefix(self, layer: int) -> str:
        return f"{self.base}.encoder.layer.{layer}.attention.self.skim_predictor."

"""A Hugging Face encoder with skim predictors, and the reference for all that is exported."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering, PretrainedConfig

from bskim_export.blocks import KEPT
from bskim_export.errors import CheckpointError
from bskim_export.model.attention import WindowAttention
from bskim_export.model.families import find_family
from bskim_export.model.families.base import LayerShape
from bskim_export.model.outputs import DROPPED, ReferenceOutput, SkimOutput
from bskim_export.model.predictors import PREDICTORS
from bskim_export.model.predictors.base import BlockView, SkimPredictor, reads_map, view_blocks
from bskim_export.model.pruning import prune_heads
from bskim_export.model.retrieval import RetrievalPredictor
from bskim_export.model.skim_config import SkimConfig, position_limit


class BlockSkimForQuestionAnswering(nn.Module):
    """A Hugging Face question-answering model with a skim predictor at each chosen layer.

    Args:
        config: the Hugging Face config of a supported encoder (docs/families.md lists them)
        skim: block size, layers, thresholds; default: as the config says

    Raises:
        CheckpointError: the model type is not supported, or the settings do not fit it.

    Example:
        >>> from transformers import BertConfig
        >>> config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        >>> config.augment_layers = [0, 1]
        >>> model = BlockSkimForQuestionAnswering(config)
        >>> out = model(torch.ones(1, 64, dtype=torch.long))
        >>> out.start_logits.shape, out.skim_logits[1].shape
        (torch.Size([1, 64]), torch.Size([1, 2, 2]))
    """

    def __init__(self, config: PretrainedConfig, skim: SkimConfig | None = None):
        super().__init__()
        self.config = config
        self.skim = skim or SkimConfig.from_hf(config)
        self.family = find_family(config)
        # Its own forward is what threshold 0 must reproduce, so it computes as plainly as possible.
        self.backbone: nn.Module = AutoModelForQuestionAnswering.from_config(
            config, trust_remote_code=False, attn_implementation="eager"
        )
        if pruned := getattr(config, "pruned_heads", None):
            prune_heads(self.backbone, self.family, {int(i): heads for i, heads in pruned.items()})
        self.predictors = self._fresh_predictors()
        self.retrieval = self._fresh_retrieval()

    def prune_heads(self, pruned: Mapping[int, Sequence[int]]) -> None:
        """Remove attention heads, per layer. Predictors start anew.

        Args:
            pruned: per layer, the heads to remove

        Raises:
            CheckpointError: heads were pruned before, or as pruning.prune_heads says.
        """
        if getattr(self.config, "pruned_heads", None):
            raise CheckpointError("The model's heads have been pruned already.")
        prune_heads(self.backbone, self.family, pruned)
        self.config.pruned_heads = {str(i): list(heads) for i, heads in pruned.items()}
        self.predictors = self._fresh_predictors()

    def add_predictors(self, layers: Sequence[int], predictor: str = "diagonal", block_size: int | None = None) -> None:
        """Give these layers fresh predictors, to be trained, and the default threshold; other layers lose theirs.

        Args:
            predictor: its kind, a key of PREDICTORS
            block_size: default: the model's own

        Raises:
            CheckpointError: a layer that the model does not have, an unknown kind, a block size that does not fit.
        """
        self.config.block_size = block_size or self.skim.block_size
        self.config.skim_predictor = predictor
        self.skim = replace(SkimConfig.from_hf(self.config, layers), max_seq_len=self.skim.max_seq_len)
        self.predictors = self._fresh_predictors()
        if isinstance(self.retrieval, RetrievalPredictor) and self.retrieval.block_size != self.skim.block_size:
            self.retrieval = self._fresh_retrieval()

    def split(self, layer: int, predictor_layers: Sequence[int] = ()) -> None:
        """Make a split model of this one, to be trained: from `layer` on, question and passage meet (see split.py).

        Skim predictors stay as they are if they are of these layers, and the retrieval predictor if the model is split
        at this layer already; else they start anew.

        Args:
            layer: the first that reads both
            predictor_layers: the layers that have a skim predictor; from `layer` on

        Raises:
            CheckpointError: there is no such layer, or a predictor is below the split.
        """
        old, before = self.predictors, self.skim
        self.skim = replace(SkimConfig.from_hf(self.config, predictor_layers, layer), max_seq_len=before.max_seq_len)
        self.config.skim_split_layer = layer
        self.predictors = self._fresh_predictors()
        for name in self.predictors:
            if name in old:
                self.predictors[name] = old[name]
        if before.split_layer != layer:
            self.retrieval = self._fresh_retrieval()

    def predictor(self, layer: int) -> SkimPredictor:
        """Return the predictor of a layer that has one."""
        return cast(SkimPredictor, self.predictors[str(layer)])

    def set_dropout(self, probability: float) -> None:
        """Set every dropout of the backbone, that of attention probabilities included."""
        self.family.attention_dropout = probability
        for module in self.backbone.modules():
            if isinstance(module, nn.Dropout):
                module.p = probability

    def set_thresholds(self, threshold: float) -> None:
        """Set the threshold of every layer that has a predictor, from 0 (keep every block) to 1."""
        self.skim = replace(self.skim, thresholds=(threshold,) * len(self.skim.layers), document_thresholds=())

    def set_max_seq_len(self, positions: int) -> None:
        """Set how many positions a window may have: also more than the model was trained on, if it has embeddings.

        Raises:
            CheckpointError: the model has fewer positions.
        """
        limit = position_limit(self.config, self.skim.block_size)
        if not 1 <= positions <= limit:
            raise CheckpointError(f"max_seq_len must be from 1 to {limit}, the model's positions; got {positions}.")
        self.skim = replace(self.skim, max_seq_len=positions)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        skim: float | None = None,
    ) -> SkimOutput:
        """Run all layers over all tokens, and every predictor. The paper trains the model so.

        Args:
            input_ids, attention_mask, token_type_ids: int64 [B, S], S a multiple of the block size
            question_mask: int64 [B, S], 1 for the tokens of the first segment, its special tokens included; default:
                those of token type 0, in windows that have others too
            skim: hide passage blocks that a predictor gives a keep probability below this from all later layers, and
                give their tokens the logit DROPPED (paper, Table 3, row 4, at 0.5); default: hide none

        Raises:
            CheckpointError: the model is split.
        """
        self.skim.require_whole()
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        if question_mask is None:
            question_mask = (token_type_ids == 0) & (attention_mask == 1) & token_type_ids.any(-1, keepdim=True)
        hidden = self._embed(input_ids, token_type_ids)
        real = attention_mask.bool()
        question = question_mask.bool()
        skim_logits: dict[int, Tensor] = {}
        for i, layer in enumerate(self.family.layers(self.backbone)):
            hidden, view = self.run_layer(i, layer, hidden, real, question)
            if i in self.skim.layers:
                skim_logits[i] = self.predictor(i)(view)
                if skim is not None:
                    # Later layers take the tokens of a refused block for padding.
                    refused = view.passage & (skim_logits[i].float().softmax(-1)[..., 1] < skim)
                    real = real & ~refused.repeat_interleave(self.skim.block_size, dim=1)
        start, end = self.family.head(self.backbone)(hidden).unbind(-1)
        if skim is not None:
            start = start.masked_fill(~real, DROPPED)
            end = end.masked_fill(~real, DROPPED)
        return SkimOutput(start, end, skim_logits)

    @torch.no_grad()
    def reference(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        question_mask: Tensor,
        protected: Tensor,
        thresholds: Mapping[int, float] | None = None,
    ) -> ReferenceOutput:
        """Run one window in the paper's order: after each whole layer, remove the blocks that its predictor refuses.

        Export's parity check holds every bundle against this.

        Args:
            input_ids, attention_mask, token_type_ids, question_mask: int64 [S], S a multiple of the block size
            protected: bool [K], blocks that stay whatever the predictors say: at least those with a token of the
                question
            thresholds: keep probability from which a block stays, for each layer that skims; default: the model's own
        """
        self.skim.require_whole()
        hidden = self._embed(input_ids[None], token_type_ids[None])[0]
        return self.reference_from(hidden, attention_mask.bool(), question_mask.bool(), protected, thresholds)

    @torch.no_grad()
    def reference_from(
        self,
        hidden: Tensor,
        real: Tensor,
        question: Tensor,
        protected: Tensor,
        thresholds: Mapping[int, float] | None = None,
    ) -> ReferenceOutput:
        """Run one window as `reference` does, from the hidden states that enter its first layer, [S, H]: of a split
        model that is the split layer.

        Args:
            real, question: bool [S], tokens, and tokens of the question
            protected, thresholds: see `reference`
        """
        size, length = self.skim.block_size, len(hidden)
        first = self.skim.split_layer or 0
        if thresholds is None:
            thresholds = dict(zip(self.skim.layers, self.skim.thresholds, strict=True))
        hidden, real, question = hidden[None], real[None], question[None]
        live = torch.arange(length // size)
        dropped = torch.full((len(live),), KEPT, dtype=torch.int16)
        scores: dict[int, dict[int, float]] = {}
        for i, layer in list(enumerate(self.family.layers(self.backbone)))[first:]:
            hidden, view = self.run_layer(i, layer, hidden, real, question)
            if i not in thresholds:
                continue
            # Score the blocks that are left. `live` says which blocks of the window they are.
            keep_probability = self.predictor(i)(view)[0].softmax(-1)[:, 1]
            scores[i] = dict(zip(live.tolist(), keep_probability.tolist(), strict=True))
            # Decide, and write down after which layer each refused block was dropped.
            stay = (keep_probability >= thresholds[i]) | protected[live]
            dropped[live[~stay]] = i
            live = live[stay]
            # Remove the tokens of the refused blocks.
            tokens = stay.repeat_interleave(size)
            hidden = hidden[:, tokens]
            real = real[:, tokens]
            question = question[:, tokens]
        # Put the logits of the tokens that are left where the tokens stood in the window.
        logits = torch.full((length, 2), float("-inf"))
        positions = (live[:, None] * size + torch.arange(size)).flatten()
        logits[positions] = self.family.head(self.backbone)(hidden)[0]
        return ReferenceOutput(logits[:, 0], logits[:, 1], dropped, scores)

    def layer_shape(self, layer: int) -> LayerShape:
        """Return the shape of a layer."""
        return self.family.shape(self.family.layers(self.backbone)[layer])

    @torch.no_grad()
    def views(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, question_mask: Tensor
    ) -> Iterator[tuple[int, BlockView]]:
        """Yield each layer that has a predictor, and the view that its predictor reads; shapes as for `forward`."""
        self.skim.require_whole()
        hidden = self._embed(input_ids, token_type_ids)
        real = attention_mask.bool()
        question = question_mask.bool()
        for i, layer in enumerate(self.family.layers(self.backbone)):
            hidden, view = self.run_layer(i, layer, hidden, real, question)
            if i in self.skim.layers:
                yield i, view

    def _fresh_predictors(self) -> nn.ModuleDict:
        """Return an untrained predictor for each layer that has one, under the layer's number."""
        kind = PREDICTORS[self.skim.predictor]
        return nn.ModuleDict({str(i): kind(self.layer_shape(i), self.skim.block_size) for i in self.skim.layers})

    def _fresh_retrieval(self) -> RetrievalPredictor | None:
        if self.skim.split_layer is None:
            return None
        layer = self.family.layers(self.backbone)[self.skim.split_layer]
        return RetrievalPredictor(self.config.hidden_size, self.skim.block_size, layer)

    def _embed(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.family.embedder(self.backbone)(input_ids, token_type_ids, None)

    def run_layer(
        self, i: int, layer: nn.Module, hidden: Tensor, real: Tensor, question: Tensor
    ) -> tuple[Tensor, BlockView]:
        """Return a layer's output [B, S, H] and the view that its predictor may read.

        Args:
            hidden: [B, S, H]
            real, question: bool [B, S]
        """
        with_map = i in self.skim.layers and reads_map(self.predictor(i))
        dropout = self.family.attention_dropout if self.backbone.training else 0.0
        attend = WindowAttention(real, dropout, with_map)
        context = self.family.context(layer, hidden, attend)
        view = view_blocks(context, hidden, attend.probabilities, question, real, self.skim.block_size)
        return self.family.rest(layer, context, hidden), view

"""A Hugging Face encoder with skim predictors, and the reference for all that is exported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering, PretrainedConfig

from bskim_export.model.families import find_family
from bskim_export.model.predictor import SkimPredictor
from bskim_export.model.skim_config import SkimConfig


@dataclass
class SkimOutput:
    """Outputs of a forward pass without removal.

    start_logits, end_logits: [B, S]
    skim_logits: per layer that has a predictor, [B, K, 2]; class 1 is keep
    """

    start_logits: Tensor
    end_logits: Tensor
    skim_logits: dict[int, Tensor]


@dataclass
class ReferenceOutput:
    """Outputs of a forward pass with true removal, for one window.

    start_logits, end_logits: [S], -inf where dropped
    dropped_after: [K], the layer after which each block was dropped; `num_hidden_layers` if it never was
    scores: per layer, the keep probability of each block that was still there: {block: probability}
    """

    start_logits: Tensor
    end_logits: Tensor
    dropped_after: Tensor
    scores: dict[int, dict[int, float]]


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
        # Only eager attention returns the map that the predictors read; sdpa returns nothing, with a mere warning.
        self.backbone = AutoModelForQuestionAnswering.from_config(config, attn_implementation="eager")
        self.predictors = self._fresh_predictors()

    def add_predictors(self, layers: Sequence[int]) -> None:
        """Give these layers fresh predictors, to be trained, and the default threshold; other layers lose theirs.

        Raises:
            CheckpointError: a layer that the model does not have.
        """
        self.skim = replace(SkimConfig.from_hf(self.config, layers), max_seq_len=self.skim.max_seq_len)
        self.predictors = self._fresh_predictors()

    def set_thresholds(self, threshold: float) -> None:
        """Set the threshold of every layer that has a predictor, from 0 (keep every block) to 1."""
        self.skim = replace(self.skim, thresholds=(threshold,) * len(self.skim.layers))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> SkimOutput:
        """Run all layers over all tokens, and every predictor (paper: how the model is trained).

        Args:
            input_ids, attention_mask, token_type_ids: int64 [B, S], S a multiple of the block size
        """
        size = self.skim.block_size
        hidden, mask = self._embed(input_ids, attention_mask, token_type_ids)
        skim_logits = {}
        for i, layer in enumerate(self.family.layers(self.backbone)):
            hidden, attention = self.family.forward_with_probabilities(layer, hidden, mask)
            if i in self.skim.layers:
                blocks = diagonal_blocks(attention, size)
                skim_logits[i] = self.predictors[str(i)](blocks.flatten(0, 1)).unflatten(0, blocks.shape[:2])
        start, end = self.family.head(self.backbone)(hidden).unbind(-1)
        return SkimOutput(start, end, skim_logits)

    @torch.no_grad()
    def reference(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        guarded: Tensor,
        thresholds: Mapping[int, float] | None = None,
    ) -> ReferenceOutput:
        """Run one window in the paper's order: after each whole layer, remove the blocks that its predictor refuses.

        Everything that is exported is compared with this.

        Args:
            input_ids, attention_mask, token_type_ids: int64 [S], S a multiple of the block size
            guarded: bool [K], blocks that stay whatever the predictors say: those with a token of the question
            thresholds: keep probability from which a block stays, per layer; default: the model's own
        """
        size, num_layers = self.skim.block_size, self.config.num_hidden_layers
        if thresholds is None:
            thresholds = dict(zip(self.skim.layers, self.skim.thresholds, strict=True))
        hidden, mask = self._embed(input_ids[None], attention_mask[None], token_type_ids[None])
        live = torch.arange(len(input_ids) // size)
        dropped = torch.full((len(live),), num_layers)
        scores: dict[int, dict[int, float]] = {}
        for i, layer in enumerate(self.family.layers(self.backbone)):
            hidden, attention = self.family.forward_with_probabilities(layer, hidden, mask)
            if i not in thresholds:
                continue
            keep_probability = self.predictors[str(i)](diagonal_blocks(attention, size)[0]).softmax(-1)[:, 1]
            scores[i] = dict(zip(live.tolist(), keep_probability.tolist(), strict=True))
            stay = (keep_probability >= thresholds[i]) | guarded[live]
            dropped[live[~stay]] = i
            live = live[stay]
            tokens = stay.repeat_interleave(size)
            hidden, mask = hidden[:, tokens], mask[..., tokens]
        logits = torch.full((len(input_ids), 2), float("-inf"))
        positions = (live[:, None] * size + torch.arange(size)).flatten()
        logits[positions] = self.family.head(self.backbone)(hidden)[0]
        return ReferenceOutput(logits[:, 0], logits[:, 1], dropped, scores)

    def _fresh_predictors(self) -> nn.ModuleDict:
        heads, size = self.config.num_attention_heads, self.skim.block_size
        return nn.ModuleDict({str(i): SkimPredictor(heads, size) for i in self.skim.layers})

    def _embed(self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        hidden = self.family.embedder(self.backbone)(input_ids, token_type_ids, None)
        mask = (1.0 - attention_mask[:, None, None, :].to(hidden.dtype)) * torch.finfo(hidden.dtype).min
        return hidden, mask


def diagonal_blocks(attention: Tensor, block_size: int) -> Tensor:
    """Return the diagonal blocks of attention maps: [B, heads, S, S] -> [B, K, heads, block_size, block_size].

    Example:
        >>> diagonal_blocks(torch.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 1, 0].tolist()
        [[10.0, 11.0], [14.0, 15.0]]
    """
    blocks = attention.unflatten(-1, (-1, block_size)).unflatten(2, (-1, block_size))  # [B, h, K, k, K, k]
    return blocks.diagonal(dim1=2, dim2=4).permute(0, 4, 1, 2, 3)

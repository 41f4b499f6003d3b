"""What a model's forward passes return."""

from dataclasses import dataclass

from torch import Tensor

DROPPED = -100.0
"""Logit of a token that was skimmed in training, as in the paper's released code."""


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
    dropped_after: int16 [K], the layer after which each block was dropped, `blocks.KEPT` if it never was
    scores: for each layer that skimmed, the keep probability of each block that was still there: {block: probability}
    """

    start_logits: Tensor
    end_logits: Tensor
    dropped_after: Tensor
    scores: dict[int, dict[int, float]]

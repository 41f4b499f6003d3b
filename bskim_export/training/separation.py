"""The separation of blocks with an answer from others, by the scores of predictors and whatever their thresholds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.training.features import MODEL_INPUTS, NO_LABEL, Collator, Feature

RECALLS = (0.98, 0.99, 0.995)


@dataclass(frozen=True)
class Separation:
    """How well one layer's scores tell blocks with an answer from others.

    auc: area under the ROC curve over all passage blocks
    kept: for each of RECALLS, the share of passage blocks that stay at the threshold which keeps that share of the
        blocks with an answer
    """

    auc: float
    kept: tuple[float, ...]


def separation(scores: np.ndarray, labels: np.ndarray) -> Separation:
    """Return how well scores tell the two classes of blocks apart.

    Args:
        scores: float [P], higher for blocks to keep
        labels: int [P], 0 or 1

    Example:
        >>> separation(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
        Separation(auc=0.75, kept=(0.75, 0.75, 0.75))
    """
    # The area is the share of pairs in the right order: the rank sum of the positive blocks, less its least value.
    # Ties share their mean rank.
    positive = labels == 1
    negatives = (~positive).sum()
    positives = positive.sum()
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    wins = rank[positive].sum() - positives * (positives + 1) / 2

    # A threshold may lose the lowest positive blocks, as many as the recall allows.
    lost = np.sort(scores[positive])
    thresholds = [lost[int(np.floor((1 - recall) * len(lost) + 1e-9))] for recall in RECALLS]
    return Separation(float(wins / (positives * negatives)), tuple(float((scores >= t).mean()) for t in thresholds))


@torch.no_grad()
def measure_separation(
    model: BlockSkimForQuestionAnswering,
    features: Sequence[Feature],
    collator: Collator,
    progress: Callable[[int], None] = lambda done: None,
    batch_size: int = 16,
) -> dict[int, Separation]:
    """Return each layer's Separation on labelled windows, nothing dropped.

    Args:
        progress: called with the number of windows that were just done
    """
    model.eval()
    scores: dict[int, list[np.ndarray]] = {layer: [] for layer in model.skim.layers}
    labels = []
    order = sorted(features, key=len)
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        batch = collator(part)
        wanted = batch["block_labels"] != NO_LABEL
        out = model(**{name: batch[name] for name in MODEL_INPUTS})
        for layer, logits in out.skim_logits.items():
            scores[layer].append((logits[..., 1] - logits[..., 0])[wanted].float().numpy())
        labels.append(batch["block_labels"][wanted].numpy())
        progress(len(part))
    flat = np.concatenate(labels)
    return {layer: separation(np.concatenate(parts), flat) for layer, parts in scores.items()}

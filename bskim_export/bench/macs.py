"""Multiply-accumulates, counted as the paper's FLOPs are: matrix products of the encoder, its head and the predictors.

BERT-base over 512 positions is 48.32 G, the figure that the paper's Figure 5 normalises to; so the paper's speed-ups
count padding to 512 in their baseline.
"""

import numpy as np

from bskim_export.bundle import Model
from bskim_export.runtime.orchestrator import WindowResult


def dense_macs(model: Model, length: int) -> int:
    """Return the MACs of the whole model over `length` positions, without predictors.

    Example:
        >>> base = Model("bert", "", 12, 768, 3072, 12, 64, 768, 2, 32, 512, 0, 101, 0)
        >>> round(dense_macs(base, 512) / 1e9, 2)
        48.32
    """
    blocks = np.zeros(length, np.int64) + model.num_layers
    return _macs(model, blocks, 1)


def window_macs(model: Model, result: WindowResult, question_blocks: int, skim_layers: list[int]) -> int:
    """Return the MACs spent on one window, predictors and an earlier run included.

    Args:
        skim_layers: the layers whose predictors ran
    """
    alive = _macs(model, result.dropped_after, model.block_size)
    guarded = question_blocks + (result.earlier is not None)  # a second run holds one block
    scored = [max(0, int((result.dropped_after >= layer).sum()) - guarded) for layer in skim_layers]
    judging = sum(scored) * model.predictor_macs
    judging += sum(n > 0 for n in scored) * guarded * model.predictor_question_macs
    earlier = window_macs(model, result.earlier, question_blocks, skim_layers) if result.earlier else 0
    return alive + judging + earlier


def _macs(model: Model, dropped_after: np.ndarray, size: int) -> int:
    hidden, context = model.hidden_size, model.num_heads * model.head_size
    projected = len(dropped_after) * size if model.embedding_size != hidden else 0
    total = projected * model.embedding_size * hidden
    after = 0
    for layer in range(model.num_layers):
        before, after = int((dropped_after >= layer).sum()) * size, int((dropped_after > layer).sum()) * size
        total += before * 3 * hidden * context + 2 * before**2 * context
        total += after * (context * hidden + 2 * hidden * model.intermediate_size)
    return total + after * hidden * 2

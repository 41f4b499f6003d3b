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
    return int(position_macs(model, np.full(model.num_layers + 1, length)))


def window_macs(model: Model, result: WindowResult, question_blocks: int, skim_layers: list[int]) -> int:
    """Return the MACs spent on one window, predictors and an earlier run included.

    Args:
        skim_layers: the layers whose predictors ran
    """
    live = (result.dropped_after >= np.arange(model.num_layers + 1)[:, None]).sum(axis=1)
    alive = int(position_macs(model, live * model.block_size))
    guarded = question_blocks + (result.earlier is not None)  # a second run holds one block
    scored = [max(0, int((result.dropped_after >= layer).sum()) - guarded) for layer in skim_layers]
    judging = sum(scored) * model.predictor_macs
    judging += sum(n > 0 for n in scored) * guarded * model.predictor_question_macs
    earlier = window_macs(model, result.earlier, question_blocks, skim_layers) if result.earlier else 0
    return alive + judging + earlier


def position_macs(model: Model, live: np.ndarray) -> np.ndarray:
    """Return the MACs of windows, int64 [...], predictors left out.

    Args:
        live: int [..., layers + 1], the positions that enter each layer, and last those that leave the last one
    """
    hidden, context = model.hidden_size, model.num_heads * model.head_size
    live = np.asarray(live, np.int64)
    before, after = live[..., :-1], live[..., 1:]
    total = (before * 3 * hidden * context + 2 * before**2 * context).sum(axis=-1)
    total += (after * (context * hidden + 2 * hidden * model.intermediate_size)).sum(axis=-1)
    if model.embedding_size != hidden:
        total += live[..., 0] * model.embedding_size * hidden
    return total + live[..., -1] * hidden * 2

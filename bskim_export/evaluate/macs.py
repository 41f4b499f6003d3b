"""Multiply-accumulates, counted as the paper's FLOPs are: matrix products of the encoder, its head and the predictors.

BERT-base over 512 positions is 48.32 G, the figure that the paper's Figure 5 normalises to; so the paper's speed-ups
count padding to 512 in their baseline.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model
from bskim_export.runtime.runner import WindowResult


def dense_macs(model: Model, length: int) -> int:
    """Return the MACs of the whole model over `length` positions, without predictors.

    Example:
        >>> base = Model("bert", "", 12, 768, 3072, 12, 64, 768, 2, 32, 512, 0, 101, 0)
        >>> round(dense_macs(base, 512) / 1e9, 2)
        48.32
    """
    return int(position_macs(model, np.full(model.num_layers + 1, length)))


def window_macs(
    model: Model, result: WindowResult, unjudged_blocks: int, skim_layers: Sequence[int], first_layer: int = 0
) -> int:
    """Return the MACs spent on one window, predictors and an earlier run included.

    Args:
        unjudged_blocks: blocks that no predictor judges, as the window has it
        skim_layers: the layers whose predictors ran
        first_layer: those before it do not count; of a split model, they ran ahead
    """
    live = (result.dropped_after >= np.arange(first_layer, model.num_layers + 1)[:, None]).sum(axis=1)
    alive = int(position_macs(model, live * model.block_size))
    # A predictor judges all blocks that are there but those, and one that is protected.
    protected = unjudged_blocks + result.protected
    scored = [max(0, int((result.dropped_after >= layer).sum()) - protected) for layer in skim_layers]
    judging = int(predictor_macs(model, np.array(scored, np.int64), protected))
    earlier = result.earlier
    before = window_macs(model, earlier, unjudged_blocks, skim_layers, first_layer) if earlier else 0
    return alive + judging + before


def predictor_macs(
    model: Model, judged: npt.NDArray[np.int64], protected: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the MACs of predictors, int64 [...], summed over layers.

    Args:
        judged: int [L, ...], the blocks that each layer's predictor judges; a predictor with none does not run
        protected: int [...], question blocks and others that it looks at but does not judge
    """
    by_layer = judged * model.predictor_macs + (judged > 0) * protected * model.predictor_question_macs
    total: npt.NDArray[np.int64] = by_layer.sum(axis=0)
    return total


def position_macs(model: Model, live: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the MACs of windows, int64 [...], predictors left out.

    Args:
        live: int [..., layers + 1], the positions that enter each layer, and last those that leave the last one
    """
    hidden = model.hidden_size
    context = model.num_heads * model.head_size
    live = np.asarray(live, np.int64)
    before = live[..., :-1]
    after = live[..., 1:]
    # Up to the attention context a layer runs on what enters it, behind it on what leaves: that is where it is cut.
    total: npt.NDArray[np.int64] = (before * 3 * hidden * context + 2 * before**2 * context).sum(axis=-1)
    total = total + (after * (context * hidden + 2 * hidden * model.intermediate_size)).sum(axis=-1)
    if model.embedding_size != hidden:
        total = total + live[..., 0] * model.embedding_size * hidden
    return total + live[..., -1] * hidden * 2


def analytic_speedup(left: Sequence[float]) -> float:
    """Return the paper's Equation 4: the speed-up if the cost of a layer is linear in its tokens, and predictors cost
    nothing.

    The paper counts what a layer's predictor drops as saved in that layer already. That is nearly so here, where a
    layer is cut behind its attention; in the paper's own order, it would be saved from the next layer on.

    Args:
        left: of each layer, the share of all tokens that is left after it: the products of Equation 4

    Example:
        The paper's: a tenth of the tokens is skimmed in each of 12 layers.

        >>> round(analytic_speedup([0.9 ** (i + 1) for i in range(12)]), 2)
        1.86
    """
    return len(left) / sum(left)

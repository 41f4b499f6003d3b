"""The work of a run, in numbers that a price can be put on: MACs are one price, seconds on a machine another."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model
from bskim_export.evaluate.macs import position_macs, predictor_macs

FEATURES = ("runs", "stages", "predictors", "judged_blocks", "gmacs", "attended_pairs")
"""Per question: calls of the orchestrator; stages run, 0 for the dense graph; predictors run; blocks that they judge;
10^9 MACs of the model without predictors; pairs of live blocks, summed over windows and layers."""


def skim_points_before(layers: Sequence[int], num_layers: int) -> npt.NDArray[np.int64]:
    """Return how many skim points lie before each layer, and last how many there are, int64 [num_layers + 1].

    Example:
        >>> skim_points_before((1, 2), 4).tolist()
        [0, 0, 1, 2, 2]
    """
    return np.searchsorted(np.array(layers), np.arange(num_layers + 1)).astype(np.int64)


def window_macs(
    model: Model,
    layers: Sequence[int],
    live: npt.NDArray[np.int64],
    protected: npt.NDArray[np.int64],
    scored: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Return the MACs of windows, predictors included, int64 [W]; `evaluate.macs.window_macs` for many at once.

    Args:
        layers: the L skim layers
        live: int64 [L + 1, W], blocks before the first skim point and after each
        protected: int64 [W], blocks that no predictor judges
        scored: bool [L], the skim layers whose predictor runs
    """
    positions = live[skim_points_before(layers, model.num_layers)].T * model.block_size
    return position_macs(model, positions) + predictor_macs(model, _judged(live, protected, scored), protected)


def workload(
    model: Model,
    layers: Sequence[int],
    live: npt.NDArray[np.int64],
    protected: npt.NDArray[np.int64],
    scored: npt.NDArray[np.bool_],
    first: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return FEATURES of questions whose windows run together, float64 [Q, 6].

    Args:
        layers, live, protected, scored: as in `window_macs`
        first: int64 [Q], the first window of each question
    """
    steps = skim_points_before(layers, model.num_layers)
    judged = _judged(live, protected, scored)
    # A stage or a predictor runs once for all windows of a question, if any of them still has blocks for it.
    stages = (np.maximum.reduceat(live, first, axis=1) > 0).sum(axis=0) * scored.any()
    predictors = (np.maximum.reduceat(judged, first, axis=1) > 0).sum(axis=0)
    # The rest is summed over the windows of a question.
    gmacs = position_macs(model, live[steps].T * model.block_size) / 1e9
    pairs = (live[steps[:-1]] ** 2).sum(axis=0)
    summed = [np.add.reduceat(x, first) for x in (judged.sum(axis=0), gmacs, pairs)]
    return np.stack([np.ones(len(first)), stages, predictors, *summed], axis=1).astype(np.float64)


def _judged(
    live: npt.NDArray[np.int64], protected: npt.NDArray[np.int64], scored: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    judged: npt.NDArray[np.int64] = np.maximum(live[:-1] - protected, 0) * scored[:, None]
    return judged

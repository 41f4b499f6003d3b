"""What a run has to do, in numbers that a price can be put on: MACs are one price, seconds on a machine another."""

import numpy as np

from bskim_export.bundle.manifest import Model
from bskim_export.evaluate.macs import position_macs, predictor_macs

FEATURES = ("runs", "stages", "predictors", "judged_blocks", "gmacs", "attended_pairs")
"""Per question: calls of the orchestrator; stages run, 0 for the dense graph; predictors run; blocks that they judge;
10^9 MACs of the model without predictors; pairs of live blocks, summed over windows and layers."""


def skim_points_before(layers: tuple[int, ...], num_layers: int) -> np.ndarray:
    """Return how many skim points lie before each layer, and last how many there are, int [layers + 1].

    Example:
        >>> skim_points_before((1, 2), 4).tolist()
        [0, 0, 1, 2, 2]
    """
    return np.searchsorted(layers, np.arange(num_layers + 1))


def window_macs(
    model: Model, layers: tuple[int, ...], live: np.ndarray, protected: np.ndarray, scored: np.ndarray
) -> np.ndarray:
    """Return the MACs of windows, predictors included, int64 [W]; `evaluate.macs.window_macs` for many at once.

    Args:
        live: int [L + 1, W], blocks before the first skim point and after each
        protected: int [W], blocks that no predictor judges
        scored: bool [L], the skim layers whose predictor runs
    """
    positions = live[skim_points_before(layers, model.num_layers)].T * model.block_size
    return position_macs(model, positions) + predictor_macs(model, _judged(live, protected, scored), protected)


def workload(
    model: Model,
    layers: tuple[int, ...],
    live: np.ndarray,
    protected: np.ndarray,
    scored: np.ndarray,
    first: np.ndarray,
) -> np.ndarray:
    """Return FEATURES of questions whose windows run together, float64 [Q, 6].

    Args:
        live, protected, scored: as in `window_macs`
        first: int [Q], the first window of each question
    """
    steps = skim_points_before(layers, model.num_layers)
    judged = _judged(live, protected, scored)
    stages = (np.maximum.reduceat(live, first, axis=1) > 0).sum(axis=0) * scored.any()
    predictors = (np.maximum.reduceat(judged, first, axis=1) > 0).sum(axis=0)
    gmacs = position_macs(model, live[steps].T * model.block_size) / 1e9
    pairs = (live[steps[:-1]] ** 2).sum(axis=0)
    summed = (np.add.reduceat(x, first) for x in (judged.sum(axis=0), gmacs, pairs))
    return np.stack([np.ones(len(first)), stages, predictors, *summed], axis=1).astype(np.float64)


def _judged(live: np.ndarray, protected: np.ndarray, scored: np.ndarray) -> np.ndarray:
    return np.maximum(live[:-1] - protected, 0) * scored[:, None]

"""A path of thresholds, from dropping nothing to dropping much, on which every step saves the most for what it risks.

The search space is one threshold a layer. Which questions lose a needed block is a step function of it, and with few
losses in a few hundred questions a search on the steps themselves would put each threshold right below some question's
score: a fit to those questions. So the search uses a **smooth loss**: a question counts more, the nearer its needed
blocks come to a threshold, and near misses are counted like the hits that they would be on other questions. Measured on
held-out questions, paths found with it save as much as paths that are searched freely at every level of loss (which do
not nest), and more than paths found with the steps.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.calibrate.simulate import Simulator
from bskim_export.errors import InputError

SOFTNESS = 0.25
"""Log-odds over which a loss is smoothed."""

LIMIT = 0.3
"""The smooth loss at which a path ends: far beyond what anybody would deploy."""

GRID = 64
"""Thresholds that are tried per layer: quantiles of the keep probabilities of its passage blocks."""

JUMPS = (1, 2, 4, 8, 16, 32)
"""Steps of the grid by which a threshold may be raised at once."""


@dataclass(frozen=True, eq=False)
class ThresholdPath:
    """P points, each layer's threshold never lower than at the point before.

    thresholds: float64 [P, L], the first all 0
    cost: float64 [P], of all questions, never higher than at the point before
    loss: float64 [P], the smooth loss, a mean over questions
    """

    thresholds: npt.NDArray[np.float64]
    cost: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]


class SmoothLoss:
    """The smooth loss of thresholds: the weighted mean over questions of the chance that each is lost.

    A block with keep probability p stays past a threshold t with chance sigmoid((logit p - logit t) / SOFTNESS). An
    occurrence of a gold answer (see `needed_blocks`) is as safe as its block and layer that come nearest to their
    threshold; a question is as safe as the safest of its occurrences.

    Args:
        simulator: holds the record
        weight: float64 [Q], what losing each question costs

    Raises:
        InputError: no question has an answer, so nothing can be lost.
    """

    def __init__(self, simulator: Simulator, weight: npt.NDArray[np.float64]):
        record = simulator.record
        if not len(record.gold):
            raise InputError(
                f"None of {record.questions} calibration questions has a gold answer in its passage, so nothing says "
                "which blocks matter. Pass a data set with answers, or more of its questions."
            )
        question, first, last = record.gold.T
        # Per layer and occurrence, the least log-odds of its blocks, float64 [L, O].
        margin = log_odds(record.scores)
        self._margin = np.stack([margin[:, a : b + 1].min(axis=1) for a, b in zip(first, last, strict=True)], axis=1)
        # The first occurrence of each question that has any; occurrences are sorted by question.
        self._first = np.unique(question, return_index=True)[1]
        self._weight = weight[question[self._first]] / record.questions

    def __call__(self, thresholds: npt.NDArray[np.float64]) -> float:
        """Return the smooth loss of thresholds, float64 [L]."""
        nearest = (self._margin - log_odds(thresholds)[:, None]).min(axis=0) / SOFTNESS
        safest = np.maximum.reduceat(nearest, self._first)
        return float((self._weight * np.exp(-np.logaddexp(0, safest))).sum())


@dataclass(frozen=True, eq=False)
class _Point:
    """A point of the search.

    thresholds: float64 [L]
    cost, loss: of all questions, and the smooth loss
    """

    thresholds: npt.NDArray[np.float64]
    cost: float
    loss: float


def log_odds(probability: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return log(p / (1 - p)): -inf for 0, and inf for inf, which marks a block that cannot be dropped.

    Example:
        >>> log_odds(np.array([0.0, 0.5, np.inf])).tolist()
        [-inf, 0.0, inf]
    """
    p = np.asarray(probability, np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(np.minimum(p, 1)) - np.log1p(-np.minimum(p, 1 - 1e-7))
    return np.where(np.isposinf(p), np.inf, odds)


def find_threshold_path(simulator: Simulator, weight: npt.NDArray[np.float64]) -> ThresholdPath:
    """Exchange loss for cost greedily: at each step raise one layer's threshold, the layer and by how much chosen so
    that the cost saved per smooth loss added is largest. A layer whose predictor would cost more than it saves is
    never raised from 0.

    Args:
        simulator: over the questions to search on
        weight: float64 [Q], what losing each question costs

    Raises:
        InputError: no question has an answer, so nothing can be lost.
    """
    smooth = SmoothLoss(simulator, weight)
    grids = _grids(simulator)
    at = [0] * len(grids)
    here = np.zeros(len(grids))
    points = [_Point(here, float(simulator.cost(here).sum()), smooth(here))]
    while points[-1].loss < LIMIT:
        step = _best_step(simulator, smooth, grids, at, points[-1])
        if step is None:
            break
        layer, jump, point = step
        at[layer] += jump
        points.append(point)
    return ThresholdPath(
        np.array([p.thresholds for p in points]), np.array([p.cost for p in points]), np.array([p.loss for p in points])
    )


def _best_step(
    simulator: Simulator, smooth: SmoothLoss, grids: list[npt.NDArray[np.float64]], at: list[int], here: _Point
) -> tuple[int, int, _Point] | None:
    """Return the next step's layer, by how much of the grid it is raised, and the point there; None if none saves.

    Args:
        at: where on its grid each layer's threshold is
    """
    best = None
    best_rate = -np.inf
    for layer, grid in enumerate(grids):
        for jump in JUMPS:
            if at[layer] + jump >= len(grid):
                break
            thresholds = here.thresholds.copy()
            thresholds[layer] = grid[at[layer] + jump]
            saved = here.cost - float(simulator.cost(thresholds).sum())
            if saved <= 0:
                continue
            loss = smooth(thresholds)
            rate = saved / max(loss - here.loss, 1e-9)
            if rate > best_rate:
                best = layer, jump, _Point(thresholds, here.cost - saved, loss)
                best_rate = rate
    return best


def _grids(simulator: Simulator) -> list[npt.NDArray[np.float64]]:
    """Return the thresholds to try for each layer, ascending, the first 0; rounded as they will be written."""
    grids = []
    for scores in simulator.record.scores:
        judged = scores[np.isfinite(scores)]
        values = np.quantile(judged, np.arange(1, GRID) / GRID).tolist() if len(judged) else []
        rounded = {min(float(f"{value:.4g}"), 0.9999) for value in values}
        grids.append(np.array(sorted({0.0} | rounded)))
    return grids

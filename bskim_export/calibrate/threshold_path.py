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

from bskim_export.calibrate.simulate import Simulator
from bskim_export.errors import InputError

SOFTNESS = 0.25
"""Log-odds over which a loss is smoothed."""

LIMIT = 0.3
"""The smooth loss at which a path ends: far beyond what anybody would deploy."""

GRID = 64
"""Thresholds that are tried per layer: quantiles of the keep probabilities of its passage blocks."""


@dataclass(frozen=True, eq=False)
class ThresholdPath:
    """P points, each layer's threshold never lower than at the point before.

    thresholds: float64 [P, L], the first all 0
    cost: float64 [P], of all questions, never higher than at the point before
    loss: float64 [P], the smooth loss, a mean over questions
    """

    thresholds: np.ndarray
    cost: np.ndarray
    loss: np.ndarray


class SmoothLoss:
    """The smooth loss of thresholds: the weighted mean over questions of the chance that each is lost (see `needs`).

    A block with keep probability p stays past a threshold t with chance sigmoid((logit p - logit t) / SOFTNESS); of a
    question's occurrences the safest counts, and of its blocks and layers the nearest to its threshold.

    Args:
        simulator: holds the record
        weight: float [Q], what losing each question costs

    Raises:
        InputError: no question has an answer, so nothing can be lost.
    """

    def __init__(self, simulator: Simulator, weight: np.ndarray):
        record = simulator.record
        if not len(record.gold):
            raise InputError(
                f"None of {record.questions} calibration questions has a gold answer in its passage, so nothing says "
                "which blocks matter. Pass a data set with answers, or more of its questions."
            )
        question, first, last = record.gold.T
        margin = log_odds(record.scores)
        self._margin = np.stack([margin[:, a : b + 1].min(axis=1) for a, b in zip(first, last, strict=True)], axis=1)
        self._first = np.unique(question, return_index=True)[1]
        self._weight = weight[question[self._first]] / record.questions

    def __call__(self, thresholds: np.ndarray) -> float:
        nearest = (self._margin - log_odds(thresholds)[:, None]).min(axis=0) / SOFTNESS
        safest = np.maximum.reduceat(nearest, self._first)
        return float((self._weight * np.exp(-np.logaddexp(0, safest))).sum())


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)): -inf for 0, and inf for inf, which marks a block that cannot be dropped.

    Example:
        >>> log_odds(np.array([0.0, 0.5, np.inf])).tolist()
        [-inf, 0.0, inf]
    """
    p = np.asarray(probability, np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(np.minimum(p, 1)) - np.log1p(-np.minimum(p, 1 - 1e-7))
    return np.where(np.isposinf(p), np.inf, odds)


def find_threshold_path(simulator: Simulator, weight: np.ndarray) -> ThresholdPath:
    """Exchange loss for cost greedily: at each step raise one layer's threshold, the layer and by how much chosen so
    that the cost saved per smooth loss added is largest. A layer whose predictor would cost more than it saves is
    never raised from 0.

    Args:
        simulator: over the questions to search on
        weight: float [Q], what losing each question costs
    """
    smooth, grids = SmoothLoss(simulator, weight), _grids(simulator)
    at = [0] * len(grids)
    here = np.zeros(len(grids))
    points = [(here, simulator.cost(here).sum(), smooth(here))]
    while points[-1][2] < LIMIT:
        best = None
        _, cost, loss = points[-1]
        for layer, jump in ((i, 1 << j) for i in range(len(grids)) for j in range(6)):
            if at[layer] + jump >= len(grids[layer]):
                continue
            there = here.copy()
            there[layer] = grids[layer][at[layer] + jump]
            saved = cost - simulator.cost(there).sum()
            if saved <= 0:
                continue
            added = smooth(there)
            rate = saved / max(added - loss, 1e-9)
            if best is None or rate > best[0]:
                best = rate, layer, jump, there, cost - saved, added
        if best is None:
            break
        _, layer, jump, here, cost, loss = best
        at[layer] += jump
        points.append((here, cost, loss))
    return ThresholdPath(*(np.array(column) for column in zip(*points, strict=True)))


def _grids(simulator: Simulator) -> list[np.ndarray]:
    """Return the thresholds to try for each layer, ascending, the first 0; rounded as they will be written."""
    grids = []
    for scores in simulator.record.scores:
        judged = scores[np.isfinite(scores)]
        values = np.quantile(judged, np.arange(1, GRID) / GRID) if len(judged) else []
        rounded = {min(float(f"{value:.4g}"), 0.9999) for value in values}
        grids.append(np.array(sorted({0.0} | rounded)))
    return grids

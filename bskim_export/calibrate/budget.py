"""The cheapest thresholds whose F1 drop stays within a budget."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.calibrate.simulate import Outcome, Simulator
from bskim_export.calibrate.summary import standard_error
from bskim_export.calibrate.threshold_path import ThresholdPath, find_threshold_path

ATTEMPTS = 8
"""True runs at most; the next attempt would be the dense model."""


@dataclass(frozen=True, eq=False)
class Budget:
    """The chosen thresholds, and the evidence for them.

    path: all the points that were considered
    point: the chosen one
    confirmed: the true run at that point
    attempts: [(point, simulated drop, true drop)], points of F1, in the order of the true runs
    expected_drop, expected_error: the two-fold estimate of the drop on other questions and its standard error, points
        of F1
    """

    path: ThresholdPath
    point: int
    confirmed: Outcome
    attempts: list[tuple[int, float, float]]
    expected_drop: float
    expected_error: float


def drops(simulator: Simulator, path: ThresholdPath) -> npt.NDArray[np.float64]:
    """Return how much F1 each question loses at each point, simulated: float64 [P, Q], in points."""
    dense = simulator.run(path.thresholds[0]).f1
    return 100 * np.array([dense - simulator.run(t).f1 for t in path.thresholds])


def cross_fitted_drops(path: ThresholdPath, halves: tuple[Simulator, Simulator]) -> npt.NDArray[np.float64]:
    """Return `drops` as they would be on questions that the search has not seen: float64 [P, Q].

    Each half of the questions is judged at thresholds that were found on the other half, at the point of that path
    whose smooth loss is nearest below that of the point in question.
    """
    first, second = halves
    return np.concatenate([_drops_on(first, second, path), _drops_on(second, first, path)], axis=1)


def dense_f1(simulator: Simulator) -> npt.NDArray[np.float64]:
    """Return each question's F1 with nothing dropped, float64 [Q]: what losing its blocks can cost."""
    return simulator.run(np.zeros(len(simulator.record.layers))).f1


def choose(
    simulator: Simulator,
    halves: tuple[Simulator, Simulator],
    max_f1_drop: float,
    run_truly: Callable[[npt.NDArray[np.float64]], Outcome],
    dense: Outcome,
) -> Budget:
    """Return the cheapest point of a path within the budget.

    A point is within it if, there and at every safer point, neither the simulated drop on all questions nor the
    cross-fitted one exceeds it. A true run confirms the choice. If the true drop is over budget, so many times the
    simulated one, the next attempt is the point where so many times the simulated drop is within it.

    Args:
        simulator: over all questions that thresholds are calibrated on
        halves: over the first and the second half of them
        max_f1_drop: points of F1
        run_truly: runs the pipeline over these questions at some thresholds
        dense: the true run at threshold 0
    """
    path = find_threshold_path(simulator, dense_f1(simulator))
    crossed = cross_fitted_drops(path, halves)
    simulated = np.maximum(drops(simulator, path).mean(axis=1), crossed.mean(axis=1))
    attempts: list[tuple[int, float, float]] = []
    point = _last_within(simulated, max_f1_drop)
    while True:
        outcome = run_truly(path.thresholds[point]) if point > 0 else dense
        drop = 100 * float((dense.f1 - outcome.f1).mean())
        attempts.append((point, float(simulated[point]), drop))
        if drop <= max_f1_drop or point == 0:
            break
        point = _safer(simulated, point, max_f1_drop / drop) if len(attempts) < ATTEMPTS else 0
    error = standard_error(crossed[point]) if point > 0 else 0.0
    return Budget(path, point, outcome, attempts, float(crossed[point].mean()), error)


def _drops_on(judged: Simulator, searched: Simulator, path: ThresholdPath) -> npt.NDArray[np.float64]:
    """Return the drops of the judged questions at thresholds that were found on the searched ones."""
    other = find_threshold_path(searched, dense_f1(searched))
    same_level = np.maximum(np.searchsorted(other.loss, path.loss, side="right") - 1, 0)
    return drops(judged, other)[same_level]


def _safer(drop: npt.NDArray[np.float64], point: int, share: float) -> int:
    """Return a point before `point` with at most this share of its simulated drop."""
    if drop[point] <= 0:  # the simulation saw none of it
        return point // 2
    return min(point - 1, _last_within(drop, share * drop[point]))


def _last_within(drop: npt.NDArray[np.float64], room: float) -> int:
    """Return the last point up to which no drop exceeds `room`."""
    over = np.flatnonzero(drop > room)
    return max(0, int(over[0]) - 1) if len(over) else len(drop) - 1

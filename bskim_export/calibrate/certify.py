"""Thresholds with a promise: the risk that a question loses an answer block it needed (see `needed_blocks`, `risk`).

The questions that thresholds are calibrated on are halved at random. On the selection half, candidates are found from
the record of one pass; only then are they tested on the certification half, which took no part in finding them, by true
runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.calibrate.risk import allowed_losses, fixed_sequence
from bskim_export.calibrate.simulate import Outcome, Simulator
from bskim_export.calibrate.threshold_path import ThresholdPath, find_threshold_path

SAVINGS = (0.3, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
"""How much the candidates save, as shares of what the predicted limit saves."""


@dataclass(frozen=True, eq=False)
class Certified:
    """The certified thresholds, and the tests that led to them.

    thresholds: float64 [L]; all 0 if no candidate was certified: the dense model loses nothing
    outcome: the true run at them over the certification questions
    tested: [(thresholds, losses, p-value)], in the order of the tests
    questions: certification questions that need something
    """

    thresholds: npt.NDArray[np.float64]
    outcome: Outcome
    tested: list[tuple[npt.NDArray[np.float64], int, float]]
    questions: int


def candidates(simulator: Simulator, certifying: int, risk: float, confidence: float) -> list[npt.NDArray[np.float64]]:
    """Return thresholds to test, float64 [L] each, safest first, found on the selection questions only.

    The predicted limit is the last point of the path whose losses, the simulated and the smooth, would still be
    certified. Candidates lie around it; since each is tested at the full level, more of them cost only time.

    Args:
        simulator: over the selection half
        certifying: certification questions that need something
    """
    path = find_threshold_path(simulator, np.ones(simulator.record.questions))
    # The share of questions in need that each point is predicted to lose, and the share that would be certified.
    needing = len(np.unique(simulator.record.gold[:, 0]))
    lost = np.array([simulator.run(t).lost.sum() for t in path.thresholds])
    predicted = np.maximum(lost, path.loss * simulator.record.questions) / needing
    rate = max(allowed_losses(certifying, risk, confidence), 0) / certifying
    over = np.flatnonzero(predicted > rate)
    limit = max(1, int(over[0]) - 1) if len(over) else len(path.cost) - 1
    return [path.thresholds[i] for i in _points_around(path, limit)]


def certify(
    sequence: Sequence[npt.NDArray[np.float64]],
    run_truly: Callable[[npt.NDArray[np.float64]], Outcome],
    dense: Outcome,
    questions: int,
    risk: float,
    confidence: float,
) -> Certified:
    """Test candidates on the certification half and return the last that was certified.

    Args:
        sequence: from `candidates`
        run_truly: runs the pipeline over the certification half at some thresholds
        dense: its true run at threshold 0
        questions: how many of the certification questions need something
    """
    tested = fixed_sequence(sequence, lambda t: int(run_truly(t).lost.sum()), questions, risk, confidence)
    passed = [thresholds for thresholds, _, p in tested if p <= 1 - confidence]
    if not passed:
        return Certified(np.zeros_like(sequence[0]), dense, tested, questions)
    return Certified(passed[-1], run_truly(passed[-1]), tested, questions)


def _points_around(path: ThresholdPath, limit: int) -> list[int]:
    """Return the points of the path that save SAVINGS times what the point `limit` saves, ascending, none of them 0."""
    saved = path.cost[0] - path.cost
    points = {int(np.argmin(np.abs(saved - share * saved[limit]))) for share in SAVINGS}
    return sorted(points - {0}) or [limit]

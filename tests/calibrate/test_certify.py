from itertools import pairwise

import numpy as np

from bskim_export.calibrate.certify import candidates, certify
from bskim_export.calibrate.risk import allowed_losses


def test_candidates_are_points_of_a_path_safest_first(simulator):
    found = candidates(simulator, certifying=30, risk=0.2, confidence=0.9)
    assert len(found) > 1
    assert found[0].any()
    for safer, next_one in pairwise(found):
        assert (next_one >= safer).all()
        assert simulator.cost(next_one).sum() < simulator.cost(safer).sum()


def test_the_last_candidate_that_loses_few_enough_is_certified(simulator):
    """What a true run loses is imposed here."""
    dense = simulator.run(np.zeros(6))
    sequence = [np.full(6, t) for t in (0.01, 0.02, 0.03, 0.04)]
    most = allowed_losses(60, 0.2, 0.9)
    losses = {0.01: 0, 0.02: most, 0.03: most + 1, 0.04: 0}
    runs = []

    def run_truly(t):
        runs.append(float(t[0]))
        outcome = simulator.run(t)
        outcome.lost[:] = False
        outcome.lost[: losses[float(t[0])]] = True
        return outcome

    found = certify(sequence, run_truly, dense, 60, 0.2, 0.9)
    assert found.thresholds.tolist() == [0.02] * 6
    assert found.outcome.lost.sum() == most
    assert [(t[0], lost) for t, lost, _ in found.tested] == [(0.01, 0), (0.02, most), (0.03, most + 1)]
    assert 0.04 not in runs
    assert found.tested[1][2] <= 0.1 < found.tested[2][2]


def test_if_no_candidate_is_certified_nothing_is_dropped(simulator):
    dense = simulator.run(np.zeros(6))

    def run_truly(t):
        outcome = simulator.run(t)
        outcome.lost[:] = True
        return outcome

    found = certify([np.full(6, 0.5)], run_truly, dense, 24, 0.2, 0.9)
    assert not found.thresholds.any()
    assert found.outcome is dense

from dataclasses import replace

import numpy as np
import pytest

from bskim_export.calibrate.budget import ATTEMPTS, choose, cross_fitted_drops, dense_f1, drops
from bskim_export.calibrate.simulate import Simulator
from bskim_export.calibrate.threshold_path import find_threshold_path


@pytest.fixture(scope="module")
def halves(simulator) -> tuple[Simulator, Simulator]:
    record, half = simulator.record, simulator.record.questions // 2
    first, second = ((0, half), (half, record.questions))
    return Simulator(record.part(*first), simulator.model), Simulator(record.part(*second), simulator.model)


@pytest.mark.parametrize("excess", [1, 4])
def test_where_true_runs_lose_more_than_the_simulation_less_is_dropped_but_not_nothing(simulator, halves, excess):
    """What a true run loses is imposed here: `excess` times what is simulated."""
    dense = simulator.run(np.zeros(6))

    def run_truly(t):
        outcome = simulator.run(t)
        return replace(outcome, f1=dense.f1 - excess * (dense.f1 - outcome.f1))

    found = choose(simulator, halves, 20.0, run_truly, dense)
    *over, (point, _, drop) = found.attempts
    assert point == found.point > 0
    assert drop <= 20
    assert drop == pytest.approx(excess * 100 * (dense.f1 - simulator.run(found.path.thresholds[point]).f1).mean())
    assert all(d > 20 for *_, d in over)
    assert [p for p, *_ in found.attempts] == sorted({p for p, *_ in found.attempts}, reverse=True)


def test_if_no_true_run_is_within_the_budget_nothing_is_dropped(simulator, halves):
    dense = simulator.run(np.zeros(6))
    runs = []

    def run_truly(t):
        runs.append(t)
        return replace(simulator.run(t), f1=dense.f1 - 0.5)

    found = choose(simulator, halves, 20.0, run_truly, dense)
    assert found.point == 0
    assert found.confirmed is dense
    assert found.attempts[-1] == (0, 0.0, 0.0)
    assert 1 <= len(runs) <= ATTEMPTS


def test_each_half_is_judged_at_thresholds_that_were_found_on_the_other(simulator, halves):
    path = find_threshold_path(simulator, dense_f1(simulator))
    crossed = cross_fitted_drops(path, halves)
    assert crossed.shape == drops(simulator, path).shape == (len(path.cost), simulator.record.questions)
    other = find_threshold_path(halves[1], dense_f1(halves[1]))
    for point in (0, len(path.cost) // 2, len(path.cost) - 1):
        safest_below = max(i for i, loss in enumerate(other.loss) if loss <= path.loss[point] or i == 0)
        outcome = halves[0].run(other.thresholds[safest_below])
        assert crossed[point, :12] == pytest.approx(100 * (dense_f1(halves[0]) - outcome.f1))

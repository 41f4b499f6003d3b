import numpy as np

from bskim_export import QAPipeline
from bskim_export.bench import staging_overhead
from bskim_export.bench.staging_overhead import Times, measure_times
from bskim_export.blocks import KEPT
from bskim_export.runtime.policy import Thresholds


def test_the_overhead_is_of_medians_summed_over_batches(monkeypatch):
    """The dense model takes 1 s and 2 s, all predictors 2 s and 4 s; an outlier of 100 s counts nothing."""
    timings = iter([[[1, 2, 1], [1, 2, 1], [100, 2, 1]], [[2, 4, 1], [2, 100, 1], [2, 4, 1]]])
    ran = []

    class Runner:
        def run(self, batch, policy):
            ran.append((batch, policy))

    def interleaved(runs, repeats):
        assert repeats == 3
        for run in runs:
            run()
        return np.array(next(timings), float)

    monkeypatch.setattr(staging_overhead, "interleaved", interleaved)
    (times,) = measure_times([Runner()], ["a", "b"], own := Thresholds({0: 0.5}), 3)
    assert times == Times(3, 6, 2)
    assert times.overhead == 1
    assert [batch for batch, _ in ran] == ["a"] * 3 + ["b"] * 3
    assert [policy is None for _, policy in ran] == [True, False, False] * 2
    assert [policy is own for _, policy in ran] == [False, False, True] * 2


def test_the_stages_run_all_predictors_and_drop_nothing(tiny_bundle, squad):
    answerer = QAPipeline(tiny_bundle()).answerer()
    windows = answerer.windows(squad[0].question, squad[0].context)
    outcomes = []

    class Runner:
        def run(self, batch, policy):
            outcomes.append((policy, answerer.runner.run(batch, policy)))

    measure_times([Runner()], [windows], Thresholds(dict.fromkeys(range(3), 1e-30)), 1)
    for policy, results in outcomes:
        assert policy is None or all(policy.scores(layer) for layer in range(3))
        assert all((r.dropped_after == KEPT).all() for r in results)
    assert {policy is None for policy, _ in outcomes} == {True, False}

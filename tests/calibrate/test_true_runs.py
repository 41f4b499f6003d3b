import numpy as np
import pytest

from bskim_export.calibrate.true_runs import agreement, run_truly
from bskim_export.evaluate.macs import dense_macs

FIELDS = ("em", "f1", "answer", "macs", "lost", "kept", "stays")


def test_nothing_dropped_is_the_dense_model(recorded, simulator):
    simulated, true = simulator.run(np.zeros(6)), recorded.run_truly(np.zeros(6))
    for name in FIELDS:
        assert np.array_equal(getattr(simulated, name), getattr(true, name)), name
    lengths = [len(w.input_ids) for q in recorded.questions for w in recorded.windows(q)]
    assert true.macs.sum() == sum(dense_macs(simulator.model, n) for n in lengths)
    assert not true.lost.any()


@pytest.mark.parametrize("layer", [0, 3, 5])
@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.95])
def test_the_first_drop_is_exact(recorded, simulator, layer, threshold):
    """At one layer alone nothing was dropped before: kept blocks, MACs, losses are those of a true run, with windows
    that leave and questions that run again among them. (At the last layer logits are the same as well.)"""
    t = np.zeros(6)
    t[layer] = threshold
    simulated, true = simulator.run(t), recorded.run_truly(t)
    for name in ("macs", "lost", "kept", "stays", *(("answer",) if layer == 5 else ())):
        assert np.array_equal(getattr(simulated, name), getattr(true, name)), name


def test_a_simulation_is_near_a_true_run(recorded, simulator):
    t = np.full(6, 0.3)
    near = agreement(simulator.run(t), recorded.run_truly(t))
    assert near["same_answers"] > 0.8
    assert near["same_blocks"] > 0.9
    assert near["macs_true_over_simulated"] == pytest.approx(1, abs=0.05)


def test_an_outcome_agrees_with_itself(simulator):
    outcome = simulator.run(np.full(6, 0.01))
    near = agreement(outcome, outcome)
    assert near["f1_simulated"] == near["f1_true"] == pytest.approx(100 * outcome.f1.mean())
    assert {near[name] for name in near if not name.startswith("f1")} == {1}


def test_a_true_run_is_read_back_not_run_again(recorded, stopped):
    t = np.full(6, 0.2)
    first = recorded.run_truly(t)
    again = run_truly(stopped, recorded.questions, t, recorded.folder)
    for name in FIELDS:
        assert np.array_equal(getattr(again, name), getattr(first, name)), name
    with pytest.raises(AssertionError, match="nothing is run"):
        run_truly(stopped, recorded.questions, np.full(6, 0.21), recorded.folder)

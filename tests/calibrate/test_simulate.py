from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.calibrate.budget import choose
from bskim_export.calibrate.needed_blocks import occurrences
from bskim_export.calibrate.record import Record, Settings, make_windows, record
from bskim_export.calibrate.simulate import Simulator
from bskim_export.calibrate.threshold_path import SmoothLoss, find_threshold_path
from bskim_export.calibrate.true_runs import agreement, run_truly
from bskim_export.data.question import Question, sample
from bskim_export.errors import InputError
from bskim_export.evaluate.macs import dense_macs

SETTINGS = Settings(128, 48)
"""Short windows, so that most questions have several."""


@pytest.fixture(scope="module")
def questions(squad) -> list[Question]:
    return sample(squad, 24, seed=5)


@pytest.fixture(scope="module")
def real(minilm_bundle, questions, tmp_path_factory):
    """A pipeline of the trained model, its questions' record and the work directory."""
    qa, folder = QAPipeline(minilm_bundle, threshold=0.5), tmp_path_factory.mktemp("work")
    counted = replace(qa.manifest.model, predictor_question_macs=12345)  # as a predictor that reads the question has
    qa.manifest = replace(qa.manifest, model=counted)
    return qa, record(qa, questions, SETTINGS, folder), folder


@pytest.fixture(scope="module")
def simulator(real) -> Simulator:
    return Simulator(real[1], real[0].manifest.model)


thresholds = st.lists(st.sampled_from([0.0, 0.05, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9]), min_size=6, max_size=6).map(np.array)


def test_nothing_dropped_is_the_dense_model(real, questions, simulator):
    qa, _, folder = real
    simulated, true = simulator.run(np.zeros(6)), run_truly(qa, questions, np.zeros(6), SETTINGS, folder)
    for name in ("em", "f1", "answer", "macs", "lost", "kept", "stays"):
        assert np.array_equal(getattr(simulated, name), getattr(true, name)), name
    lengths = [len(w.input_ids) for q in questions for w in make_windows(qa, q, SETTINGS)]
    assert true.macs.sum() == sum(dense_macs(qa.manifest.model, n) for n in lengths)
    assert not true.lost.any()


@pytest.mark.parametrize("layer", [0, 3, 5])
@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.95])
def test_the_first_drop_is_exact(real, questions, simulator, layer, threshold):
    """At one layer alone nothing was dropped before: kept blocks, MACs, losses are those of a true run, with windows
    that leave and questions that run again among them. (At the last layer logits are the same as well.)"""
    qa, _, folder = real
    t = np.zeros(6)
    t[layer] = threshold
    simulated, true = simulator.run(t), run_truly(qa, questions, t, SETTINGS, folder)
    for name in ("macs", "lost", "kept", "stays", *(("answer",) if layer == 5 else ())):
        assert np.array_equal(getattr(simulated, name), getattr(true, name)), name


def test_a_simulation_is_near_a_true_run(real, questions, simulator):
    qa, _, folder = real
    t = np.full(6, 0.4)
    near = agreement(simulator.run(t), run_truly(qa, questions, t, SETTINGS, folder))
    assert near["same_answers"] > 0.8
    assert near["same_blocks"] > 0.9
    assert near["macs_true_over_simulated"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("excess", [1, 4])
def test_where_true_runs_lose_more_than_the_simulation_less_is_dropped_but_not_nothing(simulator, excess):
    """What a true run loses is imposed here: `excess` times what is simulated."""
    record = simulator.record
    half = record.questions // 2
    halves = tuple(Simulator(record.part(*cut), simulator.model) for cut in ((0, half), (half, record.questions)))
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


@given(thresholds, thresholds)
@settings(deadline=None, max_examples=40)
def test_higher_thresholds_keep_less_and_lose_no_less_but_for_second_runs(simulator, a, b):
    """A second run holds a block, so only what never ran twice is monotone."""
    low, high = simulator._skim(np.minimum(a, b)), simulator._skim(np.maximum(a, b))
    assert (high.live <= low.live).all()
    assert (high.gone | ~low.gone).all()


@given(thresholds)
@settings(deadline=None, max_examples=40)
def test_cost_is_counted_as_the_benchmark_counts_it(simulator, t):
    outcome = simulator.run(t)
    assert np.array_equal(simulator.cost(t), outcome.macs)
    assert (outcome.kept[:, 1:] <= outcome.kept[:, :-1]).all()
    free = replace(simulator.model, predictor_macs=0)
    assert (Simulator(simulator.record, free).cost(t) <= outcome.macs).all()
    assert (outcome.macs == simulator.cost(np.zeros(6))).all() or t.any()


def test_a_price_counts_each_unit_of_work(simulator):
    dense, all_layers = np.zeros(6), np.full(6, 1e-6)
    for feature, per_question in ((0, 1), (1, 7), (2, 6)):
        priced = Simulator(simulator.record, simulator.model, np.eye(6)[feature])
        assert set(priced.cost(all_layers)) == {per_question}
        assert set(priced.cost(dense)) == {1 if feature == 0 else 0}
    model = replace(simulator.model, predictor_question_macs=0)  # which has no price of its own
    gmacs = Simulator(simulator.record, model, np.array([0, 0, 0, model.predictor_macs, 1e9, 0]))
    assert gmacs.cost(all_layers) == pytest.approx(Simulator(simulator.record, model).cost(all_layers))


@given(thresholds, st.integers(0, 24), st.integers(0, 24))
@settings(deadline=None, max_examples=20)
def test_a_part_of_a_record_is_the_record_of_that_part(simulator, t, a, b):
    start, stop = sorted((a, b))
    if start == stop:
        return
    whole, part = simulator.run(t), Simulator(simulator.record.part(start, stop), simulator.model).run(t)
    for name in ("em", "f1", "answer", "macs", "lost", "kept"):
        assert np.array_equal(getattr(whole, name)[start:stop], getattr(part, name)), name


@pytest.mark.parametrize("price", [None, np.array([0, 1e-3, 5e-4, 1e-4, 0.03, 0])])
def test_a_path_is_nested_and_never_gets_dearer_or_safer(simulator, price):
    priced = Simulator(simulator.record, simulator.model, price)
    path = find_threshold_path(priced, np.ones(24))
    assert len(path.cost) > 5
    assert not path.thresholds[0].any()
    assert (np.diff(path.thresholds, axis=0) >= 0).all()
    assert (np.diff(path.cost) < 0).all()
    assert (np.diff(path.loss) >= -1e-12).all()
    assert path.cost[-1] == priced.cost(path.thresholds[-1]).sum()


def test_a_predictor_that_does_not_pay_is_not_run(simulator):
    dear = np.array([0, 0, 10, 0, 1e-9, 0])
    assert len(find_threshold_path(Simulator(simulator.record, simulator.model, dear), np.ones(24)).cost) == 1


@given(thresholds)
@settings(deadline=None, max_examples=40)
def test_the_smooth_loss_counts_a_lost_question_at_least_half(simulator, t):
    """A needed block below its threshold has a chance below 1/2 to stay. Questions that run again are not lost more."""
    lost = simulator.run(t).lost.sum()
    assert SmoothLoss(simulator, np.ones(24))(t) * 24 >= lost / 2


def test_occurrences_hold_the_whole_answer(real, questions):
    qa = real[0]
    for question in questions:
        windows = make_windows(qa, question, SETTINGS)
        found = occurrences(question, windows, 32)
        assert found
        for w, first, last in found:
            offsets = [
                o for i, o in enumerate(windows[w].encoding.offsets) if first <= i // 32 <= last
                and windows[w].encoding.sequence_ids[i] == 1
            ]  # fmt: skip
            covered = question.context[offsets[0][0] : offsets[-1][1]]
            assert any(answer in covered for answer in question.answers)


def test_an_answer_that_a_window_cuts_is_no_occurrence(real):
    words = " ".join(f"word{i}" for i in range(300))
    context = words + " Ada Lovelace wrote it " + words
    question = Question("x", "Who wrote it?", context, (context, "Ada Lovelace"), (0, len(words) + 1))
    windows = make_windows(real[0], question, SETTINGS)
    found = occurrences(question, windows, 32)
    assert 1 <= len(found) <= 2
    assert all(last - first <= 1 for _, first, last in found)


def test_a_question_with_no_answer_in_reach_cannot_be_lost(real, tmp_path):
    question = Question("x", "Who?", "Nobody knows who wrote the old book.", (), ())
    seen = record(real[0], [question], SETTINGS, tmp_path)
    assert seen.gold.shape == (0, 3)
    simulator = Simulator(seen, real[0].manifest.model)
    assert not simulator.run(np.full(6, 0.99)).lost.any()
    with pytest.raises(InputError, match="None of 1 calibration questions has a gold answer"):
        find_threshold_path(simulator, np.ones(1))


def test_a_record_is_read_back_not_made_again(real, questions, monkeypatch):
    qa, seen, folder = real
    monkeypatch.setattr(qa, "orchestrator", None)
    again = record(qa, questions, SETTINGS, folder)
    for name in vars(seen):
        assert np.array_equal(getattr(again, name), getattr(seen, name)), name
    assert isinstance(again, Record)

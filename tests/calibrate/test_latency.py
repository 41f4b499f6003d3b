import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.calibrate.latency import Imposed, _work, fit, measure_price, measure_seconds
from bskim_export.calibrate.workload import FEATURES
from bskim_export.data.question import sample
from bskim_export.evaluate.macs import dense_macs
from bskim_export.runtime.policy import Thresholds


@given(st.lists(st.floats(0, 10), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_the_fit_recovers_prices(price, seed):
    if max(price) < 0.1:
        return
    work = np.random.default_rng(seed).uniform(1, 100, (50, 3))
    assert np.allclose(fit(work, work @ price), price, atol=1e-5)


def test_the_fit_has_no_negative_prices():
    work = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])
    price = fit(work, np.array([1.0, 3.0, 7.0]))  # exactly -1 and 2
    assert price[0] == 0
    assert price[1] > 0


@pytest.fixture(scope="module")
def answerer(tiny_bundle):
    qa = QAPipeline(tiny_bundle(), threshold=0.5)
    qa.runner.load(dense=True, skim=True)
    return qa.answerer(qa.options(max_seq_len=64, doc_stride=16))


def test_a_measured_price_is_fitted_to_runs_of_this_bundle(answerer, squad):
    own = [answerer.windows(q.question, q.context) for q in sample(squad, 16)]
    done = []
    price = measure_price(answerer.runner, own, seed=0, progress=done.append)
    assert len(price.seconds) == len(FEATURES)
    assert min(price.seconds) >= 0
    assert 0 < sum(price.seconds) < 10  # how well it fits depends on how busy the machine is
    assert done == [1] * 8


def test_work_is_counted_from_what_a_run_did(answerer, squad):
    runner = answerer.runner
    question = sample(squad, 1)[0]
    own = answerer.windows(question.question, question.context)
    passages = sum(len(w.input_ids) // 32 - w.unjudged_blocks for w in own)
    blocks = [len(w.input_ids) // 32 for w in own]
    gmacs = sum(dense_macs(runner.model, 32 * n) for n in blocks) / 1e9
    pairs = 3 * sum(n * n for n in blocks)
    kept = Imposed([1.0], [0, 2])
    assert _work(runner, own, runner.run(own, None), None).tolist() == [1, 0, 0, 0, pytest.approx(gmacs), pairs]
    assert _work(runner, own, runner.run(own, kept), kept).tolist() == [
        1, 4, 2, 2 * passages, pytest.approx(gmacs), pairs
    ]  # fmt: skip


def test_what_is_dropped_is_not_waited_for(minilm_bundle, squad):
    qa = QAPipeline(minilm_bundle, threshold=0.5)
    qa.runner.load(dense=True, skim=True)
    answerer = qa.answerer()
    own = sample(squad, 4)
    policies = [Thresholds({}), Thresholds(dict.fromkeys(range(6), 0.97))]
    seconds = measure_seconds(answerer, own, policies)
    assert seconds[1] < seconds[0]  # nearly everything is dropped after layer 0


def test_an_imposed_pattern_runs_only_its_predictors():
    imposed = Imposed([0.5], [1, 3])
    assert [imposed.scores(i) for i in range(4)] == [False, True, False, True]

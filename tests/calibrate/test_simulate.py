"""The simulation against the pipeline: with the scores of the record exactly, with those of true runs nearly."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.blocks import KEPT
from bskim_export.calibrate.simulate import Simulator
from bskim_export.evaluate.loop import evaluate
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window

SCORES = [0.0, 1e-4, 0.002, 0.05, 0.3, 0.7, 0.9, 0.999]
thresholds = st.lists(st.sampled_from(SCORES), min_size=6, max_size=6).map(np.array)


class RecordedRunner:
    """Runs windows by the scores of a record: what is dropped before changes no score and no logit.

    A plain re-implementation, window by window and block by block.
    """

    alone = False

    def __init__(self, recorded):
        self.model = recorded.answerer.runner.model
        self.skim_layers = recorded.answerer.runner.skim_layers
        windows = [w for q in recorded.questions for w in recorded.windows(q)]
        self._dense = {self._key(w): recorded.answerer.runner.run([w], None)[0] for w in windows}
        ends = np.cumsum(recorded.record.blocks)[:-1]
        self._scores = dict(zip(map(self._key, windows), np.split(recorded.record.scores, ends, axis=1), strict=True))

    def run(
        self, windows: Sequence[Window], policy: Thresholds, protected: Sequence[int | None] | None = None
    ) -> list[WindowResult]:
        protected = protected or [None] * len(windows)
        return [self._run(w, policy, p) for w, p in zip(windows, protected, strict=True)]

    def _run(self, window: Window, policy: Thresholds, protected: int | None) -> WindowResult:
        dense = self._dense[self._key(window)]
        blocks = len(dense.dropped_after)
        result = WindowResult(dense.start_logits.copy(), dense.end_logits.copy(), np.full(blocks, KEPT, np.int16))
        judged = [b for b in range(window.unjudged_blocks, blocks) if b != protected]
        for row, layer in enumerate(self.skim_layers):
            if not policy.scores(layer) or not judged:
                continue
            score = self._scores[self._key(window)][row]
            wanted = [b for b in judged if score[b] >= np.float32(policy.by_layer[layer])]
            stay = [b for b in judged if b in wanted or b < window.question_blocks]
            gone = [b for b in judged if b not in stay]
            if not wanted and window.may_leave and protected is None:
                result.left = True
                result.best_block = max(judged, key=lambda b: score[b])
                result.best_score = float(score[result.best_block])
                gone = [b for b in range(blocks) if result.dropped_after[b] == KEPT]
            result.dropped_after[gone] = layer
            judged = stay
            if result.left:
                break
        dropped = np.repeat(result.dropped_after != KEPT, self.model.block_size)
        result.start_logits[dropped] = -np.inf
        result.end_logits[dropped] = -np.inf
        return result

    def _key(self, window: Window) -> tuple[bytes, int]:
        return window.input_ids.tobytes(), window.may_leave


@pytest.fixture(scope="module")
def replayed(recorded):
    """An answerer whose scores and logits are those of the record."""
    return replace(recorded.answerer, runner=RecordedRunner(recorded))


@given(thresholds)
@settings(deadline=None, max_examples=12)
def test_with_the_scores_of_the_record_the_evaluation_loop_gives_what_is_simulated(recorded, simulator, replayed, t):
    policy = Thresholds(dict(zip(recorded.record.layers, t.tolist(), strict=True)))
    done = list(evaluate(replace(replayed, policy=policy), recorded.questions))
    simulated = simulator.run(t)
    assert [d.macs for d in done] == simulated.macs.tolist()
    assert [d.kept.tolist() for d in done] == simulated.kept.tolist()
    stays = np.concatenate([r.dropped_after == KEPT for d in done for r in d.results])
    assert stays.tolist() == simulated.stays.tolist()
    # Answers may differ where more than four spans of a pair of blocks share a text.
    assert np.mean(np.array([d.f1 for d in done]) == simulated.f1) > 0.9
    assert np.mean(np.array([d.em for d in done]) == simulated.em) > 0.9


def leaving(recorded, t):
    """Return what a true run does: bool [W], the windows that left in their first run; {window: protected block}."""
    policy = Thresholds(dict(zip(recorded.record.layers, t.tolist(), strict=True)))
    done = evaluate(replace(recorded.answerer, policy=policy), recorded.questions)
    results = [r for one in done for r in one.results]
    again = {w: r.earlier.best_block for w, r in enumerate(results) if r.earlier is not None}
    return np.array([(r.earlier or r).left for r in results]), again


@pytest.mark.parametrize("layer", [0, 2, 5])
@pytest.mark.parametrize("threshold", [0.4, 0.9, 0.999])
def test_windows_leave_and_run_again_as_in_the_pipeline(recorded, simulator, layer, threshold):
    """At one layer alone, nothing was dropped before, so the scores are those of a true run."""
    t = np.zeros(6)
    t[layer] = threshold
    left, again = leaving(recorded, t)
    skimmed = simulator._skim(t)
    assert left.tolist() == (skimmed.live[-1] == 0).tolist()
    assert list(again) == skimmed.again.tolist()
    starts = np.cumsum(recorded.record.blocks) - recorded.record.blocks
    for window, block in again.items():
        protected = starts[window] + block
        first = starts[window] + recorded.record.question_blocks[window]
        passage = np.arange(first, starts[window] + recorded.record.blocks[window])
        # A block that the question shares with the passage stays anyway: it may be the protected one.
        assert passage[skimmed.stays[passage]].tolist() == [b for b in passage if b == protected]


def test_some_windows_leave_and_some_questions_run_again(recorded):
    """The tests of leaving can fail: there is something to leave."""
    t = np.zeros(6)
    t[2] = 0.999
    left, again = leaving(recorded, t)
    assert 0 < left.sum() < len(left)
    assert again


@pytest.mark.parametrize("value", [0.01, 0.3])
def test_windows_leave_nearly_as_in_the_pipeline_where_every_layer_drops(recorded, simulator, value):
    t = np.full(6, value)
    left, again = leaving(recorded, t)
    skimmed = simulator._skim(t)
    assert (left == (skimmed.live[-1] == 0)).mean() > 0.85
    assert len(set(again) ^ set(skimmed.again.tolist())) <= len(recorded.questions) // 8


@given(thresholds, thresholds)
@settings(deadline=None, max_examples=40)
def test_higher_thresholds_keep_less_and_lose_no_less_but_for_second_runs(simulator, a, b):
    """A second run protects a block, so only what never ran twice is monotone."""
    low, high = simulator._skim(np.minimum(a, b)), simulator._skim(np.maximum(a, b))
    assert (high.live <= low.live).all()
    assert (high.gone | ~low.gone).all()


@given(thresholds)
@settings(deadline=None, max_examples=40)
def test_without_a_price_cost_is_macs(simulator, t):
    outcome = simulator.run(t)
    assert np.array_equal(simulator.cost(t), outcome.macs)
    assert (outcome.kept[:, 1:] <= outcome.kept[:, :-1]).all()
    free = replace(simulator.model, predictor_macs=0, predictor_question_macs=0)
    assert (Simulator(simulator.record, free).cost(t) <= outcome.macs).all()
    assert (outcome.macs == simulator.cost(np.zeros(6))).all() or t.any()


def test_a_price_counts_each_unit_of_work(simulator):
    dense, all_layers = np.zeros(6), np.full(6, 1e-9)  # so low that nothing is dropped
    for feature, per_question in ((0, 1), (1, 7), (2, 6)):
        priced = Simulator(simulator.record, simulator.model, np.eye(6)[feature])
        assert set(priced.cost(all_layers)) == {per_question}
        assert set(priced.cost(dense)) == {1 if feature == 0 else 0}
    model = replace(simulator.model, predictor_question_macs=0)  # which has no price of its own
    gmacs = Simulator(simulator.record, model, np.array([0, 0, 0, model.predictor_macs, 1e9, 0]))
    assert gmacs.cost(all_layers) == pytest.approx(Simulator(simulator.record, model).cost(all_layers))

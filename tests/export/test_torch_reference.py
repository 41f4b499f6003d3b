"""The PyTorch reference as a runner: what it calls a tie, and the rules that it shares with the orchestrator."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import windows_of

from bskim_export import QAPipeline
from bskim_export.blocks import KEPT
from bskim_export.data.question import sample
from bskim_export.errors import InputError
from bskim_export.export.torch_reference import TorchReference, near_tie
from bskim_export.runtime.policy import KeepSchedule, Thresholds

ALL_LEAVE = Thresholds(dict.fromkeys(range(3), 1.0))
"""Higher than any score, so that every window which may leave does so after the first layer."""
STAGGERED = Thresholds({0: 0.8, 1: 0.9, 2: 1.0})
"""Windows leave after several layers."""


@pytest.mark.parametrize(
    ("probability", "threshold", "tie"),
    [
        (0.50002, 0.5, True),
        (0.5001, 0.5, False),
        (0.00100005, 0.001, True),
        (0.001002, 0.001, False),  # 1e-5 of a probability would have called this one
        (1.0, 1.0, True),
        (0.0, 1e-9, False),
    ],
)
def test_a_tie_is_a_matter_of_logits(probability, threshold, tie):
    out = SimpleNamespace(scores={2: {0: threshold, 1: probability}})
    stays = torch.tensor([True, False])
    assert near_tie(out, stays, {2: threshold}) is tie


@pytest.fixture(params=[("bert", "diagonal"), ("albert", "question")], ids="-".join)
def runners(request, tiny, tiny_bundle, squad):
    """A family's pipeline, its reference, and windows that share all of their passage tokens with others."""
    family, predictor = request.param
    checkpoint = tiny(family, (0, 1, 2), predictor)
    qa = QAPipeline(tiny_bundle(family, (0, 1, 2), predictor))
    windows = windows_of(checkpoint, sample(squad, 12, seed=9), max_seq_len=160)
    windows = [replace(w, may_leave=True) for w in windows if len(w.input_ids) // 32 > w.question_blocks]
    return qa, TorchReference(checkpoint.model, qa.bundle.model), windows


def assert_same(ours, theirs, window):
    """Fail unless both results have the same blocks, and the same logits of tokens that were kept."""
    np.testing.assert_array_equal(ours.dropped_after, theirs.dropped_after)
    assert (ours.left, ours.best_block) == (theirs.left, theirs.best_block)
    # Random predictors magnify the rounding of two libraries, by how much depends on the processor: 3e-4 was seen.
    assert ours.best_score == pytest.approx(theirs.best_score, abs=1e-3)
    np.testing.assert_array_equal(np.isfinite(ours.start_logits), np.isfinite(theirs.start_logits))
    kept = np.isfinite(theirs.start_logits)
    kept[window.length :] = False  # what padding gets means nothing
    np.testing.assert_allclose(ours.start_logits[kept], theirs.start_logits[kept], atol=1e-4)
    np.testing.assert_allclose(ours.end_logits[kept], theirs.end_logits[kept], atol=1e-4)
    np.testing.assert_allclose(ours.keep_probability, theirs.keep_probability, atol=1e-3)


@pytest.mark.parametrize("policy", [ALL_LEAVE, STAGGERED])
def test_windows_leave_after_the_same_layer_and_with_the_same_best_block(policy, runners):
    qa, reference, windows = runners
    theirs = reference.run(windows, policy)
    assert all(r.left for r in theirs)
    assert (len({r.left_after for r in theirs}) > 1) == (policy is STAGGERED)
    for window, ours, other in zip(windows, qa.runner.run(windows, policy), theirs, strict=True):
        if not other.tie:
            assert_same(ours, other, window)


@pytest.mark.parametrize("policy", [ALL_LEAVE, STAGGERED])
def test_a_second_run_protects_the_same_block_and_drops_the_same_others(policy, runners):
    qa, reference, windows = runners
    ours = replace(qa.answerer(), policy=policy)
    theirs = replace(ours, runner=reference)
    # Each question has lost its only window, which runs once more.
    first = ours.run(windows)
    their_first = theirs.run(windows)
    second = ours.run(windows, [r.best_block for r in first])
    their_second = theirs.run(windows, [r.best_block for r in their_first])
    compared = 0
    for window, mine, other, before, their_before in zip(
        windows, second, their_second, first, their_first, strict=True
    ):
        mine.earlier = before
        other.earlier = their_before
        assert before.left
        assert their_before.left
        if other.tie or other.earlier.tie:
            continue
        assert_same(mine.earlier, other.earlier, window)
        assert_same(mine, other, window)
        protected = other.earlier.best_block
        assert protected >= window.unjudged_blocks
        assert not mine.left
        kept = {*range(window.question_blocks), protected}
        assert kept <= set(np.flatnonzero(mine.dropped_after == KEPT).tolist())
        if policy is ALL_LEAVE:
            assert kept == set(np.flatnonzero(mine.dropped_after == KEPT).tolist())
        compared += 1
    assert compared > len(windows) // 2


def test_without_a_policy_nothing_is_dropped(runners):
    qa, reference, windows = runners
    for ours, theirs in zip(qa.runner.run(windows, None), reference.run(windows, None), strict=True):
        assert (theirs.dropped_after == KEPT).all()
        assert not theirs.tie
        np.testing.assert_allclose(ours.start_logits, theirs.start_logits, atol=1e-4)


def test_policies_other_than_thresholds_are_refused(runners):
    _, reference, windows = runners
    with pytest.raises(InputError, match="by thresholds only"):
        reference.run(windows, KeepSchedule([0.5]))

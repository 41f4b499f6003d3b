import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.errors import InputError
from bskim_export.runtime.policy import KeepSchedule, Thresholds, check_threshold

SCORES = st.floats(0, 1, width=32)


@st.composite
def scored_blocks(draw):
    """Draw windows (with gaps), distinct scores, and how many blocks each window began with, at least those left."""
    left = draw(st.lists(st.integers(0, 12), min_size=1, max_size=5))
    began = [n + draw(st.integers(0, 6)) for n in left]
    window = np.repeat(np.arange(len(left)), left)
    scores = draw(st.lists(SCORES, min_size=len(window), max_size=len(window), unique=True))
    return window, np.array(scores, np.float32), np.array(began)[window]


@given(scored_blocks(), st.integers(1, 100))
def test_keep_schedule_keeps_the_best_scored_share_of_each_window(blocks, percent):
    window, score, initial = blocks
    keep = KeepSchedule([percent / 100]).keep(0, window, score, initial)
    assert keep.dtype == bool
    assert keep.shape == score.shape
    for w in np.unique(window):
        own = window == w
        target = math.ceil(Fraction(percent, 100) * int(initial[own][0]))
        best = np.sort(score[own])[::-1][:target]
        assert sorted(score[own & keep]) == sorted(best)


@given(st.integers(1, 20), st.integers(1, 99))
def test_keep_schedule_keeps_the_same_number_when_scores_are_equal(blocks, percent):
    keep = KeepSchedule([percent / 100]).keep(
        0, np.zeros(blocks, int), np.full(blocks, 0.5, np.float32), np.full(blocks, blocks)
    )
    assert keep.sum() == math.ceil(Fraction(percent, 100) * blocks)


@pytest.mark.parametrize(("layer", "kept"), [(0, [0, 1, 2, 3]), (1, [0, 2]), (2, [0]), (11, [0])])
def test_keep_schedule_uses_its_last_share_for_later_layers(layer, kept):
    score = np.array([0.4, 0.1, 0.3, 0.2], np.float32)
    keep = KeepSchedule([1, 0.5, 0.25]).keep(layer, np.zeros(4, int), score, np.full(4, 4))
    assert np.flatnonzero(keep).tolist() == kept


def test_keep_schedule_judges_windows_apart():
    window = np.array([0, 0, 2, 2])
    score = np.array([0.9, 0.8, 0.2, 0.1], np.float32)
    assert KeepSchedule([0.5]).keep(0, window, score, np.full(4, 2)).tolist() == [True, False, True, False]


@pytest.mark.parametrize("share", [0.01, 1e-12])
def test_keep_schedule_leaves_at_least_one_block(share):
    keep = KeepSchedule([share]).keep(0, np.zeros(3, int), np.array([0.1, 0.3, 0.2], np.float32), np.full(3, 3))
    assert keep.tolist() == [False, True, False]


def test_keep_schedule_always_needs_scores():
    assert KeepSchedule([1.0]).scores(5)


@pytest.mark.parametrize("shares", [[], [0], [0.5, 1.01], [-0.5], [float("nan")]])
def test_keep_schedule_refuses_shares_out_of_range(shares):
    with pytest.raises(InputError, match="a list of shares above 0 and up to 1"):
        KeepSchedule(shares)


@given(st.lists(SCORES, max_size=20), SCORES)
def test_thresholds_keep_what_reaches_them_whatever_the_window(scores, threshold):
    score, nothing = np.array(scores, np.float32), np.zeros(len(scores), int)
    keep = Thresholds({3: threshold}).keep(3, nothing, score, nothing)
    assert keep.tolist() == [s >= threshold for s in scores]


@given(SCORES)
def test_a_score_equal_to_its_threshold_stays(threshold):
    assert Thresholds({0: threshold}).keep(0, np.zeros(1, int), np.array([threshold], np.float32), np.ones(1, int))[0]


def test_a_threshold_that_float32_rounds_up_keeps_the_score_it_was_measured_at():
    assert float(np.float32(0.1)) > 0.1
    just_below = np.nextafter(np.float32(0.1), np.float32(0))
    score = np.array([0.1, just_below], np.float32)
    assert Thresholds({0: 0.1}).keep(0, np.zeros(2, int), score, np.full(2, 2)).tolist() == [True, False]


def test_each_layer_has_its_own_threshold():
    policy, score = Thresholds({0: 0.2, 1: 0.8}), np.array([0.5], np.float32)
    assert policy.keep(0, np.zeros(1, int), score, np.ones(1, int)).all()
    assert not policy.keep(1, np.zeros(1, int), score, np.ones(1, int)).any()


def test_predictors_with_threshold_zero_or_none_need_not_run():
    policy = Thresholds({0: 0.0, 1: 1e-6, 2: 0})
    assert [policy.scores(layer) for layer in range(4)] == [False, True, False, False]


def test_thresholds_do_not_follow_later_changes_of_their_mapping():
    by_layer = {0: 0.5}
    policy = Thresholds(by_layer)
    by_layer[0] = 0.0
    assert policy.scores(0)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True])
def test_thresholds_out_of_range_are_named(value):
    with pytest.raises(InputError, match=r"the threshold of layer 7 must be a number from 0 \(keep every block\) to 1"):
        Thresholds({0: 0.5, 7: value})
    with pytest.raises(InputError, match=r"^threshold must be a number from 0"):
        check_threshold(value)


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_a_threshold_in_range_comes_back_as_a_float(value):
    checked = check_threshold(value)
    assert checked == value
    assert isinstance(checked, float)

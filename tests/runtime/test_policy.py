import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.errors import InputError
from bskim_export.runtime.policy import KeepSchedule, Thresholds, check_threshold, reaches

SCORES = st.floats(0, 1, width=32)


@st.composite
def judged_blocks(draw):
    """Draw which blocks of some windows are judged, bool [B, K]."""
    rows = st.lists(st.booleans(), min_size=9, max_size=9)
    return np.array(draw(st.lists(rows, min_size=1, max_size=5)))


@given(judged_blocks(), st.integers(1, 99))
def test_keep_schedule_allows_the_first_share_of_what_each_window_began_with(judged, percent):
    allowed = KeepSchedule([percent / 100]).allowed(0, judged)
    for own, row in zip(judged, allowed, strict=True):
        most = math.ceil(Fraction(percent, 100) * int(own.sum()))
        assert np.flatnonzero(row).tolist() == np.flatnonzero(own)[:most].tolist()


@pytest.mark.parametrize(("layer", "kept"), [(1, [0, 1]), (2, [0]), (11, [0])])
def test_keep_schedule_uses_its_last_share_for_later_layers(layer, kept):
    allowed = KeepSchedule([1, 0.5, 0.25]).allowed(layer, np.ones((1, 4), bool))
    assert np.flatnonzero(allowed).tolist() == kept


def test_keep_schedule_of_all_allows_all_that_is_as_sure_as_nothing():
    schedule = KeepSchedule([1, 0.5])
    assert schedule.allowed(0, np.ones((1, 4), bool)) is None
    assert schedule.threshold(0) == schedule.threshold(1) == 0


@pytest.mark.parametrize("share", [0.01, 1e-12])
def test_keep_schedule_leaves_at_least_one_block(share):
    assert KeepSchedule([share]).allowed(0, np.ones((1, 3), bool)).tolist() == [[True, False, False]]


def test_keep_schedule_always_needs_scores():
    assert KeepSchedule([1.0]).scores(5)


@pytest.mark.parametrize("shares", [[], [0], [0.5, 1.01], [-0.5], [float("nan")]])
def test_keep_schedule_refuses_shares_out_of_range(shares):
    with pytest.raises(InputError, match="a list of shares above 0 and up to 1"):
        KeepSchedule(shares)


@given(SCORES)
def test_thresholds_name_that_of_each_layer_and_allow_all(threshold):
    policy = Thresholds({3: threshold})
    assert policy.scores(3) == (threshold > 0)
    assert policy.threshold(3) == threshold
    assert policy.allowed(3, np.ones((1, 2), bool)) is None


@given(SCORES)
def test_a_score_equal_to_its_threshold_stays(threshold):
    assert reaches(np.array([threshold], np.float32), threshold)[0]


def test_a_threshold_that_float32_rounds_up_keeps_the_score_it_was_measured_at():
    assert float(np.float32(0.1)) > 0.1
    just_below = np.nextafter(np.float32(0.1), np.float32(0))
    score = np.array([0.1, just_below], np.float32)
    assert reaches(score, 0.1).tolist() == [True, False]


def test_each_layer_has_its_own_threshold():
    policy = Thresholds({0: 0.2, 1: 0.8})
    assert [policy.threshold(0), policy.threshold(1)] == [0.2, 0.8]


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

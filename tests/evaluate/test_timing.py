import time

from hypothesis import given
from hypothesis import strategies as st

from bskim_export.evaluate.timing import interleaved, take_turns


@given(st.lists(st.integers(), min_size=1, max_size=6), st.integers(0, 20))
def test_every_row_has_its_turn_and_another_begins_each_time(rows, turn):
    order = take_turns(rows, turn)
    assert sorted(order) == sorted(rows)
    assert order[0] == rows[turn % len(rows)]
    assert order == take_turns(rows, turn + len(rows))


def test_runs_are_warmed_up_once_and_then_take_turns():
    calls = []
    seconds = interleaved([lambda: calls.append("a"), lambda: calls.append("b"), lambda: calls.append("c")], 2)
    assert "".join(calls) == "abcabcbca"
    assert seconds.shape == (2, 3)
    assert (seconds >= 0).all()


def test_each_run_gets_its_own_seconds():
    seconds = interleaved([lambda: None, lambda: time.sleep(0.02)], 3)
    assert (seconds[:, 1] >= 0.02).all()
    assert seconds[:, 0].min() < 0.02

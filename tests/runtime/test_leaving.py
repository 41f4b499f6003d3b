import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.runtime.leaving import leaves, most_promising


@st.composite
def windows(draw):
    """Draw windows of questions: (question, left, left after, best score) each. Ties are frequent."""
    counts = draw(st.lists(st.integers(0, 5), max_size=6))
    gaps = draw(st.lists(st.integers(1, 3), min_size=len(counts), max_size=len(counts)))
    numbers = np.cumsum(gaps).tolist()
    scores = st.sampled_from([0.0, 0.1, 0.5, 0.9])
    return [
        (number, draw(st.booleans()), draw(st.integers(0, 3)), draw(scores))
        for number, count in zip(numbers, counts, strict=True)
        for _ in range(count)
    ]


def columns(drawn):
    question, left, after, score = zip(*drawn, strict=True) if drawn else ((), (), (), ())
    return np.array(question, np.int64), np.array(left, bool), np.array(after, np.int64), np.array(score, np.float32)


def plainly_most_promising(drawn) -> list[int]:
    """Question by question: none if a window stayed; else the one that stayed longest, the surer of two, the first."""
    chosen = []
    for question in sorted({w[0] for w in drawn}):
        own = [i for i, w in enumerate(drawn) if w[0] == question]
        if all(drawn[i][1] for i in own):
            chosen.append(max(own, key=lambda i: drawn[i][2:]))
    return chosen


@given(windows())
def test_the_most_promising_window_is_the_one_that_stayed_longest_then_the_surest_then_the_first(drawn):
    assert most_promising(*columns(drawn)).tolist() == plainly_most_promising(drawn)


@given(windows(), st.data())
def test_what_a_window_that_stayed_is_said_to_have_left_after_is_ignored(drawn, data):
    other = [
        (q, left, *((after, score) if left else (data.draw(st.integers(0, 9)), data.draw(st.floats(0, 1)))))
        for q, left, after, score in drawn
    ]
    assert most_promising(*columns(other)).tolist() == most_promising(*columns(drawn)).tolist()


@given(st.data())
def test_a_questions_window_does_not_depend_on_other_questions(data):
    first, second = data.draw(windows()), data.draw(windows())
    behind = [(q + 1000, *rest) for q, *rest in second]
    both = most_promising(*columns(first + behind)).tolist()
    apart = [i + len(first) for i in most_promising(*columns(second)).tolist()]
    assert both == most_promising(*columns(first)).tolist() + apart


blocks = st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 4)).map(lambda w: (w[0], w[1], min(w[1], w[2])))


@given(st.lists(blocks))
def test_a_window_leaves_if_it_may_and_has_lost_all_the_passage_blocks_that_it_had(drawn):
    may, began, remaining = (np.array([w[i] for w in drawn], kind) for i, kind in enumerate((bool, int, int)))
    plain = [m and n > 0 and r == 0 for m, n, r in drawn]
    assert leaves(may, began, remaining).tolist() == plain


@given(st.lists(blocks, min_size=1), st.integers(1, 4))
def test_windows_are_judged_at_several_steps_at_once(drawn, steps):
    may, began, remaining = (np.array([w[i] for w in drawn], kind) for i, kind in enumerate((bool, int, int)))
    later = np.maximum(remaining - np.arange(steps)[:, None], 0)
    assert leaves(may, began, later).tolist() == [leaves(may, began, row).tolist() for row in later]

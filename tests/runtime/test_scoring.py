import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.runtime.orchestrator import WindowResult
from bskim_export.runtime.scoring import best_spans

CLS = 101


class FakeWindow:
    """What decode reads of a window: [CLS] q [SEP] and n passage tokens [SEP]."""

    def __init__(self, passage: int):
        self.input_ids = np.array([CLS, 7, 102] + [8] * passage + [102])
        self.is_passage = np.array([False] * 3 + [True] * passage + [False])


def removed_pipeline(start, end, is_passage, is_cls, kept, max_answer_len):
    """The published formula of the pipeline that transformers removed, by brute force."""
    desired = (is_passage | is_cls) & kept
    p = [np.exp(np.where(desired, x, -10000.0) - np.where(desired, x, -10000.0).max()) for x in (start, end)]
    p = [x / x.sum() for x in p]
    null = p[0][0] * p[1][0]
    ok = is_passage & kept
    spans = [
        (p[0][i] * p[1][j], i, j)
        for i in range(len(start))
        for j in range(i, min(i + max_answer_len, len(start)))
        if ok[i] and ok[j]
    ]
    return sorted(spans, reverse=True), null


LOGITS = st.floats(-8, 8, width=32)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 30), st.integers(1, 25))
def test_spans_and_scores_are_those_of_the_removed_pipeline(data, passage, max_answer_len, count):
    window = FakeWindow(passage)
    n = len(window.input_ids)
    start, end = (np.array(data.draw(st.lists(LOGITS, min_size=n, max_size=n)), np.float32) for _ in range(2))
    kept = np.array([True] * 3 + data.draw(st.lists(st.booleans(), min_size=passage + 1, max_size=passage + 1)))
    result = WindowResult(np.where(kept, start, -np.inf), np.where(kept, end, -np.inf), np.zeros(1, np.int16))
    ours, null = best_spans(window, result, CLS, max_answer_len, count)
    theirs, their_null = removed_pipeline(start, end, window.is_passage, window.input_ids == CLS, kept, max_answer_len)
    assert len(ours) == min(count, len(theirs))
    np.testing.assert_allclose([s for *_, s in ours], [s for s, *_ in theirs[:count]], rtol=1e-5)
    np.testing.assert_allclose(null, their_null, rtol=1e-5)
    for i, j, score in ours:
        assert any((i, j) == (a, b) and np.isclose(score, s, rtol=1e-5) for s, a, b in theirs)


def test_the_best_span_is_found_however_little_was_kept():
    generator = np.random.default_rng(0)
    window = FakeWindow(300)
    n = len(window.input_ids)
    for _ in range(400):
        start, end = generator.normal(0, 4, (2, n)).astype(np.float32)
        kept = np.arange(n) < 3
        kept[generator.integers(3, n, 3)] = True
        result = WindowResult(np.where(kept, start, -np.inf), np.where(kept, end, -np.inf), np.zeros(1, np.int16))
        count = int(generator.integers(4, 60))
        ours, _ = best_spans(window, result, CLS, 15, count)
        theirs, _ = removed_pipeline(start, end, window.is_passage, window.input_ids == CLS, kept, 15)
        np.testing.assert_allclose([s for *_, s in ours], [s for s, *_ in theirs[:count]], rtol=1e-5)


def test_nothing_kept_of_the_passage_gives_no_span():
    window = FakeWindow(4)
    logits = np.where(window.is_passage, -np.inf, 0.0).astype(np.float32)
    assert best_spans(window, WindowResult(logits, logits, np.zeros(1, np.int16)), CLS, 15, 3)[0] == []

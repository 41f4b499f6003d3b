import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.scoring import best_answers, best_spans

CLS = 101


class FakeWindow:
    """The part of a window that scoring reads: [CLS] q [SEP] and n passage tokens [SEP]."""

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


class FakeEncoding:
    """Every token is a word of two characters and a space."""

    def __init__(self, tokens: int):
        self.offsets = [(3 * i, 3 * i + 2) for i in range(tokens)]


def many_windows(count: int, answer: str = "aa") -> tuple[str, list[FakeWindow], list[WindowResult]]:
    """Return a context whose every window is nearly sure of the same text."""
    windows, results = [], []
    for _ in range(count):
        window = FakeWindow(4)
        window.encoding = FakeEncoding(len(window.input_ids))
        logits = np.zeros(len(window.input_ids), np.float32)
        logits[4] = 8
        windows.append(window)
        results.append(WindowResult(logits, logits, np.zeros(1, np.int16)))
    return f"{answer} " * 8, windows, results


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.booleans())
def test_scores_are_from_zero_to_one_however_many_windows_agree(count, top_k, impossible):
    context, windows, results = many_windows(count)
    options = RunOptions(384, 128, 15, top_k, impossible, align_to_words=False)
    answers = best_answers(context, windows, results, CLS, options)
    assert all(0 <= a["score"] <= 1 for a in answers)
    assert answers[0]["answer"] == "aa"
    assert answers[0]["score"] > 0.9


def test_in_one_window_a_score_is_the_sum_over_the_spans_with_its_text():
    context, windows, results = many_windows(1)
    spans, _ = best_spans(windows[0], results[0], CLS, 1, 8)
    (answer,) = best_answers(context, windows, results, CLS, RunOptions(384, 128, 1, top_k=8, align_to_words=False))
    assert len(spans) == 4
    assert answer["score"] == sum(score for *_, score in spans) < 1

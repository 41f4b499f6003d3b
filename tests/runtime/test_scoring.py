"""The scores of answers: in one window those of the removed pipeline, over several windows on one scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.runtime.evidence import Candidate, Evidence, Pair, best_spans
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.scoring import best_answers

CLS = 101
SCALES = ("null", "logits", "window")


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


def one_window(window, result, max_answer_len, count, scale):
    """Return the spans of a window with their scores, best first, and the null's."""
    spans, mass, null = best_spans(window, result, CLS, max_answer_len, count)
    candidates = [Candidate(0, s.first, s.last, f"{s.first} {s.last}", s.logits) for s in spans]
    options = RunOptions(384, 128, 15, top_k=count + 1, handle_impossible_answer=True, window_scale=scale)
    answers = best_answers([Evidence(candidates, mass, null)], options)
    (null_score,) = (a["score"] for a in answers if not a["answer"])
    return [(a["start"], a["end"], a["score"]) for a in answers if a["answer"]], null_score


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 30), st.integers(1, 25), st.sampled_from(SCALES))
def test_in_one_window_spans_and_scores_are_those_of_the_removed_pipeline(data, passage, max_answer_len, count, scale):
    window = FakeWindow(passage)
    n = len(window.input_ids)
    start, end = (np.array(data.draw(st.lists(LOGITS, min_size=n, max_size=n)), np.float32) for _ in range(2))
    kept = np.array([True] * 3 + data.draw(st.lists(st.booleans(), min_size=passage + 1, max_size=passage + 1)))
    result = WindowResult(np.where(kept, start, -np.inf), np.where(kept, end, -np.inf), np.zeros(1, np.int16))
    ours, null = one_window(window, result, max_answer_len, count, scale)
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
        ours, _ = one_window(window, result, 15, count, "null")
        theirs, _ = removed_pipeline(start, end, window.is_passage, window.input_ids == CLS, kept, 15)
        np.testing.assert_allclose([s for *_, s in ours], [s for s, *_ in theirs[:count]], rtol=1e-5)


def test_nothing_kept_of_the_passage_gives_no_span():
    window = FakeWindow(4)
    logits = np.where(window.is_passage, -np.inf, 0.0).astype(np.float32)
    spans, mass, null = best_spans(window, WindowResult(logits, logits, np.zeros(1, np.int16)), CLS, 15, 3)
    assert spans == []
    assert mass == Pair(-np.inf, -np.inf)
    assert null == Pair(0.0, 0.0)


def evidence(*windows: tuple[float, dict[str, float]], passage: int = 0) -> list[Evidence]:
    """Return windows of a null logit, and of answers of which both logits are the same. Nothing else is in them."""
    found = []
    for null, answers in windows:
        candidates = [Candidate(passage, 0, len(t), t, Pair(x, x)) for t, x in answers.items()]
        mass = float(np.logaddexp.reduce(list(answers.values()))) if answers else -np.inf
        found.append(Evidence(candidates, Pair(mass, mass), Pair(null, null)))
    return found


def answers_of(windows, **options):
    return best_answers(windows, RunOptions(384, 128, 30, **{"top_k": 9, **options}))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(LOGITS, st.dictionaries(st.sampled_from(["Ada", "ADA", "Bob", "Eve"]), LOGITS)), min_size=1),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from(SCALES),
)
def test_scores_are_from_zero_to_one_however_many_windows_agree(windows, top_k, impossible, scale):
    found = answers_of(evidence(*windows), top_k=top_k, handle_impossible_answer=impossible, window_scale=scale)
    scores = [a["score"] for a in found]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)
    texts = [a["answer"].lower() for a in found]
    assert len(set(texts)) == len(texts) <= top_k
    if scale != "window":  # one distribution over all that may be answered
        assert sum(scores) <= 1 + 1e-9


def test_the_null_scale_prefers_the_window_that_is_surer_to_hold_an_answer():
    # Within each window, "wrong" is as good as certain; the second one's own null says that it holds nothing.
    windows = evidence((0.0, {"right": 4.0, "other": 3.0}), (9.0, {"wrong": 8.0}))
    assert answers_of(windows, window_scale="null")[0]["answer"] == "right"
    assert answers_of(windows, window_scale="logits")[0]["answer"] == "wrong"
    sure = evidence((0.0, {"right": 4.0, "other": 3.9}), (0.0, {"wrong": 3.0}))
    assert answers_of(sure, window_scale="null")[0]["answer"] == "right"
    assert answers_of(sure, window_scale="window")[0]["answer"] == "wrong"


def test_scores_are_a_softmax_over_all_windows_and_one_null():
    windows = evidence((1.0, {"Ada": 3.0}), (2.0, {"Bob": 2.0, "Eve": 1.0}))
    weight = {"Ada": np.exp(2.0), "Bob": np.exp(0.0), "Eve": np.exp(-1.0), "": 1.0}
    found = answers_of(windows, handle_impossible_answer=True)
    assert {a["answer"]: a["score"] for a in found} == pytest.approx(
        {text: (w / sum(weight.values())) ** 2 for text, w in weight.items()}
    )


def test_what_is_the_same_for_all_tokens_of_a_window_changes_nothing():
    """As with a softmax: a model's logits mean nothing by themselves, but against its null."""
    plain = answers_of(evidence((1.0, {"Ada": 3.0}), (2.0, {"Bob": 2.5})))
    shifted = answers_of(evidence((101.0, {"Ada": 103.0}), (-48.0, {"Bob": -47.5})))
    assert [a["answer"] for a in plain] == [a["answer"] for a in shifted]
    assert [a["score"] for a in plain] == pytest.approx([a["score"] for a in shifted])


@pytest.mark.parametrize("scale", SCALES)
def test_a_window_that_left_counts_for_nothing(scale):
    windows = evidence((0.0, {"Ada": 3.0}), (1.0, {"Bob": 2.0}))
    gone = Evidence([], left=True, best_score=0.1)
    both = [answers_of(w, handle_impossible_answer=True, window_scale=scale) for w in (windows, [gone, *windows, gone])]
    assert both[0] == both[1]


def test_if_all_windows_left_the_null_is_as_sure_as_they_were():
    gone = [Evidence([], left=True, best_score=score) for score in (0.1, 0.3)]
    (null,) = answers_of(gone, handle_impossible_answer=True)
    assert null == {"score": pytest.approx(0.7), "start": 0, "end": 0, "answer": ""}


@pytest.mark.parametrize("scale", SCALES)
def test_a_model_without_cls_has_no_null(scale):
    windows = evidence((-np.inf, {"Ada": 3.0}), (-np.inf, {"Bob": 5.0}))
    first, *_ = answers_of(windows, window_scale=scale)
    assert first["answer"] == "Bob" or scale == "window"  # there, each window is certain
    assert first["score"] > 0.75


def test_an_answer_has_the_place_and_casing_of_its_most_probable_span():
    windows = [
        Evidence([Candidate(0, 5, 8, "ada", Pair(1.0, 1.0))], Pair(1.0, 1.0), Pair(0.0, 0.0)),
        Evidence([Candidate(2, 50, 53, "Ada", Pair(3.0, 3.0))], Pair(3.0, 3.0), Pair(0.0, 0.0)),
    ]
    (answer,) = best_answers(windows, RunOptions(384, 128, 30, top_k=3), with_passage=True)
    assert {**answer, "score": 0} == {"score": 0, "start": 50, "end": 53, "answer": "Ada", "passage": 2}
    total = 1 + np.exp(1.0) + np.exp(3.0)
    assert answer["score"] == pytest.approx((np.exp(1.0) / total) ** 2 + (np.exp(3.0) / total) ** 2)

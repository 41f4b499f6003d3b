import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.calibrate.spans import SPANS, SpanCollector, best_spans, text_hash
from bskim_export.runtime.runner import WindowResult


@pytest.fixture(scope="module")
def windows(recorded):
    """Windows of one, two and four blocks of passage."""
    return sorted((w for q in recorded.questions for w in recorded.windows(q)), key=lambda w: w.length)[
        :: len(recorded.record.blocks) // 3
    ]


def with_logits(window, seed: int) -> WindowResult:
    random = np.random.default_rng(seed)
    start, end = random.normal(0, 3, (2, len(window.input_ids))).astype(np.float32)
    return WindowResult(start, end, np.zeros(len(window.input_ids) // 32, np.int16))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.data())
@settings(deadline=None, max_examples=15)
def test_the_best_spans_of_every_pair_of_blocks_are_kept(windows, seed, max_answer_len, data):
    window = data.draw(st.sampled_from(windows))
    result = with_logits(window, seed)
    by_pair: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
    passage = np.flatnonzero(window.is_passage).tolist()
    for first in passage:
        for last in range(first, min(first + max_answer_len, passage[-1] + 1)):
            score = float(result.start_logits[first].astype(np.float64) + result.end_logits[last])
            by_pair.setdefault((first // 32, last // 32), []).append((score, first, last))
    wanted = {span for spans in by_pair.values() for span in sorted(spans, reverse=True)[:SPANS]}
    assert {(score, first, last) for first, last, score in best_spans(window, result, 32, max_answer_len)} == wanted


def test_spans_with_the_same_text_are_one_answer(recorded):
    """Here two windows offer the same spans."""
    question = recorded.questions[0]
    window = recorded.windows(question)[0]
    collector = SpanCollector(recorded.answerer.options, 32)
    collector.add(3, question, [window, window], [with_logits(window, 0)] * 2, [0, 10])
    found = collector.arrays()
    assert len(found["text"]) == len(found["text_score"]) == len(np.unique(found["text"][:, 1]))
    assert set(found["text"][:, 0]) == {3}
    first, second = np.split(found["spans"], 2)
    assert second.tolist() == (first + np.array([0, 10, 10])).tolist()
    assert sorted(set(first[:, 0])) == list(range(len(found["text"])))
    assert len(found["span_score"]) == 2 * len(first)


def test_answers_are_told_apart_as_the_pipeline_tells_them_apart():
    assert text_hash("Ada LOVELACE") == text_hash("ada lovelace")
    assert len({text_hash(t) for t in ("", "Ada", "Ada ", "Adá")}) == 4
    assert all(0 <= text_hash(t) < 2**63 for t in ("", "x", "y"))

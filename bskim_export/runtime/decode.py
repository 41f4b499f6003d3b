"""From logits to answers: the semantics of the question-answering pipeline that transformers had until 5.2."""

from collections.abc import Sequence

import numpy as np

from bskim_export.runtime.orchestrator import WindowResult
from bskim_export.runtime.windows import Window


def best_answers(
    context: str,
    windows: Sequence[Window],
    results: Sequence[WindowResult],
    cls_token_id: int | None,
    top_k: int = 1,
    max_answer_len: int = 15,
    handle_impossible_answer: bool = False,
    align_to_words: bool = True,
) -> list[dict]:
    """Return the best answers of one question from what became of its windows, best first; see QAPipeline.run."""
    count = top_k * 2 + 10 if align_to_words else top_k
    found: dict[str, dict] = {}
    null_score = 1.0
    stayed = [(w, r) for w, r in zip(windows, results, strict=True) if not r.left]
    for window, result in stayed:
        spans, null = best_spans(window, result, cls_token_id, max_answer_len, count)
        null_score = min(null_score, null)
        for first, last, score in spans:
            start, end = span_to_chars(window, first, last, align_to_words)
            text = context[start:end]
            known = found.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
            known["score"] += score
    answers = list(found.values())
    if not stayed:  # every window was sure that it holds nothing
        null_score = 1.0 - max(r.best_score for r in results)
    if handle_impossible_answer or not answers:
        answers.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda a: a["score"], reverse=True)[:top_k]


def best_spans(
    window: Window, result: WindowResult, cls_token_id: int | None, max_answer_len: int, count: int
) -> tuple[list[tuple[int, int, float]], float]:
    """Return the best spans of one window, best first, and the probability of the null answer.

    A span's score is the product of its start and end probabilities, each a softmax over the kept passage tokens and
    [CLS]. Dropped tokens are no candidates.

    Returns:
        ([(start token, end token, score)], null score); no spans if no passage token was kept.
    """
    candidate = window.is_passage & np.isfinite(result.start_logits)
    cls = (window.input_ids == cls_token_id) & np.isfinite(result.start_logits) if cls_token_id is not None else False
    start = _softmax(result.start_logits, candidate | cls)
    end = _softmax(result.end_logits, candidate | cls)
    null = float(start[0] * end[0]) if np.any(cls) else 0.0
    start, end = np.where(candidate, start, 0.0), np.where(candidate, end, 0.0)

    width = min(max_answer_len, len(start))
    ahead = np.lib.stride_tricks.sliding_window_view(np.concatenate([end, np.zeros(width - 1)]), width)
    scores = (start[:, None] * ahead).ravel()  # [S, width]: the span from s to s + d
    allowed = np.count_nonzero(scores)
    best = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    best = best[np.argsort(-scores[best], kind="stable")][:allowed]  # only now: a partition is not in order
    return [(int(i // width), int(i // width + i % width), float(scores[i])) for i in best], null


def span_to_chars(window: Window, start: int, end: int, align_to_words: bool) -> tuple[int, int]:
    """Return the character offsets [start, end) into the context of the span between two tokens, both included."""
    encoding = window.encoding
    if align_to_words:
        first, last = encoding.token_to_word(start), encoding.token_to_word(end)
        if first is not None and last is not None:
            begin, finish = encoding.word_to_chars(first, 1), encoding.word_to_chars(last, 1)
            if begin is not None and finish is not None:
                return begin[0], finish[1]
    return encoding.offsets[start][0], encoding.offsets[end][1]


def _softmax(logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if not mask.any():
        return np.zeros(len(logits))
    # Finite, as in the pipeline: a token that is no candidate gets -10000
    values = np.where(mask, logits, -10000.0).astype(np.float64)
    values = np.exp(values - values.max())
    return values / values.sum()

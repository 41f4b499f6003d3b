"""From logits to answers: the semantics of the question-answering pipeline that transformers had until 5.2."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from bskim_export.runtime.characters import Characters
from bskim_export.runtime.highlight import Skipped
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window


class Stats(TypedDict):
    """What an answer cost.

    seconds: wall time of the questions that ran together, of which this is one
    windows: of this question
    kept_share: the share of the work of all layers on passage blocks that was done, 0 to 1; 1 is the dense model
    """

    seconds: float
    windows: int
    kept_share: float


class Answer(TypedDict):
    """An answer, as the question-answering pipeline of transformers returned it.

    score: 0 to 1, see `best_answers`
    start, end: character offsets into the context
    answer: the text between them
    skipped: the ranges of the context that were dropped, if they were asked for
    stats: what the answer cost, if that was asked for
    """

    score: float
    start: int
    end: int
    answer: str
    skipped: NotRequired[list[Skipped]]
    stats: NotRequired[Stats]


Span = tuple[int, int, float]
"""First token, last token, score."""


def best_answers(
    context: str,
    windows: Sequence[Window],
    results: Sequence[WindowResult],
    cls_token_id: int | None,
    options: RunOptions,
) -> list[Answer]:
    """Return the best answers of one question from the results of its windows, best first; see QAPipeline.run.

    Answers are ranked by the sum of the probabilities of all spans with their text; what is returned as "score" is
    that sum, and 1 at most.
    """
    # A few spans more than are asked for: several may be widened to the same words.
    count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
    stayed = [(w, r) for w, r in zip(windows, results, strict=True) if not r.left]
    characters = Characters(context)
    found: dict[str, Answer] = {}
    best: dict[str, float] = {}
    null_score = 1.0
    for window, result in stayed:
        edges = characters.edges(window)
        spans, null = best_spans(window, result, cls_token_id, options.max_answer_len, count, edges)
        null_score = min(null_score, null)
        # Spans with the same text are one answer, whose place and casing are those of the best of them.
        for first, last, score in spans:
            start, end = characters.span(window, first, last, options.align_to_words)
            text = context[start:end]
            known = found.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
            known["score"] += score
            if score > best.get(text.lower(), 0.0):
                best[text.lower()] = score
                known["start"] = start
                known["end"] = end
                known["answer"] = text
    answers = list(found.values())
    if not stayed:  # every window was sure that it holds nothing
        null_score = 1.0 - max(r.best_score for r in results)
    if options.handle_impossible_answer or not answers:
        answers.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
    ranked = sorted(answers, key=lambda a: a["score"], reverse=True)[: options.top_k]
    for answer in ranked:
        answer["score"] = min(1.0, answer["score"])
    return ranked


def best_spans(
    window: Window,
    result: WindowResult,
    cls_token_id: int | None,
    max_answer_len: int,
    count: int,
    edges: npt.NDArray[np.bool_] | None = None,
) -> tuple[list[Span], float]:
    """Return the best spans of one window, best first, and the probability of the null answer.

    A span's score is the product of its start and end probabilities, each a softmax over the kept passage tokens and
    [CLS]. Dropped tokens are no candidates.

    Args:
        edges: bool [S], the tokens that may begin or end a span; default: those of the passage

    Returns:
        ([(start token, end token, score)], null score); no spans if no passage token was kept.
    """
    # Probabilities over the kept passage tokens and [CLS], which stands for the null answer.
    kept = np.isfinite(result.start_logits)
    candidate = window.is_passage & kept
    cls = np.zeros(len(kept), bool) if cls_token_id is None else (window.input_ids == cls_token_id) & kept
    start = _softmax(result.start_logits, candidate | cls)
    end = _softmax(result.end_logits, candidate | cls)
    null = float(start[0] * end[0]) if cls.any() else 0.0
    if edges is not None:
        candidate &= edges
    start = np.where(candidate, start, 0.0)
    end = np.where(candidate, end, 0.0)

    # Scores of all spans of up to `width` tokens, [S, width]: row s holds those from s to s, s + 1, ...
    width = min(max_answer_len, len(start))
    ahead = np.lib.stride_tricks.sliding_window_view(np.concatenate([end, np.zeros(width - 1)]), width)
    scores = (start[:, None] * ahead).ravel()

    # The best ones, sorted only after they have been picked; spans of score 0 are none.
    allowed = np.count_nonzero(scores)
    best = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    best = best[np.argsort(-scores[best], kind="stable")][:allowed]
    return [(int(i // width), int(i // width + i % width), float(scores[i])) for i in best], null


def _softmax(logits: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    if not mask.any():
        return np.zeros(len(logits))
    # Finite, as in the pipeline: a token that is no candidate gets -10000
    values = np.where(mask, logits, -10000.0).astype(np.float64)
    values = np.exp(values - values.max())
    total: npt.NDArray[np.float64] = values / values.sum()
    return total

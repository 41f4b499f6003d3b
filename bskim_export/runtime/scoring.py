"""From the evidence of a question's windows to its answers: one scale for all of them."""

import math
from collections.abc import Callable, Sequence
from typing import NotRequired, TypedDict

from bskim_export.runtime.evidence import Candidate, Evidence, Pair
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.skipped import Skipped


class Stats(TypedDict):
    """What an answer cost.

    seconds: wall time of the batches that the question's windows were in
    windows: of this question
    kept_share: the share of the work of all layers on passage blocks that was done, 0 to 1; 1 is the dense model
    """

    seconds: float
    windows: int
    kept_share: float


class Answer(TypedDict):
    """An answer, as the question-answering pipeline of transformers returned it.

    score: 0 to 1, see `best_answers`
    start, end: character offsets into the context, or into the passage
    answer: the text between them
    passage: of a question with passages, the number of the one that holds the answer; None for the null answer
    skipped: the ranges of the context that were dropped, if they were asked for
    stats: what the answer cost, if that was asked for
    """

    score: float
    start: int
    end: int
    answer: str
    passage: NotRequired[int | None]
    skipped: NotRequired[list[Skipped]]
    stats: NotRequired[Stats]


def best_answers(evidence: Sequence[Evidence], options: RunOptions, with_passage: bool = False) -> list[Answer]:
    """Return the best answers of one question, best first.

    The probability of a span is the product of those of its start and its end. Over which tokens these are normalised
    is `options.window_scale`:

    - "null": over the kept passage tokens of all windows and one null, after the logits of each window were measured
      from those of its own [CLS]. What a window gives to its best span depends on how sure it is that it holds one.
    - "logits": over the kept passage tokens and [CLS] of all windows, with the logits as they are (Clark and Gardner
      2018, shared normalisation, section 3.3). For a model without [CLS], "null" is this too.
    - "window": over each window by itself, as the transformers pipeline had it.

    In one window, all three are the same. Spans with the same text, whatever its case, are one answer, with the place
    and the casing of the most probable of them; its score is the sum of their probabilities, and 1 at most.

    Args:
        with_passage: answers say which passage they are from
    """
    stayed = [e for e in evidence if not e.left]
    probability, null_score = _SCALES[options.window_scale](stayed)
    answers: dict[str, Answer] = {}
    best: dict[str, float] = {}
    for number, one in enumerate(stayed):
        for candidate in one.candidates:
            score = probability(number, candidate.logits)
            if not score:
                continue
            key = candidate.text.lower()
            if key not in answers:
                answers[key] = _answer(candidate, 0.0)
                best[key] = 0.0
            total = answers[key]["score"] + score
            if score > best[key]:
                best[key] = score
                answers[key] = _answer(candidate, total)
            answers[key]["score"] = total
    found = list(answers.values())
    if not stayed:  # every window was sure that it holds nothing
        null_score = 1.0 - max(e.best_score for e in evidence)
    if options.handle_impossible_answer or not found:
        found.append({"score": null_score, "start": 0, "end": 0, "answer": "", "passage": None})
    ranked = sorted(found, key=lambda a: a["score"], reverse=True)[: options.top_k]
    for answer in ranked:
        answer["score"] = min(1.0, answer["score"])
        if not with_passage:
            del answer["passage"]
    return ranked


Scale = tuple[Callable[[int, Pair], float], float]
"""A function that returns the probability of a span of a window from its logits, and the probability of the null."""


def _null_scale(evidence: Sequence[Evidence]) -> Scale:
    if any(e.null.start == -math.inf for e in evidence):  # a model without [CLS]
        return _logits_scale(evidence)
    start = _log_add([0.0, *(e.mass.start - e.null.start for e in evidence)])
    end = _log_add([0.0, *(e.mass.end - e.null.end for e in evidence)])

    def probability(number: int, logits: Pair) -> float:
        null = evidence[number].null
        return math.exp(logits.start - null.start - start + logits.end - null.end - end)

    return probability, math.exp(-start - end)


def _logits_scale(evidence: Sequence[Evidence]) -> Scale:
    start = _log_add([x for e in evidence for x in (e.mass.start, e.null.start)])
    end = _log_add([x for e in evidence for x in (e.mass.end, e.null.end)])
    null_start = _log_add([e.null.start for e in evidence])
    null_end = _log_add([e.null.end for e in evidence])

    def probability(number: int, logits: Pair) -> float:
        return math.exp(logits.start - start + logits.end - end)

    has_null = null_start > -math.inf
    return probability, math.exp(null_start - start + null_end - end) if has_null else 0.0


def _window_scale(evidence: Sequence[Evidence]) -> Scale:
    alone = [_logits_scale([e]) for e in evidence]
    return lambda number, logits: alone[number][0](number, logits), min((null for _, null in alone), default=1.0)


_SCALES: dict[str, Callable[[Sequence[Evidence]], Scale]] = {
    "null": _null_scale,
    "logits": _logits_scale,
    "window": _window_scale,
}


def _answer(candidate: Candidate, score: float) -> Answer:
    return {
        "score": score,
        "start": candidate.start,
        "end": candidate.end,
        "answer": candidate.text,
        "passage": candidate.passage,
    }


def _log_add(values: Sequence[float]) -> float:
    most = max(values, default=-math.inf)
    if most == -math.inf:
        return most
    return most + math.log(sum(math.exp(v - most) for v in values))

"""How much text `highlight` can cut before what a question needs is lost, and what a reader makes of what is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bskim_export.data.question import Question
from bskim_export.evaluate.loop import evaluate
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.highlight import Sentence, kept_text


@dataclass(frozen=True, eq=False)
class Judged:
    """A question and the sentences of its context, each with its probability.

    needs: what must be kept, each as alternatives of sentences, by number: each supporting fact; without any, the
        answer, in any of its places
    """

    question: Question
    sentences: list[Sentence]
    needs: list[list[list[int]]]


def judge(question: Question, sentences: list[Sentence]) -> Judged:
    """Return a question with what it needs.

    Example:
        >>> cut = [Sentence(start=0, end=4, probability=0.1, kept=True), Sentence(start=5, end=9, probability=0.9,
        ...        kept=True)]
        >>> judge(Question("1", "Who?", "Yes. Ada.", ("Ada",), (5,)), cut).needs
        [[[1]]]
    """

    def holding(start: int, end: int) -> list[int]:
        return [i for i, s in enumerate(sentences) if s["start"] < end and s["end"] > start]

    facts = [[holding(start, end)] for start, end in question.supporting]
    answers = [holding(s, s + len(text)) for s, text in zip(question.starts, question.answers, strict=True)]
    return Judged(question, sentences, facts or ([answers] if answers else []))


def thresholds_for(judged: Sequence[Judged], cuts: Sequence[float]) -> list[float]:
    """Return for each share of all characters the lowest threshold that cuts at least so much."""
    length = np.array([s["end"] - s["start"] for one in judged for s in one.sentences])
    value = np.array([s["probability"] for one in judged for s in one.sentences])
    order = np.argsort(value, kind="stable")
    # What is cut at a threshold is all that is below it.
    gone = np.cumsum(length[order]) / length.sum()
    found = []
    for cut in cuts:
        place = min(int(np.searchsorted(gone, cut - 1e-9)), len(order) - 1)
        found.append(float(np.nextafter(value[order[place]], 2.0)) if cut > 0 else 0.0)
    return found


def recall(judged: Sequence[Judged], threshold: float) -> dict[str, float]:
    """Return the shares of what is kept at a threshold, 0 to 1.

    Returns:
        cut: the share of the sentences' characters that is cut
        recall: the share of all needs that are met: every sentence of one of their alternatives is kept
        whole: the share of the questions with needs that have all of theirs met
    """
    met: list[bool] = []
    whole: list[bool] = []
    kept = 0
    total = 0
    for one in judged:
        stays = [s["probability"] >= threshold for s in one.sentences]
        own = [any(all(stays[i] for i in sentences) for sentences in need) for need in one.needs]
        met += own
        whole += [all(own)] if own else []
        for sentence, stay in zip(one.sentences, stays, strict=True):
            total += sentence["end"] - sentence["start"]
            kept += stay * (sentence["end"] - sentence["start"])
    return {"cut": 1 - kept / max(1, total), "recall": _mean(met), "whole": _mean(whole)}


def reader_scores(
    answerer: Answerer,
    judged: Sequence[Judged],
    threshold: float,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return EM and F1, float64 [Q], 0 to 1, of a reader that is given only what is kept at a threshold.

    Args:
        progress: called with the number of questions that were just done
    """
    em = np.zeros(len(judged))
    f1 = np.zeros(len(judged))
    texts = [kept_text(one.question.context, one.sentences, threshold) for one in judged]
    there = [i for i, text in enumerate(texts) if any(c.isalnum() for c in text)]
    asked = [replace(judged[i].question, context=texts[i]) for i in there]
    for i, done in zip(there, evaluate(answerer, asked, progress), strict=True):
        em[i] = done.em
        f1[i] = done.f1
    return em, f1


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 1.0

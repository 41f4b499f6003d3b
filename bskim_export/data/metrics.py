"""Exact match and F1 as the official evaluation scripts of SQuAD 1.1, SQuAD 2.0 and MRQA define them.

MRQA's script scores as SQuAD 1.1's does. Only its gold answers are others, see `Question.gold`. SQuAD 2.0's script
differs in two points. A question without answers is right only with an empty prediction. If prediction or answer is
empty after normalisation, F1 is the exact match.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import NotRequired, TypedDict

_PUNCTUATION = str.maketrans("", "", string.punctuation)


class PartScores(TypedDict):
    """The scores of a part of a data set, in percent, and its number of questions."""

    em: float
    f1: float
    questions: int


class Scores(TypedDict):
    """The scores of a data set, in percent.

    By SQuAD 2.0's definition they have a part for the questions that have an answer, and one for those that have none,
    unless the part is empty. SQuAD 2.0's script calls them HasAns and NoAns.
    """

    em: float
    f1: float
    has_answer: NotRequired[PartScores]
    no_answer: NotRequired[PartScores]


def normalize_answer(text: str) -> str:
    """Lower-case, drop ASCII punctuation, drop the articles, collapse white space, in this order.

    Example:
        >>> normalize_answer("The  Denver-Broncos!")
        'denverbroncos'
    """
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 if the prediction equals one of the gold answers after normalisation, else 0.0."""
    return float(any(normalize_answer(prediction) == normalize_answer(a) for a in answers))


def f1(prediction: str, answers: Sequence[str]) -> float:
    """Return the best token F1 of the prediction over the gold answers, 0.0 to 1.0.

    Example:
        >>> f1("the Denver Broncos team", ["Denver Broncos"])
        0.8
    """
    return max((_f1(normalize_answer(prediction).split(), normalize_answer(a).split()) for a in answers), default=0.0)


def _f1(prediction: list[str], answer: list[str]) -> float:
    same = sum((Counter(prediction) & Counter(answer)).values())
    if same == 0:
        return 0.0
    precision = same / len(prediction)
    recall = same / len(answer)
    return 2 * precision * recall / (precision + recall)


def score(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return (EM, F1) in percent, averaged over questions, by SQuAD 1.1's and MRQA's definition.

    Args:
        predictions: one text for each question
        answers: the gold texts of each question
    """
    n = len(predictions)
    pairs = list(zip(predictions, answers, strict=True))
    return 100 * sum(exact_match(*p) for p in pairs) / n, 100 * sum(f1(*p) for p in pairs) / n


def exact_match_squad2(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 for a right prediction by SQuAD 2.0's definition, else 0.0."""
    return exact_match(prediction, _squad2_gold(answers))


def f1_squad2(prediction: str, answers: Sequence[str]) -> float:
    """Return the F1 of the prediction by SQuAD 2.0's definition, 0.0 to 1.0.

    Example:
        >>> f1_squad2("", []), f1_squad2("Denver", []), f1_squad2("Denver", ["Denver Broncos"])
        (1.0, 0.0, 0.6666666666666666)
    """
    if not normalize_answer(prediction):
        return exact_match_squad2(prediction, answers)
    return f1(prediction, _squad2_gold(answers))


def _squad2_gold(answers: Sequence[str]) -> Sequence[str]:
    """Return the answers that are not empty after normalisation, or one empty answer if there are none."""
    return [a for a in answers if normalize_answer(a)] or [""]


def evaluate(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> Scores:
    """Return a data set's scores.

    They follow SQuAD 2.0's definition if any question has no answer, and SQuAD 1.1's otherwise.

    Args:
        predictions: one text for each question
        answers: the gold texts of each question

    Example:
        >>> evaluate(["Denver", ""], [["Denver"], []])["no_answer"]
        {'em': 100.0, 'f1': 100.0, 'questions': 1}
    """
    if all(answers):
        em, mean_f1 = score(predictions, answers)
        return {"em": em, "f1": mean_f1}
    scores = [(exact_match_squad2(*p), f1_squad2(*p)) for p in zip(predictions, answers, strict=True)]
    has_answer = [s for s, gold in zip(scores, answers, strict=True) if gold]
    no_answer = [s for s, gold in zip(scores, answers, strict=True) if not gold]
    em, mean_f1 = _mean(scores)
    result: Scores = {"em": em, "f1": mean_f1}
    if has_answer:
        result["has_answer"] = _part_scores(has_answer)
    if no_answer:
        result["no_answer"] = _part_scores(no_answer)
    return result


def _part_scores(scores: Sequence[tuple[float, float]]) -> PartScores:
    em, mean_f1 = _mean(scores)
    return {"em": em, "f1": mean_f1, "questions": len(scores)}


def _mean(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return mean EM and mean F1 in percent, given (EM, F1) of each question as shares."""
    n = len(scores)
    return 100 * sum(em for em, _ in scores) / n, 100 * sum(f1 for _, f1 in scores) / n

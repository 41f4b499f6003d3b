"""Exact match and F1 as the official evaluation scripts of SQuAD 1.1, SQuAD 2.0 and MRQA define them.

MRQA's script is SQuAD 1.1's, normalisation included; only what it takes for gold answers differs (`Question.gold`).
SQuAD 2.0's differs in two points: a question without answers is right with an empty prediction only, and an empty
text on either side makes F1 an exact match.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

MAX_ANSWER_LEN = 30
"""Tokens of an answer at most, as SQuAD systems are evaluated."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)


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
    precision, recall = same / len(prediction), same / len(answer)
    return 2 * precision * recall / (precision + recall)


def score(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return (EM, F1) in percent, averaged over questions, by SQuAD 1.1's and MRQA's definition."""
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
    """Return the answers that say something; the empty answer if none does."""
    return [a for a in answers if normalize_answer(a)] or [""]


def evaluate(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict:
    """Return a data set's scores, by SQuAD 2.0's definition if any of its questions has no answer, else by SQuAD 1.1's.

    Returns:
        {"em", "f1"} in percent; by SQuAD 2.0's definition also "has_answer" and "no_answer", each with "em", "f1" and
        "questions" (its HasAns and NoAns scores), where there are such questions

    Example:
        >>> evaluate(["Denver", ""], [["Denver"], []])["no_answer"]
        {'em': 100.0, 'f1': 100.0, 'questions': 1}
    """
    if all(answers):
        em, mean_f1 = score(predictions, answers)
        return {"em": em, "f1": mean_f1}
    scores = [(exact_match_squad2(*p), f1_squad2(*p)) for p in zip(predictions, answers, strict=True)]
    parts = {"has_answer": [s for s, gold in zip(scores, answers, strict=True) if gold]}
    parts["no_answer"] = [s for s, gold in zip(scores, answers, strict=True) if not gold]
    return _mean(scores) | {name: {**_mean(part), "questions": len(part)} for name, part in parts.items() if part}


def _mean(scores: Sequence[tuple[float, float]]) -> dict[str, float]:
    em, f1s = zip(*scores, strict=True)
    return {"em": 100 * sum(em) / len(em), "f1": 100 * sum(f1s) / len(f1s)}

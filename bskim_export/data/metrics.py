"""Exact match and F1 as the official SQuAD 1.1 evaluation script defines them."""

import re
import string
from collections import Counter
from collections.abc import Sequence

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
    """Return (EM, F1) in percent, averaged over questions."""
    n = len(predictions)
    pairs = list(zip(predictions, answers, strict=True))
    return 100 * sum(exact_match(*p) for p in pairs) / n, 100 * sum(f1(*p) for p in pairs) / n

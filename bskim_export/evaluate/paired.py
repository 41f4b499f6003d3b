"""Two ways to answer the same questions: their scores and costs, and how sure the difference is. Without timing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.data.question import Question
from bskim_export.evaluate.loop import evaluate, padded_macs
from bskim_export.runtime.answering import Answerer

DRAWS = 10_000


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a pipeline, question by question.

    text: the answers
    em, f1: float64 [Q], 0 to 1
    macs: int64 [Q]
    macs_padded: int64 [Q], of the dense model over the same windows padded to 512 positions, as the paper counts
    """

    text: list[str]
    em: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]
    macs: npt.NDArray[np.int64]
    macs_padded: npt.NDArray[np.int64]

    def part(self, chosen: npt.NDArray[np.bool_]) -> "Answers":
        """Return the answers of some questions, bool [Q]."""
        text = [t for t, wanted in zip(self.text, chosen, strict=True) if wanted]
        return Answers(text, self.em[chosen], self.f1[chosen], self.macs[chosen], self.macs_padded[chosen])


def answer_all(
    answerer: Answerer, questions: Sequence[Question], progress: Callable[[int], None] = lambda done: None
) -> Answers:
    """Answer all questions, many at once.

    Args:
        progress: called with the number of questions that were just done
    """
    done = list(evaluate(answerer, questions, progress))
    return Answers(
        [d.text for d in done],
        np.array([d.em for d in done]),
        np.array([d.f1 for d in done]),
        np.array([d.macs for d in done]),
        np.array([padded_macs(d, answerer) for d in done]),
    )


def bootstrap(difference: npt.NDArray[np.float64], seed: int = 0, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a mean by the percentile bootstrap (Efron 1979): questions are drawn with replacement.

    Args:
        difference: float [Q], one per question: a paired comparison

    Example:
        >>> low, high = bootstrap(np.array([1.0] * 60 + [0.0] * 40))
        >>> 0.48 < low < 0.52, 0.68 < high < 0.72
        (True, True)
    """
    random = np.random.default_rng(seed)
    n = len(difference)
    means = [difference[random.integers(0, n, n)].mean() for _ in range(DRAWS)]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def figures(questions: Sequence[Question], answers: dict[str, Answers]) -> list[dict[str, Any]]:
    """Return the report of two ways: over all questions, and where only some have supporting facts, over both parts.

    Args:
        answers: of two ways, by their names; the second is compared with the first
    """
    supported = np.array([bool(q.supporting) for q in questions])
    parts = {"": np.ones(len(questions), bool)}
    if supported.any() and not supported.all():
        parts |= {"with supporting facts": supported, "without supporting facts": ~supported}
    return [_figures(name, {n: a.part(chosen) for n, a in answers.items()}) for name, chosen in parts.items()]


def _figures(part: str, answers: dict[str, Answers]) -> dict[str, Any]:
    first, second = answers.values()
    difference = 100 * (second.f1 - first.f1)
    return {
        "part": part,
        "questions": len(first.text),
        "rows": {
            way: {
                "em": 100 * float(a.em.mean()),
                "f1": 100 * float(a.f1.mean()),
                "gmacs_per_question": float(a.macs.mean()) / 1e9,
                "speedup_macs": float(first.macs.sum() / a.macs.sum()),
                "speedup_macs_over_padded_512": float(a.macs_padded.sum() / a.macs.sum()),
            }
            for way, a in answers.items()
        },
        "f1_difference": float(difference.mean()),
        "interval": bootstrap(difference),
        "different_answers": sum(a != b for a, b in zip(first.text, second.text, strict=True)),
    }

"""Two ways to answer the same questions: what each scores and costs, and how sure the difference is. Without timing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bskim_export.bench.macs import dense_macs, window_macs
from bskim_export.data.metrics import MAX_ANSWER_LEN, exact_match, exact_match_squad2, f1, f1_squad2
from bskim_export.data.question import Question
from bskim_export.runtime.pipeline import QAPipeline

DRAWS = 10_000


@dataclass(frozen=True, eq=False)
class Answers:
    """What a pipeline answered, question by question.

    text: the answers; em, f1: float64 [Q], 0 to 1; macs: int64 [Q]; macs_padded: int64 [Q], of the dense model over
        the same windows padded to 512 positions, as the paper counts
    """

    text: list[str]
    em: np.ndarray
    f1: np.ndarray
    macs: np.ndarray
    macs_padded: np.ndarray

    def part(self, chosen: np.ndarray) -> "Answers":
        """Return the answers of some questions, bool [Q]."""
        text = [t for t, wanted in zip(self.text, chosen, strict=True) if wanted]
        return Answers(text, self.em[chosen], self.f1[chosen], self.macs[chosen], self.macs_padded[chosen])


def answer_all(
    pipeline: QAPipeline,
    questions: Sequence[Question],
    max_seq_len: int,
    doc_stride: int,
    progress: Callable[[int], None] = lambda done: None,
    batch: int = 64,
) -> Answers:
    """Answer all questions with the pipeline's thresholds, many at once.

    Args:
        progress: called with the number of questions that were just done
        batch: questions whose windows are sorted by length together
    """
    model, impossible = pipeline.manifest.model, any(not q.gold for q in questions)
    layers = [i for i in pipeline.manifest.skim_layers if pipeline.policy.scores(i)]
    scores = (exact_match_squad2, f1_squad2) if impossible else (exact_match, f1)
    text, rows = [], []
    for start in range(0, len(questions), batch):
        part = questions[start : start + batch]
        windows = [pipeline.windows(q.question, q.context, max_seq_len, doc_stride) for q in part]
        results = pipeline.skim(windows, must_answer=not impossible)
        for question, own, outcome in zip(part, windows, results, strict=True):
            (best, *_) = pipeline.decode(
                question.context,
                own,
                outcome,
                max_answer_len=MAX_ANSWER_LEN,
                handle_impossible_answer=impossible,
            )
            text.append(best["answer"])
            spent = sum(window_macs(model, r, w.question_blocks, layers) for w, r in zip(own, outcome, strict=True))
            judged = [score(best["answer"], question.gold) for score in scores]
            rows.append((*judged, spent, len(own) * dense_macs(model, 512)))
        progress(len(part))
    em, f1s, macs, padded = map(np.array, zip(*rows, strict=True))
    return Answers(text, em, f1s, macs, padded)


def bootstrap(difference: np.ndarray, seed: int = 0, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a mean by the percentile bootstrap (Efron 1979): questions are drawn with replacement.

    Args:
        difference: float [Q], one per question: a paired comparison

    Example:
        >>> low, high = bootstrap(np.array([1.0] * 60 + [0.0] * 40))
        >>> 0.48 < low < 0.52, 0.68 < high < 0.72
        (True, True)
    """
    random, n = np.random.default_rng(seed), len(difference)
    means = [difference[random.integers(0, n, n)].mean() for _ in range(DRAWS)]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def figures(questions: Sequence[Question], answers: dict[str, Answers]) -> list[dict]:
    """Return the report of two ways: over all questions, and where only some have supporting facts, over both parts.

    Args:
        answers: of two ways, by their names; the second is compared with the first
    """
    supported = np.array([bool(q.supporting) for q in questions])
    parts = {"": np.ones(len(questions), bool)}
    if supported.any() and not supported.all():
        parts |= {"with supporting facts": supported, "without supporting facts": ~supported}
    return [_figures(name, {n: a.part(chosen) for n, a in answers.items()}) for name, chosen in parts.items()]


def _figures(part: str, answers: dict[str, Answers]) -> dict:
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

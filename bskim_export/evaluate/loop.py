"""The one loop over questions: windows, run, answers, scores, costs. Every benchmark and every calibration uses it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.data.metrics import exact_match, exact_match_squad2, f1, f1_squad2
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.evaluate.macs import dense_macs, window_macs
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.asked import Asked, Passage
from bskim_export.runtime.asking import ask_all
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.scoring import Answer
from bskim_export.runtime.windows import Window

TOGETHER = 64
"""Questions whose windows are sorted by length together."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One question, answered and scored.

    windows, results: one each per window
    answers: best first, as `QAPipeline.run` describes them
    em, f1: of the best answer, 0 to 1; by SQuAD 2.0's definition if the options allow the null answer, else by 1.1's
    macs: multiply-accumulates spent, predictors and second runs included
    kept: int64 [layers], blocks that each layer left, all windows together; a second run counts instead of the first
    seconds: from text to answers; of a question that ran with others, its share of their time
    """

    question: Question
    windows: list[Window]
    results: list[WindowResult]
    answers: list[Answer]
    em: float
    f1: float
    macs: int
    kept: npt.NDArray[np.int64]
    seconds: float

    @property
    def text(self) -> str:
        """Return the best answer."""
        return self.answers[0]["answer"]

    @property
    def blocks(self) -> int:
        """Return the blocks of all windows."""
        return sum(len(r.dropped_after) for r in self.results)


def evaluate(
    answerer: Answerer,
    questions: Sequence[Question],
    progress: Callable[[int], None] = lambda done: None,
    together: int = TOGETHER,
) -> Iterator[Evaluated]:
    """Answer and score questions, in order.

    Args:
        answerer: with its policy and options
        progress: called with the number of questions that were just done
        together: questions whose windows are batched together; 1 for latency

    Raises:
        InputError: a question cannot be run; the message names its id.
    """
    scores = (exact_match_squad2, f1_squad2) if answerer.options.handle_impossible_answer else (exact_match, f1)
    model = answerer.runner.model
    for first in range(0, len(questions), together):
        part = questions[first : first + together]
        # Only what a user waits for is timed.
        start = time.perf_counter()
        asked = [Asked(answerer, q.question, [Passage(q.context)], keep=True) for q in part]
        done = list(ask_all(answerer, asked))
        answers = [one.answers() for one in done if isinstance(one, Asked)]
        seconds = (time.perf_counter() - start) / len(part)
        for question, one in zip(part, done, strict=True):
            if isinstance(one, InputError):
                raise InputError(f"Question '{question.id}': {one}")
        for question, one, found in zip(part, asked, answers, strict=True):
            own = one.windows
            outcome = one.results
            em, f1_score = (score(found[0]["answer"], question.gold) for score in scores)
            scored = answerer.suited(one.document).scored_layers
            macs = sum(window_macs(model, r, w.unjudged_blocks, scored) for w, r in zip(own, outcome, strict=True))
            kept = kept_blocks(outcome, model.num_layers)
            yield Evaluated(question, own, outcome, found, em, f1_score, macs, kept, seconds)
        progress(len(part))


def cut_windows(answerer: Answerer, question: Question) -> list[Window]:
    """Return a question's windows. Raises InputError, with the question's id, if it cannot be run."""
    try:
        return list(answerer.windows(question.question, question.context))
    except InputError as error:
        raise InputError(f"Question '{question.id}': {error}") from None


def kept_blocks(results: Sequence[WindowResult], num_layers: int) -> npt.NDArray[np.int64]:
    """Return int64 [num_layers], the blocks that each layer left, all windows together."""
    dropped_after = np.concatenate([r.dropped_after for r in results])
    kept: npt.NDArray[np.int64] = (dropped_after > np.arange(num_layers)[:, None]).sum(axis=1)
    return kept


def padded_macs(done: Evaluated, answerer: Answerer, positions: int = 512) -> int:
    """Return the MACs of the dense model over the same windows padded to `positions`, as the paper counts."""
    return len(done.windows) * dense_macs(answerer.runner.model, positions)

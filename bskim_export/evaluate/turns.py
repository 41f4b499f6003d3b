"""Several ways to answer the same questions, timed so that the machine's moods hit all of them alike."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.data.question import Question
from bskim_export.evaluate.loop import Evaluated, evaluate
from bskim_export.evaluate.timing import share_turns, take_turns
from bskim_export.runtime.answering import Answerer


@dataclass(frozen=True)
class Timing:
    """One way to answer questions, and the times of all its runs.

    done: the questions of the first run
    runs: float64 [repeats, questions], seconds from text to answers; where questions ran together, their shares
    """

    done: list[Evaluated]
    runs: npt.NDArray[np.float64]

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """Return the median time of each question, float64 [questions]: a machine that stalls once does not show."""
        medians: npt.NDArray[np.float64] = np.median(self.runs, axis=0)
        return medians


def time_in_turns(
    answerers: Sequence[Answerer],
    questions: Sequence[Question],
    repeats: int,
    turn: int,
    progress: Callable[[], None] = lambda: None,
    together: int = 1,
    warm_up: bool = False,
) -> list[Timing]:
    """Return a timing of each answerer. All take turns, and another one begins each time.

    Args:
        repeats: runs of each question, of which the median counts
        turn: questions that an answerer answers before it is the next one's turn, at least `together`. One at a time,
            they begin with the first one twice, of which only the second is timed: the weights of others are in the
            caches then
        progress: called for each question of each run, the one that warms up included, once all are done with it
        together: questions that run together
        warm_up: run everything once before: OpenVINO compiles kernels for every new shape
    """
    done: list[list[Evaluated]] = [[] for _ in answerers]
    runs: list[list[list[float]]] = [[[] for _ in range(repeats)] for _ in answerers]
    if warm_up:
        for _, answerer, some in _turns(answerers, questions, turn, 0, progress):
            _run(answerer, some, together)
    elif together > 1:  # the engines that run several windows are compiled when they are first needed
        for answerer in answerers:
            _run(answerer, questions[:together], together)
    for repeat in range(repeats):
        for i, answerer, some in _turns(answerers, questions, turn, repeat, progress):
            if together == 1:
                _run(answerer, some[:1], 1)
            found = _run(answerer, some, together)
            runs[i][repeat] += [one.seconds for one in found]
            if repeat == 0:
                done[i] += found
    return [Timing(own, np.array(seconds)) for own, seconds in zip(done, runs, strict=True)]


def _turns(
    answerers: Sequence[Answerer], questions: Sequence[Question], turn: int, repeat: int, progress: Callable[[], None]
) -> Iterator[tuple[int, Answerer, Sequence[Question]]]:
    """Yield whose turn it is, with which questions."""
    rows = take_turns(list(enumerate(answerers)), repeat)
    for (i, answerer), some in share_turns(rows, questions, turn, progress):
        yield i, answerer, some


def _run(answerer: Answerer, questions: Sequence[Question], together: int) -> list[Evaluated]:
    return list(evaluate(answerer, questions, together=together))

"""What one request asks, as windows that run in any company: each is a step, and what comes back is put in order."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from bskim_export.blocks import KEPT
from bskim_export.errors import InputError
from bskim_export.evaluate.macs import dense_macs, window_macs
from bskim_export.runtime.asked import Asked
from bskim_export.runtime.budget import Again
from bskim_export.runtime.runner import Runner, WindowResult
from bskim_export.runtime.windows import Window

Kind = tuple[bool, bool, bool, int]
"""What windows that share a batch agree in: a question of several windows, one that is bounded, a second run, and the
policy."""


@dataclass(eq=False)
class Tally:
    """What was run, for those who watch a service.

    windows, positions, left: windows that ran, how many positions they have, and how many left before the last layer
    blocks: passage blocks that windows began with
    dropped: of these, those that were dropped after each layer
    batches, batched: batches that its windows ran in, and the windows of all of these
    seconds: of computing; of a batch, each window's share
    macs, dense_macs: multiply-accumulates that were done, and those of the dense model on the same windows
    """

    windows: int = 0
    positions: int = 0
    left: int = 0
    blocks: int = 0
    dropped: dict[int, int] = field(default_factory=dict)
    batches: int = 0
    batched: int = 0
    seconds: float = 0.0
    macs: int = 0
    dense_macs: int = 0

    def note(self, window: Window, result: WindowResult, asked: Asked, again: bool) -> None:
        """Count one window.

        Args:
            asked: the question that it is of
            again: it ran once more
        """
        answerer = asked.answerer.suited(asked.document)
        layers = answerer.scored_layers
        model = answerer.runner.model
        ran = layers[:1] if asked.bounded and not again else layers
        self.macs += window_macs(model, result, window.unjudged_blocks, ran)
        self.dense_macs += 0 if again else dense_macs(model, len(window.input_ids))
        self.windows += 1
        self.positions += len(window.input_ids)
        self.left += result.left
        dropped = result.dropped_after[window.question_blocks :]
        self.blocks += len(dropped)
        for layer, count in zip(*np.unique(dropped[dropped != KEPT], return_counts=True), strict=True):
            self.dropped[int(layer)] = self.dropped.get(int(layer), 0) + int(count)


@dataclass(eq=False)
class Step:
    """One window of a job that is to run.

    again: why it runs once more, or None for the first time
    """

    job: "Job"
    question: int
    number: int
    window: Window
    again: Again | None = None

    @property
    def positions(self) -> int:
        """Return how long the window is."""
        return len(self.window.input_ids)

    @property
    def kind(self) -> Kind:
        """Return what it must have in common with others in a batch."""
        asked = self.job.asked[self.question]
        return asked.document, asked.bounded, self.again is not None, id(asked.answerer.policy)


class Job:
    """A request: questions whose windows run when their turn comes.

    Args:
        asked: its questions, none of them run
        finish: called once all are done, in the thread that ran the last window; its result is the job's

    Attributes:
        number: what whoever submits it calls it by
        arrived: when, by the scheduler's clock
        work: seconds of computing that it got so far, or is about to get
        steps: windows that may run now
        tally: what was run of it
    """

    def __init__(self, asked: Sequence[Asked], finish: Callable[[], Any]):
        self.asked = asked
        self.finish = finish
        self.number = 0
        self.arrived = 0.0
        self.work = 0.0
        self.steps: deque[Step] = deque()
        self.tally = Tally()
        self.cancelled = False
        self._lock = Lock()
        self._counts: list[int] = []
        self._next = [0] * len(asked)
        self._results: list[dict[int, tuple[Window, WindowResult]]] = [{} for _ in asked]
        self._missing = [0] * len(asked)
        self._open = len(asked)

    def cut(self, several: bool) -> None:
        """Cut all questions into windows, so that what cannot be run is refused before anything is.

        Args:
            several: a message says which question it is about

        Raises:
            InputError: a question cannot be run.
        """
        for i, asked in enumerate(self.asked):
            try:
                steps = [Step(self, i, number, window) for number, window in enumerate(asked.cut())]
            except InputError as error:
                raise (InputError(f"Question {i}: {error}") if several else error) from None
            self._counts.append(len(steps))
            self._missing[i] = len(steps)
            self.steps += steps

    @property
    def positions(self) -> int:
        """Return how many positions wait to be run."""
        return sum(step.positions for step in self.steps)

    def take(self, step: Step, result: WindowResult) -> tuple[list[Step], bool]:
        """Take in the result of a step. Returns steps that must run now because of it, and whether all is done."""
        with self._lock:
            asked = self.asked[step.question]
            self.tally.note(step.window, result, asked, step.again is not None)
            if step.again is not None:
                asked.note_again(step.again, result)
            else:
                self._note_in_order(step, result)
            self._missing[step.question] -= 1
            if self._missing[step.question]:
                return [], False
            if step.again is None:
                more = [Step(self, step.question, one.number, one.window, one) for one in asked.again()]
                self._missing[step.question] = len(more)
                if more:
                    return more, False
            self._open -= 1
            return [], not self._open

    def _note_in_order(self, step: Step, result: WindowResult) -> None:
        waiting = self._results[step.question]
        waiting[step.number] = step.window, result
        while self._next[step.question] in waiting:
            number = self._next[step.question]
            self.asked[step.question].note(number, *waiting.pop(number))
            self._next[step.question] += 1


def run_steps(steps: Sequence[Step], runner: Runner) -> list[WindowResult]:
    """Run steps of one kind together.

    Args:
        runner: the one that the steps' questions were made for, or one of its lanes
    """
    first = steps[0]
    asked = first.job.asked[first.question]
    together = replace(asked.answerer.options, batch_size=len(steps))
    answerer = replace(asked.answerer, runner=runner, options=together).suited(asked.document)
    if asked.bounded and first.again is None:
        answerer = answerer.scouting()
    again = [step.again for step in steps if step.again is not None]
    chosen = [one.chosen for one in again if one.chosen is not None]
    return answerer.run([step.window for step in steps], [one.protected for one in again] or None, chosen or None)

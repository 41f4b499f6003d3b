"""Which window runs next: those of many requests share the cores, and a long document does not stall a short question.

Each request has a rank: the time it arrived, plus the computing it got beyond a little, times `SHARE`. The lowest rank
runs next. A question of one window that arrives while a document runs has the lower rank at once, and waits for no more
than the windows that run already. Under a steady load of short questions a document still gets the `SHARE`-th part of a
core's time, since its rank stands still while time goes on: nothing starves.
"""

import time
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Any

from bskim_export.runtime.bundle_runner import BundleRunner
from bskim_export.runtime.runner import Runner
from bskim_export.serve.jobs import Job, Step, run_steps

SHARE = 4.0
"""A request that needs much gets this part of a core at least: 1 / SHARE."""

FREE = 0.12
"""Seconds of computing that raise no rank: questions of a few windows are no documents."""

MOST_POSITIONS = 3072
"""Positions of a batch, on backends that run batches: eight windows of 384."""

SMOOTHING = 0.05
"""Weight of the newest batch in the mean time for a position."""

Done = Callable[[Job, Any, Exception | None], None]
"""Called with a job, its result, and the error instead, if there was one."""


class Scheduler:
    """Runs the windows of jobs, on all lanes of a runner.

    Args:
        runner: runs windows
        done: is told of each job once, unless it was cancelled
        max_positions: of a batch at most, on backends that run batches

    Attributes:
        lanes: how many batches run at once
    """

    def __init__(self, runner: BundleRunner, done: Done, max_positions: int = MOST_POSITIONS):
        self._runner = runner
        self._done = done
        self._most = max_positions
        self._changed = Condition()
        self._jobs: list[Job] = []
        self._running = 0
        self._closed = False
        self._seconds_per_position = 0.0
        lanes = runner.lanes()
        self.lanes = len(lanes)
        self._threads = [Thread(target=self._work, args=(lane,), name="bskim-lane", daemon=True) for lane in lanes]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Let a job's windows run when their turn comes."""
        with self._changed:
            job.arrived = time.monotonic()
            self._jobs.append(job)
            self._changed.notify(len(job.steps))

    def cancel(self, job: Job) -> None:
        """Forget a job: its windows that wait do not run, and nobody is told."""
        with self._changed:
            job.cancelled = True
            job.steps.clear()
            if job in self._jobs:
                self._jobs.remove(job)

    def wait_for(self, positions: int, largest: int) -> tuple[float, float]:
        """Return how many seconds it would take until a new job begins, and until it is done, as far as can be told.

        Args:
            positions: of all its windows
            largest: of its longest window
        """
        with self._changed:
            now = time.monotonic()
            own = positions * self._seconds_per_position
            begin = end = 0.0
            for job in self._jobs:
                left = job.positions * self._seconds_per_position
                behind = now - _rank(job)
                step = largest * self._seconds_per_position
                begin += min(left, max(0.0, behind / SHARE + step))
                end += min(left, max(0.0, behind / SHARE + own + step))
            return begin / self.lanes, (end + own) / self.lanes

    @property
    def waiting(self) -> int:
        """Return how many positions wait to be run."""
        with self._changed:
            return sum(job.positions for job in self._jobs)

    def close(self) -> None:
        """Stop the lanes once their batches are done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, lane: Runner) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or any(job.steps for job in self._jobs))
                if self._closed:
                    return
                steps = self._choose()
                # A window that is alone is fastest on all cores.
                alone = len(steps) == 1 and not self._running and not any(job.steps for job in self._jobs)
                self._running += 1
            if alone:
                self._run(steps, self._runner, self.lanes)
            else:
                self._run(steps, lane, 1)

    def _choose(self) -> list[Step]:
        """Return the steps that run next: one, or a batch of those of its kind that are next in rank."""
        ranked = sorted((job for job in self._jobs if job.steps), key=_rank)
        chosen = [self._charge(ranked[0])]
        if self._runner.alone:
            return chosen
        room = self._most - chosen[0].positions
        for job in ranked:
            while job.steps and job.steps[0].kind == chosen[0].kind and job.steps[0].positions <= room:
                chosen.append(self._charge(job))
                room -= chosen[-1].positions
        return chosen

    def _charge(self, job: Job) -> Step:
        step = job.steps.popleft()
        job.work += step.positions * self._seconds_per_position
        return step

    def _run(self, steps: Sequence[Step], runner: Runner, cores: int) -> None:
        start = time.perf_counter()
        error: Exception | None = None
        try:
            results = run_steps(steps, runner)
        except Exception as caught:  # of an engine: the lane goes on with the next
            error = caught
        seconds = time.perf_counter() - start
        self._note(steps, seconds, cores)
        if error is not None:
            for job in {step.job for step in steps}:
                self._end(job, None, error)
            return
        for step, result in zip(steps, results, strict=True):
            self._take(step, result)

    def _note(self, steps: Sequence[Step], seconds: float, cores: int) -> None:
        positions = sum(step.positions for step in steps)
        with self._changed:
            self._running -= 1
            found = cores * seconds / positions
            known = self._seconds_per_position or found
            self._seconds_per_position = known + SMOOTHING * (found - known)
            for step in steps:
                step.job.tally.seconds += seconds * step.positions / positions
            for job in {step.job for step in steps}:
                job.tally.batches += 1
                job.tally.batched += len(steps)

    def _take(self, step: Step, result: Any) -> None:
        job = step.job
        if job.cancelled:
            return
        try:
            more, done = job.take(step, result)
            if more:
                with self._changed:
                    if not job.cancelled:
                        job.steps.extendleft(reversed(more))
                        self._changed.notify(len(more))
            if done:
                for asked in job.asked:
                    asked.seconds = time.monotonic() - job.arrived
            outcome = job.finish() if done else None
        except Exception as error:
            self._end(job, None, error)
            return
        if done:
            self._end(job, outcome, None)

    def _end(self, job: Job, outcome: Any, error: Exception | None) -> None:
        with self._changed:
            known = job in self._jobs
            job.steps.clear()
            if known:
                self._jobs.remove(job)
        if known:
            self._done(job, outcome, error)


def _rank(job: Job) -> float:
    return job.arrived + SHARE * max(0.0, job.work - FREE)

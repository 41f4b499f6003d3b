"""A bundle behind a name: its workers, those of them that died replaced, and all of them when the bundle is."""

import asyncio
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bskim_export.errors import BskimError
from bskim_export.serve.limits import BusyError, Limits
from bskim_export.serve.process import Process, WorkerDiedError

log = logging.getLogger("bskim_export.serve")

TRIES = 3
"""Workers that a request is given to, if each of them dies of something."""

PATIENCE = 1.0
"""Seconds before a worker that could not start is started again; doubled each time, up to MOST_PATIENCE."""

MOST_PATIENCE = 30.0


Stamp = list[tuple[str, int, int, int]]
"""Of each file its path, inode, size and time of change."""


@dataclass(frozen=True)
class Served:
    """What is served under a name.

    path: of the bundle's directory, or of a link to it
    arguments: of its QAPipeline
    workers: how many processes
    warm_up: run a window of every length before the first request
    """

    path: Path
    arguments: dict[str, Any]
    workers: int = 1
    warm_up: bool = True


class ServedBundle:
    """Answers from a bundle, whatever happens to its processes and its files. Each request is answered by one open
    bundle as a whole.

    Args:
        name: under which it is asked for
        served: what is opened
        limits: what the service allows
    """

    def __init__(self, name: str, served: Served, limits: Limits):
        self.name = name
        self._served = served
        self._limits = limits
        self._workers: list[Process] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._some = asyncio.Condition()
        self._reloading = asyncio.Lock()
        self._generation = 0
        self._stamp: Stamp | None = None
        self._failed: Stamp | None = None
        self._patience = PATIENCE
        self._retry_at = 0.0
        self._closed = False
        self.waiting = 0
        self.restarts = 0
        self.reloads = 0
        self.failed_reloads = 0

    async def open(self) -> None:
        """Start the workers, and wait until all are ready. Raises BskimError: the bundle cannot be opened."""
        self._stamp = self._look()
        self._workers = await self._start_all(self._generation)

    @property
    def ready(self) -> bool:
        """Return whether a worker is there that could answer."""
        return any(worker.alive for worker in self._workers)

    @property
    def info(self) -> dict[str, Any]:
        """Return what the newest worker tells of its bundle."""
        alive = [worker for worker in self._workers if worker.alive]
        return max(alive, key=lambda worker: worker.generation).info if alive else {}

    @property
    def processes(self) -> list[int]:
        """Return the numbers of the worker processes."""
        return [worker.info["pid"] for worker in self._workers if worker.alive]

    async def ask(self, task: str, inputs: Any, parameters: Any, size: int) -> dict[str, Any]:
        """Return a worker's message in answer to a request; see `wire`.

        A request whose worker dies is given to another.

        Raises:
            BusyError: too many requests are there already.
            WorkerDiedError: every worker that it was given to died.
        """
        if self.waiting >= self._limits.max_requests:
            raise BusyError(f"The service is busy: {self.waiting} requests wait.", 1.0)
        self.waiting += 1
        try:
            for _ in range(TRIES):
                worker = await self._choose()
                try:
                    return await worker.ask(task, inputs, parameters, size)
                except WorkerDiedError:
                    log.warning("A worker died with a request, which another one gets.")
            raise WorkerDiedError(f"{TRIES} workers ended before they answered this request.")
        finally:
            self.waiting -= 1

    async def _choose(self) -> Process:
        async with self._some:
            await self._some.wait_for(lambda: self.ready)
            alive = [worker for worker in self._workers if worker.alive]
            newest = max(worker.generation for worker in alive)
            return min((w for w in alive if w.generation == newest), key=lambda worker: worker.load)

    async def reload(self, always: bool = True) -> bool:
        """Open the bundle anew in new workers, and let the old ones end once they have answered.

        Args:
            always: also if it looks the same

        Returns:
            whether it was. One that cannot be opened changes nothing; the log says why.
        """
        async with self._reloading:
            stamp = self._look()
            if self._closed or stamp is None or not (always or self._is_new(stamp)):
                return False
            try:
                started = await self._start_all(self._generation + 1)
            except BskimError as error:
                self.failed_reloads += 1
                self._patience = min(MOST_PATIENCE, 2 * self._patience) if stamp == self._failed else PATIENCE
                self._failed = stamp
                self._retry_at = time.monotonic() + self._patience
                log.error("'%s' is not taken over: %s", self._served.path, error)
                return False
            self._stamp = stamp
            self._generation += 1
            old, self._workers = self._workers, started
            for worker in old:
                self._retire(worker)
            self.reloads += 1
        await self._tell()
        log.info("'%s' was taken over.", self._served.path)
        return True

    def _is_new(self, stamp: Stamp) -> bool:
        """Return whether a bundle is not the open one, and was not refused just now."""
        return stamp != self._stamp and (stamp != self._failed or time.monotonic() >= self._retry_at)

    async def watch(self, every: float) -> None:
        """Take over the bundle whenever it was replaced, until this is cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.reload(always=False)

    async def close(self, patience: float) -> None:
        """End all workers once they have answered, or after some seconds."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        for worker in self._workers:
            self._retire(worker, patience)
        await asyncio.gather(*self._starting, *self._retiring, return_exceptions=True)

    def _look(self) -> "Stamp | None":
        """Return what changes when another bundle takes this one's place, or any of its files does."""
        try:
            return sorted(
                (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
                for path in self._served.path.resolve().rglob("*")
                if (found := path.stat())
            ) or None  # fmt: skip
        except OSError:
            return None

    async def _start_all(self, generation: int) -> list[Process]:
        """Start all workers, or none. Raises BskimError: the bundle cannot be opened."""
        found = await asyncio.gather(
            *(self._start(generation) for _ in range(self._served.workers)), return_exceptions=True
        )
        started = [one for one in found if isinstance(one, Process)]
        for one in found:
            if isinstance(one, BaseException):
                for worker in started:
                    self._retire(worker)
                raise one
        return started

    async def _start(self, generation: int) -> Process:
        opening = {
            "bundle": str(self._served.path), **self._served.arguments, "limits": asdict(self._limits),
            "warm_up": self._served.warm_up,
        }  # fmt: skip
        worker = Process(opening, generation, self._ended)
        await worker.start()
        return worker

    def _retire(self, worker: Process, patience: float | None = None) -> None:
        task = asyncio.create_task(worker.retire(self._limits.timeout if patience is None else patience))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _ended(self, worker: Process) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        if not self._closed:
            log.warning("Worker %d ended; another one starts.", worker.info["pid"])
            self.restarts += 1
            task = asyncio.create_task(self._replace())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _replace(self) -> None:
        """Start another worker in the place of one that ended."""
        patience = PATIENCE
        while len(self._workers) < self._served.workers and not self._closed:
            try:
                worker = await self._start(self._generation)
            except BskimError as error:
                log.error("A worker does not start: %s", error)
                await asyncio.sleep(patience)
                patience = min(MOST_PATIENCE, 2 * patience)
                continue
            if worker.generation != self._generation or self._closed:
                self._retire(worker)
                return
            self._workers.append(worker)
            await self._tell()

    async def _tell(self) -> None:
        """Let requests go on that wait for a worker."""
        async with self._some:
            self._some.notify_all()

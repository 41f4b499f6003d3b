"""One worker process, as the front sees it."""

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bskim_export.errors import BskimError
from bskim_export.serve.wire import encode

log = logging.getLogger("bskim_export.serve")

LONGEST = 1 << 28
"""Bytes of a message at most."""


class WorkerDiedError(BskimError):
    """The worker ended before it answered."""


class Process:
    """A worker process: start it, ask it, and know when it ends.

    Args:
        opening: the arguments of its QAPipeline, with "limits" and "warm_up"
        generation: of the bundle's openings, which one it belongs to
        ended: called when it ends, for whatever reason

    Attributes:
        info: what it tells of its bundle, once it is ready
        load: characters of the requests that it works on
    """

    def __init__(self, opening: dict[str, Any], generation: int, ended: Callable[["Process"], None]):
        self.generation = generation
        self._opening = opening
        self._ended = ended
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.info: dict[str, Any] = {}
        self.load = 0
        self.alive = False

    async def start(self) -> None:
        """Start it, and wait until its bundle is open.

        Raises:
            BskimError: the bundle cannot be opened, or the process ended.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bskim_export.serve.worker", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST)
        try:
            self._writer.write(encode({"open": self._opening}))
            line = await self._reader.readline()
        except ConnectionError:
            line = b""
        first: dict[str, Any] = (
            json.loads(line) if line else {"fatal": f"The worker ended with status {await self._process.wait()}."}
        )
        if "fatal" in first:
            await self._end()
            raise BskimError(first["fatal"])
        self.info = {**first["ready"], "pid": self._process.pid}
        self.alive = True
        self._reading = asyncio.create_task(self._read())

    async def ask(self, task: str, inputs: Any, parameters: Any, size: int) -> dict[str, Any]:
        """Return its answer to a request. If this is cancelled, so is the request.

        Args:
            size: of the request, in characters

        Raises:
            WorkerDiedError: it ended before it answered.
        """
        self._last += 1
        number = self._last
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self.load += size
        self._idle.clear()
        try:
            self._send({"id": number, "task": task, "inputs": inputs, "parameters": parameters})
            return await answer
        except asyncio.CancelledError:
            with suppress(WorkerDiedError):
                self._send({"cancel": number})
            raise
        finally:
            self._answers.pop(number, None)
            self.load -= size
            if not self._answers:
                self._idle.set()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            if not self.alive:
                raise ConnectionError
            self._writer.write(encode(message))
        except (ConnectionError, RuntimeError):  # uvloop's, if the connection broke and nobody read its end yet
            raise WorkerDiedError("The worker ended.") from None

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                answer = self._answers.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message)
        except ConnectionError:
            pass
        finally:
            self.alive = False
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(WorkerDiedError("The worker ended before it answered."))
            await self._end()
            self._ended(self)

    async def retire(self, patience: float) -> None:
        """Let it end once it has answered all that it was asked, or after some seconds."""
        try:
            await asyncio.wait_for(self._idle.wait(), patience)
        except TimeoutError:
            log.warning("A worker is ended with %d requests open.", len(self._answers))
        if self.alive:
            self._writer.close()  # it ends when it reads the end
            await self._reading

    async def _end(self) -> None:
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

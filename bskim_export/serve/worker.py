"""A process that holds one open bundle and answers what the front sends it: `python -m bskim_export.serve.worker FD`.

It is a process of its own, so that a bundle can be replaced, and a fault of a native library survived, while the front
keeps its connections. It ends when the front's end of the socket is closed.
"""

import hashlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from threading import Lock
from typing import Any

from tokenizers import Encoding, Tokenizer

from bskim_export.bundle.identity import identity_of
from bskim_export.errors import BskimError
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.serve.jobs import Job
from bskim_export.serve.limits import BusyError, Limits
from bskim_export.serve.logs import log_as_json
from bskim_export.serve.requests import make_job
from bskim_export.serve.scheduler import Scheduler
from bskim_export.serve.wire import encode, kind_of

log = logging.getLogger("bskim_export")

PREPARING = 2
"""Requests that are tokenised at once."""


class Unlocked:
    """A tokenizer whose `encode` lets other threads run meanwhile. The library's own holds the interpreter's lock, for
    a third of a second where a text has 100,000 words; its `encode_batch` does not.

    Args:
        tokenizer: the tokenizer
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, *texts: str, add_special_tokens: bool = True) -> Encoding:
        """Return the tokens of a text, or of two."""
        return self._tokenizer.encode_batch(
            [texts if len(texts) > 1 else texts[0]], add_special_tokens=add_special_tokens
        )[0]


class Worker:
    """Answers the messages of a front.

    Args:
        qa: the open bundle
        limits: what the service allows
        send: writes one message; called from several threads, one at a time
    """

    def __init__(self, qa: QAPipeline, limits: Limits, send: Callable[[dict[str, Any]], None]):
        self._qa = qa
        self._limits = limits
        self._send = send
        self._jobs: dict[int, Job | None] = {}  # None while it is prepared
        self._changing = Lock()
        self._scheduler = Scheduler(qa.runner, self._done)
        self._preparing = ThreadPoolExecutor(PREPARING, thread_name_prefix="bskim-prepare")

    def take(self, message: dict[str, Any]) -> None:
        """Take a message: a request, or that one is not wanted any more."""
        if "cancel" in message:
            self._cancel(message["cancel"])
            return
        with self._changing:
            self._jobs[message["id"]] = None
        self._preparing.submit(self._prepare, message)

    def _cancel(self, number: int) -> None:
        with self._changing:
            job = self._jobs.pop(number, None)
        if job is not None:
            self._scheduler.cancel(job)

    def _prepare(self, message: dict[str, Any]) -> None:
        number = message["id"]
        with self._changing:
            if number not in self._jobs:
                return
        try:
            self._require_room(0, 0)  # before anything is spent on it
            job = make_job(self._qa, message["task"], message["inputs"], message["parameters"], self._limits)
            self._require_room(job.positions, max(step.positions for step in job.steps))
        except Exception as error:
            with self._changing:
                wanted = self._jobs.pop(number, 0) is None
            if wanted:
                self._refuse(number, error)
            return
        with self._changing:
            if number not in self._jobs:  # cancelled meanwhile
                return
            self._jobs[number] = job
            job.number = number
        self._scheduler.submit(job)

    def _require_room(self, positions: int, largest: int) -> None:
        begin, end = self._scheduler.wait_for(positions, largest)
        if begin > self._limits.max_wait:
            raise BusyError(f"The service is busy: a request would wait for {begin:.1f} seconds.", begin)
        if end > self._limits.timeout:
            raise BusyError(
                f"The service is busy: this request would be answered after {end:.0f} seconds, and it gives each "
                f"{self._limits.timeout:g} seconds.",
                max(begin, end - self._limits.timeout),
            )

    def _done(self, job: Job, outcome: Any, error: Exception | None) -> None:
        with self._changing:
            if self._jobs.pop(job.number, None) is None:  # cancelled meanwhile
                return
        if error is not None:
            self._refuse(job.number, error)
        else:
            self._send({"id": job.number, "result": outcome, "tally": asdict(job.tally)})

    def _refuse(self, number: int, error: Exception) -> None:
        message = str(error)
        if not isinstance(error, BskimError):
            log.error("A request failed.", exc_info=error)
            message = "The request failed. The log of the service says why."
        seconds = {"seconds": error.seconds} if isinstance(error, BusyError) else {}
        self._send({"id": number, "error": message, "kind": kind_of(error), **seconds})


def describe(qa: QAPipeline) -> dict[str, Any]:
    """Return what a service tells of its bundle."""
    manifest = qa.bundle.manifest
    identity = json.dumps(identity_of(qa.bundle), sort_keys=True)
    return {
        "source": manifest.model.source,
        "family": manifest.model.family,
        "version": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "backend": qa.backend.name,
        "backend_reason": qa.backend_reason,
        "precision": qa.backend.precision,
        "threads": qa.backend.threads,
        "num_layers": manifest.model.num_layers,
        "block_size": manifest.model.block_size,
        "skim_layers": list(qa.bundle.skim_layers),
        "max_seq_len": manifest.defaults.max_seq_len,
        "doc_stride": manifest.defaults.doc_stride,
        "max_answer_len": manifest.defaults.max_answer_len,
    }


def main() -> None:
    """Run a worker on the socket whose number is the program's argument."""
    # The front is told to end, and ends its workers: a terminal's Ctrl-C reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_as_json("warning")
    connection = socket.socket(fileno=int(sys.argv[1]))
    writing = Lock()

    def send(message: dict[str, Any]) -> None:
        data = encode(message)
        try:
            with writing:
                connection.sendall(data)
        except OSError:  # the front is gone
            os._exit(0)

    lines = connection.makefile("rb")
    opening = json.loads(next(lines))["open"]
    limits = Limits(**opening.pop("limits"))
    warm_up = opening.pop("warm_up")
    try:
        qa = QAPipeline(**opening)
        qa.maker.tokenizer = Unlocked(qa.maker.tokenizer)  # type: ignore[assignment]  # it has all that is asked for
        if warm_up:
            qa.warm_up()
        worker = Worker(qa, limits, send)
    except BskimError as error:
        send({"fatal": str(error)})
        return
    send({"ready": describe(qa)})
    for line in lines:
        worker.take(json.loads(line))
    os._exit(0)  # nobody is there for whom what runs could be finished


if __name__ == "__main__":
    main()

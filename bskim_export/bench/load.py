"""Load on a running service: a client that costs little, and callers that wait for their answers or do not."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bskim_export.data.question import Question
from bskim_export.errors import BskimError

PATIENCE = 120.0
"""Seconds after which a request counts as one that hangs."""


@dataclass(frozen=True)
class Reply:
    """What came of one request.

    status: the HTTP status code; 0 if it hung
    seconds: until the last byte
    body: what came
    """

    status: int
    seconds: float
    body: bytes = b""


class Client:
    """One connection, kept open: requests one after the other.

    Args:
        url: of the service
    """

    def __init__(self, url: str):
        self._host = urlsplit(url).hostname or "127.0.0.1"
        self._port = urlsplit(url).port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes) -> Reply:
        """Return what came of a request."""
        start = time.perf_counter()
        try:
            status, found = await asyncio.wait_for(self._post(path, body), PATIENCE)
        except TimeoutError:
            self.close()
            status, found = 0, b""
        return Reply(status, time.perf_counter() - start, found)

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self._reader is None or self._writer is None or self._writer.is_closing() or self._reader.at_eof():
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode("ascii") + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
        found = await self._reader.readexactly(int(fields.get(b"content-length", b"0")))
        if fields.get(b"connection") == b"close":
            self.close()
        return int(lines[0].split()[1]), found

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def body_of(question: Question, **parameters: Any) -> bytes:
    """Return the request that asks a question, in the words of Hugging Face's task."""
    inputs = {"question": question.question, "context": question.context}
    return json.dumps({"inputs": inputs, "parameters": parameters} if parameters else {"inputs": inputs}).encode()


async def ask_closed(url: str, bodies: Sequence[bytes], clients: int) -> list[Reply]:
    """Send requests from some callers, each of whom waits for an answer before the next request."""
    waiting: Iterator[tuple[int, bytes]] = iter(enumerate(bodies))
    replies: dict[int, Reply] = {}

    async def call() -> None:
        client = Client(url)
        for number, body in waiting:
            replies[number] = await client.post("/", body)
        client.close()

    await asyncio.gather(*(call() for _ in range(clients)))
    return [replies[number] for number in range(len(bodies))]


async def ask_open(url: str, bodies: Sequence[bytes], rate: float, seed: int = 0) -> list[Reply]:
    """Send requests at random times, whether or not the earlier ones were answered.

    Args:
        rate: requests a second, in the mean
    """
    draw = random.Random(seed)
    free: list[Client] = []

    async def send(body: bytes) -> Reply:
        client = free.pop() if free else Client(url)
        reply = await client.post("/", body)
        free.append(client)
        return reply

    tasks = []
    due = time.perf_counter()
    for body in bodies:
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(send(body)))
    replies = await asyncio.gather(*tasks)
    for client in free:
        client.close()
    return list(replies)


@contextmanager
def running_service(bundle: Path, *options: str) -> Iterator[str]:
    """Yield the address of a service of a bundle, on a free port, that ends with the block.

    Args:
        options: of bskim-serve

    Raises:
        BskimError: it does not start.
    """
    command = [sys.executable, "-m", "bskim_export.commands", "serve", str(bundle), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise BskimError("The service does not start; it says why above.")
        yield line.split("Listening on ")[1].split()[0]
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()

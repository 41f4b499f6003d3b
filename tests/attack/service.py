"""A service under hostile callers, or whose bundle is swapped and whose workers are killed.

    python tests/attack/service.py hostile engines/ --minutes 30 --connections 1000
    python tests/attack/service.py chaos engines/ OTHER --swaps 50 --kills 20

hostile: so many connections, one request in twenty of which is hostile: cut off, slow, too large, of wrong types, with
NUL or lone surrogates, or of a caller that hangs up. No answer may differ from the pipeline's, no status be 5xx but 503
and 504, and memory must stay level, of the front and of its workers.

chaos: two bundles that answer differently take each other's place while questions come in, and workers are killed. No
request may be lost, and each answer must be that of one of the two.
"""

import argparse
import asyncio
import collections
import json
import logging
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bskim_export import QAPipeline
from bskim_export.bench.load import Client, body_of, running_service
from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad

HOSTILE = 0.05
LEVEL = 0.05
ADA = {"question": "Who wrote it?", "context": "Ada wrote it."}


def resident_megabytes(pid: int) -> float:
    """Return how much memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def expected_answers(bundle: Path, questions: list[Question]) -> dict[str, Any]:
    """Return of each question what the service must answer."""
    qa = QAPipeline(bundle)
    found = qa.run(data=[{"question": q.question, "context": q.context} for q in questions])
    return {q.id: json.loads(json.dumps([one])) for q, one in zip(questions, found, strict=True)}


async def be_hostile(url: str, draw: random.Random) -> str:
    """Do one hostile thing. Returns its kind and what came of it."""
    where = urlsplit(url)
    kind = draw.choice(["cut off", "slow", "large", "types", "nul", "surrogate", "hang up", "garbage", "chunks"])
    body = json.dumps({"inputs": ADA}).encode()
    if kind == "types":
        odd = draw.choice([5, [], {}, {"question": 5, "context": []}, {**ADA, "passages": 1}, [None], "x", 1e999])
        body = json.dumps({"inputs": odd, "parameters": draw.choice([None, 5, {"top_k": []}, {"a": 1}])}).encode()
    elif kind == "nul":
        body = json.dumps({"inputs": {"question": "\0", "context": "\0 a \0"}}).encode()
    elif kind == "surrogate":
        body = json.dumps({"inputs": {"question": "\ud800?", "context": "a \udfff b"}}).encode()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        if kind == "cut off":
            writer.write(head % len(body) + body[: draw.randrange(len(body))])
            writer.write_eof()
        elif kind == "slow":
            for byte in (head % len(body))[:40]:
                writer.write(bytes([byte]))
                await asyncio.sleep(1)
        elif kind == "large":
            writer.write(head % 50_000_000)
            for _ in range(50):
                writer.write(b"x" * 1_000_000)
                await writer.drain()
        elif kind == "garbage":
            writer.write(draw.randbytes(draw.randrange(1, 5000)))
        elif kind == "chunks":
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx")
        else:
            writer.write(head % len(body) + body)
            if kind == "hang up":
                await writer.drain()
                await asyncio.sleep(draw.random() / 50)
                return f"{kind}: gone"
        answer = await asyncio.wait_for(reader.read(1000), 60)
        return f"{kind}: {answer.split()[1].decode()}" if answer.startswith(b"HTTP/") else f"{kind}: closed"
    except TimeoutError:
        return f"{kind}: HUNG"
    except (ConnectionError, OSError):
        return f"{kind}: closed"
    finally:
        writer.close()


async def run_hostile(
    url: str,
    front: int,
    questions: list[Question],
    expected: dict[str, Any],
    connections: int,
    minutes: float,
    rate: float,
) -> int:
    """Return how many things went wrong, and print what happened."""
    end = time.monotonic() + 60 * minutes
    statuses: collections.Counter[int] = collections.Counter()
    hostile: collections.Counter[str] = collections.Counter()
    differ = 0
    memory: list[tuple[float, float]] = []

    async def pause(seconds: float) -> None:
        await asyncio.sleep(min(seconds, max(0.0, end - time.monotonic())))

    async def call(number: int) -> None:
        nonlocal differ
        draw = random.Random(number)
        client = Client(url)
        await pause(draw.random() * connections / rate)
        while time.monotonic() < end:
            if draw.random() < HOSTILE:
                hostile[await be_hostile(url, draw)] += 1
            else:
                one = draw.choice(questions)
                try:
                    reply = await client.post("/", body_of(one))
                except (ConnectionError, asyncio.IncompleteReadError):  # kept open for too long, by its own fault
                    client.close()
                    continue
                statuses[reply.status] += 1
                if reply.status == 200 and json.loads(reply.body) != expected[one.id]:
                    differ += 1
            await pause(draw.expovariate(rate / connections))
        client.close()

    async def watch() -> None:
        while time.monotonic() < end:
            memory.append((resident_megabytes(front), sum(map(resident_megabytes, children(front)))))
            await asyncio.sleep(min(5.0, 3 * minutes))

    await asyncio.gather(watch(), *(call(number) for number in range(connections)))
    quarter = max(1, len(memory) // 4)
    print(f"{sum(statuses.values())} requests: {dict(sorted(statuses.items()))}, {differ} answers differ")
    print(f"{sum(hostile.values())} hostile: {dict(sorted(hostile.items()))}")
    wrong = differ + sum(n for status, n in statuses.items() if status not in (200, 429, 503, 504))
    wrong += sum(n for what, n in hostile.items() if what.endswith(" 500") or "HUNG" in what)
    for name, which in (("front", 0), ("workers", 1)):
        early = statistics.median(one[which] for one in memory[quarter : 2 * quarter] or memory)
        late = statistics.median(one[which] for one in memory[-quarter:])
        print(f"memory of the {name}: {early:.0f} MB in the second quarter, {late:.0f} MB in the last")
        wrong += minutes >= 5 and late > early * (1 + LEVEL)
    return wrong


async def run_chaos(
    url: str, front: int, link: Path, bundles: list[Path], questions: list[Question], swaps: int, kills: int, seed: int
) -> int:
    """Return how many things went wrong, and print what happened."""
    expected = [expected_answers(bundle, questions) for bundle in bundles]
    draw = random.Random(seed)
    over = asyncio.Event()
    counts: collections.Counter[str] = collections.Counter()

    async def call(number: int) -> None:
        own = random.Random(number)
        client = Client(url)
        while not over.is_set():
            one = own.choice(questions)
            try:
                reply = await client.post("/", body_of(one))
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                counts[f"lost: {error!r}"] += 1
                client.close()
                continue
            if reply.status != 200:
                counts[f"lost: {reply.status} {reply.body[:200]!r}"] += 1
                continue
            answers = json.loads(reply.body)
            which = [i for i in (0, 1) if answers == expected[i][one.id]]
            counts["of both" if len(which) == 2 else f"of bundle {which[0]}" if which else "mixed"] += 1
        client.close()

    callers = [asyncio.create_task(call(number)) for number in range(8)]
    events = ["swap"] * swaps + ["kill"] * kills
    draw.shuffle(events)
    turn = killed = 0
    for event in events:
        await asyncio.sleep(draw.random())
        if event == "swap":
            turn += 1
            new = link.with_name("new")
            new.symlink_to(bundles[turn % 2])
            new.rename(link)
            os.kill(front, signal.SIGHUP)
            await asyncio.sleep(draw.random() * 4)
        else:
            workers = children(front)
            if workers:
                os.kill(draw.choice(workers), signal.SIGKILL)
                killed += 1
    await asyncio.sleep(10)
    over.set()
    await asyncio.gather(*callers)
    print(f"{swaps} swaps, {killed} workers killed, {sum(counts.values())} requests: {dict(counts)}")
    return sum(n for what, n in counts.items() if what.startswith("lost") or what == "mixed")


def front_of(url: str) -> int:
    """Return the process that listens."""
    port = urlsplit(url).port
    found = [pid for pid in children(os.getpid()) if "--port" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(found) == 1, (port, found)
    return found[0]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["hostile", "chaos"])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20, help="requests a second, of all connections")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("asyncio").setLevel("ERROR")  # it warns of each write to a connection that was closed
    questions = sample(load_squad(), 60, seed=given.seed)
    if given.kind == "hostile":
        expected = expected_answers(given.bundle, questions)
        with running_service(given.bundle, "--quiet") as url:
            run = run_hostile(url, front_of(url), questions, expected, given.connections, given.minutes, given.rate)
            wrong = asyncio.run(run)
    else:
        if given.other is None:
            parser.error("chaos needs another bundle")
        with tempfile.TemporaryDirectory() as place:
            link = Path(place, "engines")
            bundles = [given.bundle.absolute(), given.other.absolute()]
            link.symlink_to(bundles[0])
            with running_service(link, "--quiet", "--workers", str(given.workers)) as url:
                wrong = asyncio.run(
                    run_chaos(url, front_of(url), link, bundles, questions, given.swaps, given.kills, given.seed)
                )
    print(f"{wrong} went wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

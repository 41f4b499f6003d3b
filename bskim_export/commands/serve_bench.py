"""bskim serve-bench: what a service costs over the pipeline, and how it bears too much to do."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bskim_export.commands.common import (
    bundle_argument,
    command,
    dataset_option,
    json_option,
    needs_extra,
    progress_bar,
    write_report,
)
from bskim_export.commands.terminal import console
from bskim_export.commands.types import STDOUT, Real, Whole

if TYPE_CHECKING:
    from bskim_export.bench.load import Reply

CLIENTS = 64
QUIET_LOAD = 0.3
"""Share of what the service can do that counts as unloaded."""

OVERLOAD = 2.0
DOCUMENT_WORDS = 100_000


@command
@bundle_argument
@dataset_option
@click.option("--limit", type=Whole(min=64), default=600, show_default=True, metavar="N", help="Questions of each run.")
@click.option("--repeats", type=Whole(min=1), default=5, show_default=True, help="Turns of pipeline and service.")
@click.option("--max-wait", type=Real(0.001), default=0.1, show_default=True, metavar="SECONDS",
              help="Of the service that is overloaded; see bskim-serve.")  # fmt: skip
@json_option
def main(bundle: Path, dataset: str, limit: int, repeats: int, max_wait: float, json_path: Path | None) -> None:
    """Start a service of BUNDLE (default: engines/) on this machine, and print: a question at a time and 64 callers
    against the pipeline in this process, in turns; answers at twice the load that it can bear against those when it is
    quiet; short questions while a document of 100,000 words is read against those without."""
    with needs_extra("serve", "The service"):
        import uvicorn  # noqa: F401
    from rich.table import Table

    from bskim_export.bench.load import running_service
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.runtime.pipeline import QAPipeline

    questions = sample(read_questions(dataset, lambda _: None), limit, 0)
    qa = QAPipeline(bundle)
    report: dict[str, Any] = {}
    with progress_bar() as bar:
        steps = bar.add_task("Measuring", total=2 * repeats + 4)
        with running_service(bundle, "--quiet") as url:
            report["alone"] = _time_alone(qa, url, questions[: limit // 4], repeats, lambda: bar.advance(steps))
            report["many"] = _time_many(qa, url, questions[: limit // 2], repeats, lambda: bar.advance(steps))
        capacity = report["many"]["service_per_second"]
        with running_service(bundle, "--quiet", "--max-wait", str(max_wait)) as url:
            report["overload"] = _overload(url, questions, capacity, lambda: bar.advance(steps))
        with running_service(bundle, "--quiet") as url:
            report["document"] = _document(url, questions, capacity, lambda: bar.advance(steps))
    write_report(json_path, report)
    if json_path == STDOUT:
        return
    alone, many, over, document = (report[name] for name in ("alone", "many", "overload", "document"))
    table = Table("", "service", "against", "ratio")
    rows = [
        ("p50, a question at a time (ms)", alone["service_p50"] * 1e3, alone["pipeline_p50"] * 1e3, alone["ratio"]),
        (f"questions a second, {CLIENTS} callers", capacity, many["pipeline_per_second"], many["ratio"]),
        (
            f"p99 at {OVERLOAD:g}x of that, of those accepted (ms)",
            over["p99"] * 1e3,
            over["quiet_p99"] * 1e3,
            over["ratio"],
        ),
        ("p99 beside a document (ms)", document["p99"] * 1e3, document["quiet_p99"] * 1e3, document["ratio"]),
    ]
    for name, own, other, ratio in rows:
        table.add_row(name, f"{own:.1f}", f"{other:.1f}", f"{ratio:.2f}")
    console.print(table)
    console.print(
        f"The first two are against the pipeline, the others against a load of {QUIET_LOAD:g}. Overloaded: "
        f"{over['accepted']} answered, {over['refused']} refused with 429, {over['other']} other, {over['hung']} hung."
    )


def _time_alone(qa: Any, url: str, questions: Any, repeats: int, advance: Any) -> dict[str, float]:
    import numpy as np

    from bskim_export.bench.load import Client, body_of
    from bskim_export.evaluate.timing import seconds_of

    async def run() -> tuple[list[list[float]], list[list[float]]]:
        client = Client(url)
        bodies = [body_of(one) for one in questions]
        service: list[list[float]] = [[] for _ in questions]
        pipeline: list[list[float]] = [[] for _ in questions]
        for turn in range(repeats):
            for i, one in enumerate(questions):
                for which in (0, 1) if turn % 2 else (1, 0):
                    if which:
                        reply = await client.post("/", bodies[i])
                        assert reply.status == 200, reply
                        service[i].append(reply.seconds)
                    else:
                        pipeline[i].append(seconds_of(lambda: qa.run(one.question, one.context)))  # noqa: B023
            advance()
        return service, pipeline

    service, pipeline = (np.median(np.array(one), axis=1) for one in asyncio.run(run()))
    return {
        "service_p50": float(np.median(service)),
        "pipeline_p50": float(np.median(pipeline)),
        "ratio": float(np.median(service / pipeline)),
    }


def _time_many(qa: Any, url: str, questions: Any, repeats: int, advance: Any) -> dict[str, float]:
    import numpy as np

    from bskim_export.bench.load import ask_closed, body_of
    from bskim_export.evaluate.timing import seconds_of

    bodies = [body_of(one) for one in questions]
    data = [{"question": one.question, "context": one.context} for one in questions]
    asyncio.run(ask_closed(url, bodies[:8], 8))
    qa.run(data=data[:8])
    ways = (lambda: qa.run(data=data, progress=False), lambda: _all_fine(asyncio.run(ask_closed(url, bodies, CLIENTS))))
    times = []
    for turn in range(repeats):
        order = (0, 1) if turn % 2 else (1, 0)
        found = {which: seconds_of(ways[which]) for which in order}
        times.append((found[0], found[1]))
        advance()
    pipeline, service = np.array(times).T
    return {
        "service_per_second": len(questions) / float(np.median(service)),
        "pipeline_per_second": len(questions) / float(np.median(pipeline)),
        "ratio": float(np.median(pipeline / service)),
    }


def _all_fine(replies: "list[Reply]") -> None:
    assert all(reply.status == 200 for reply in replies), {reply.status for reply in replies}


def _overload(url: str, questions: Any, capacity: float, advance: Any) -> dict[str, float]:
    from bskim_export.bench.load import ask_open, body_of

    bodies = [body_of(one) for one in questions]
    quiet = asyncio.run(ask_open(url, bodies, QUIET_LOAD * capacity))
    _all_fine(quiet)
    advance()
    over = asyncio.run(ask_open(url, bodies * 2, OVERLOAD * capacity))
    advance()
    count = {status: sum(reply.status == status for reply in over) for status in (200, 429, 0)}
    p99 = _p99([reply for reply in over if reply.status == 200])
    return {
        "quiet_p99": _p99(quiet),
        "p99": p99,
        "ratio": p99 / _p99(quiet),
        "accepted": count[200],
        "refused": count[429],
        "hung": count[0],
        "other": len(over) - sum(count.values()),
    }


def _document(url: str, questions: Any, capacity: float, advance: Any) -> dict[str, float]:
    from bskim_export.bench.load import Client, ask_open, body_of
    from bskim_export.data.documents import words_of
    from bskim_export.data.question import Question
    from bskim_export.data.squad import load_squad

    text = " ".join(words_of(load_squad(), DOCUMENT_WORDS))
    long = body_of(Question("long", "Which NFL team represented the AFC at Super Bowl 50?", text, (), ()))
    bodies = [body_of(one) for one in questions]

    async def beside() -> "tuple[list[Reply], int]":
        done = 0

        async def read() -> None:
            nonlocal done
            client = Client(url)
            while True:
                reply = await client.post("/", long)
                assert reply.status == 200, reply
                done += 1

        reading = asyncio.create_task(read())
        await asyncio.sleep(1)
        replies = await ask_open(url, bodies, QUIET_LOAD * capacity)
        if reading.done():
            reading.result()
        reading.cancel()
        return replies, done

    quiet = asyncio.run(ask_open(url, bodies, QUIET_LOAD * capacity))
    advance()
    replies, done = asyncio.run(beside())
    advance()
    _all_fine(quiet + replies)
    return {"quiet_p99": _p99(quiet), "p99": _p99(replies), "ratio": _p99(replies) / _p99(quiet), "documents": done}


def _p99(replies: "list[Reply]") -> float:
    import numpy as np

    return float(np.quantile([reply.seconds for reply in replies], 0.99))

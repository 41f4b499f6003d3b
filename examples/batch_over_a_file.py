"""Answer a file of questions: JSON lines in, JSON lines out, in the same order.

    python examples/batch_over_a_file.py engines/ questions.jsonl answers.jsonl

A line in is {"id", "question", "context"}. A line out is {"id", "answer", "score", "start", "end"}, or {"id", "error"}
for a question that cannot be run.

Many questions go into one call. Their windows are then sorted by length and run in batches, which is faster than one
call a question. Answers do not depend on it.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bskim_export import InputError, QAPipeline

TOGETHER = 64
"""Questions of one call: enough to fill batches, few enough that progress shows."""


def main() -> None:
    """Read, answer and write, a part of the file at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("questions", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--batch-size", type=int, default=8, help="windows that run together")
    arguments = parser.parse_args()
    qa = QAPipeline(arguments.bundle, batch_size=arguments.batch_size)
    with (
        arguments.questions.open(encoding="utf-8") as source,
        arguments.answers.open("w", encoding="utf-8") as target,
        Progress(console=Console(stderr=True)) as bar,
    ):
        task = bar.add_task("Answering", total=count_lines(arguments.questions))
        for lines in batches(source):
            items = [parse(line) for line in lines]
            for item, answer in zip(items, answer_all(qa, items), strict=True):
                target.write(json.dumps({"id": item.get("id"), **answer}) + "\n")
            bar.advance(task, len(lines))


def count_lines(path: Path) -> int:
    """Return how many lines of a file are not blank."""
    with path.open("rb") as stream:
        return sum(not line.isspace() for line in stream)


def batches(source: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines that are not blank, TOGETHER at a time."""
    lines = (line for line in source if not line.isspace())
    while batch := list(islice(lines, TOGETHER)):
        yield batch


def parse(line: str) -> dict[str, Any]:
    """Return the object on a line. A line that holds none gives an empty one, which no pipeline can answer."""
    try:
        item = json.loads(line)
    except ValueError:
        return {}
    return item if isinstance(item, dict) else {}


def answer_all(qa: QAPipeline, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return an answer or an error for each question: one that cannot be run costs only itself."""
    wanted = [{name: item[name] for name in ("question", "context") if name in item} for item in items]
    found = qa.run(data=wanted, on_error="return")
    return [{"error": str(one)} if isinstance(one, InputError) else one for one in found]


if __name__ == "__main__":
    main()

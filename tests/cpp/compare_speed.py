"""Time libbskim against QAPipeline, on the same bundle, backend and threads.

    python tests/cpp/compare_speed.py engines/

Three figures. A question at a time: bskim-answer and QAPipeline take turns, question by question, and each is the
median of the ratios; what the pipe to bskim-answer costs is on its side. From the start of a process to its first
answer: bskim-answer and bskim-ask in turns, medians. The most memory that each held in doing so, and in answering all
questions one after the other.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from compare_answers import TOOL, Other
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from bskim_export.data.question import Question, sample
from bskim_export.data.readers import read_questions
from bskim_export.runtime.pipeline import QAPipeline

WARM_UP = 10
ALONE = """
import json, sys
from bskim_export import QAPipeline
qa = QAPipeline(sys.argv[1], backend=sys.argv[2])
for line in sys.stdin:
    print(json.dumps(qa.run(data=json.loads(line))), flush=True)
"""


def seconds_of(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_questions(other: Other, qa: QAPipeline, questions: list[Question]) -> tuple[list[float], list[float]]:
    """Return the seconds of each question, of both; who goes first changes from one to the next."""
    times: tuple[list[float], list[float]] = ([], [])
    for number, one in enumerate(tqdm(questions, disable=None)):
        pair = {"question": one.question, "context": one.context}
        calls = [partial(other.ask, **pair), partial(qa.run, data=pair)]
        order = (0, 1) if number % 2 else (1, 0)
        for which in order:
            took = seconds_of(calls[which])
            if number >= WARM_UP:
                times[which].append(took)
    return times


def run_process(command: list[str], lines: list[str]) -> tuple[float, float]:
    """Return the seconds from the start of a process to its first answer, and the most memory it held, in MB.

    Args:
        lines: the questions, which it answers one by one
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    first = 0.0
    for line in lines:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        if not process.stdout.readline():
            raise RuntimeError(f"{command[0]} ended with status {process.wait()}.")
        first = first or time.perf_counter() - start
    # Asked of itself while it waits: the memory that wait4 tells of includes its parent's, before exec.
    status = Path(f"/proc/{process.pid}/status").read_text()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    process.communicate()
    return first, memory / 1000


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--tool", type=Path, default=TOOL)
    parser.add_argument("--dataset", default="squad")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--starts", type=int, default=11)
    parser.add_argument("--backend", default="onnxruntime")
    given = parser.parse_args()
    questions = sample(read_questions(given.dataset, lambda _: None), given.limit, 0)
    flags = ["--backend", given.backend]
    other = Other(given.tool, given.bundle, flags)
    theirs, ours = time_questions(other, QAPipeline(given.bundle, backend=given.backend), questions)
    ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))

    lines = [json.dumps({"question": q.question, "context": q.context}) for q in questions]
    commands = (
        [str(given.tool), str(given.bundle), "--jsonl", "--quiet", *flags],
        [sys.executable, "-c", ALONE, str(given.bundle), given.backend],
    )
    starts = [[run_process(one, lines[:1]) for one in commands] for _ in tqdm(range(given.starts), disable=None)]
    many = [run_process(one, lines) for one in commands]

    table = Table(
        "", "libbskim", "Python", "ratio", title=f"{given.backend}, {len(questions)} questions of {given.dataset}"
    )
    rows = [
        ("p50 of a question (ms)", statistics.median(theirs) * 1e3, statistics.median(ours) * 1e3, ratio),
        ("start to first answer (s)", *(statistics.median(pair[i][0] for pair in starts) for i in (0, 1))),
        ("memory for one question (MB)", *(max(pair[i][1] for pair in starts) for i in (0, 1))),
        ("memory for all (MB)", many[0][1], many[1][1]),
    ]
    for name, one, two, *known in rows:
        table.add_row(name, f"{one:.3g}", f"{two:.3g}", f"{known[0] if known else one / two:.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()

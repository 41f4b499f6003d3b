"""Kills of bskim-map at random moments: python tests/attack/map_kills.py BUNDLE --rows 50000 --kills 10

Maps rows that repeat some short questions of SQuAD, each row with an id. A run is killed again and again, with SIGKILL:
all of it, or its driver alone, or one actor alone, which the run must survive. Then it is called once more. In the end
every row must be there once, in order, with what the pipeline answers; and no file that was done may be written again.

Prints one line. The exit code is 1 if a row is missing, twice or wrong.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from bskim_export import QAPipeline
from bskim_export.data.squad import load_squad

KINDS = ("all", "all", "driver", "actor")
PATIENCE = 1800
"""Seconds after which a run that does not get on counts as hanging."""

WIDTH = 1e-5
"""How far scores may be apart: windows of other batches are summed in another order."""


def make_rows(count: int, distinct: int) -> list[dict[str, object]]:
    """Return rows whose questions are those with the shortest contexts."""
    questions = sorted(load_squad(), key=lambda one: (len(one.context), one.question))[:distinct]
    chosen = (questions[number % len(questions)] for number in range(count))
    return [{"id": number, "question": one.question, "context": one.context} for number, one in enumerate(chosen)]


def done_parts(out: Path) -> dict[str, int]:
    """Return the final files that there are, and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}


def kill(process: subprocess.Popen, kind: str) -> bool:
    """Kill some of a run. Returns whether there was something to kill."""
    try:
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        if kind == "driver":
            tree = tree[:1]
        elif kind == "actor":
            tree = [one for one in tree if " ".join(one.cmdline()).startswith("ray::MapWorker")][:1]
    except psutil.Error:
        return False
    for one in tree:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
    if kind != "actor":
        process.wait()
    return bool(tree)


def run_once(command: list[str], out: Path, log: Path, wait: tuple[float, int, float] | None, kind: str) -> str:
    """Start a run and kill it. Returns what became of it: the kind of kill, "done", or "failed".

    Args:
        wait: seconds to wait at least, for how many more parts, and seconds after these; None kills nothing
    """
    there = len(done_parts(out))
    with open(log, "ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    killed = ""
    end = time.monotonic() + PATIENCE
    if wait is not None:
        begin = time.monotonic()
        while process.poll() is None and (time.monotonic() < begin + wait[0] or len(done_parts(out)) < there + wait[1]):
            time.sleep(0.01)
            if time.monotonic() > end:
                sys.exit(f"hangs; see {log}")
        time.sleep(wait[2])
        if process.poll() is None and kill(process, kind):
            killed = kind
    if killed in ("all", "driver"):
        return killed
    if process.wait(PATIENCE):
        return "failed"
    return killed or "done"


def judge(out: Path, rows: list[dict[str, object]], qa: QAPipeline, distinct: int) -> tuple[int, list[str]]:
    """Return how many rows there are, and what is wrong with them."""
    answers = qa.run(data=[{k: row[k] for k in ("question", "context")} for row in rows[:distinct]])
    found = [row for path in sorted(out.glob("part-*")) for row in pq.read_table(path).to_pylist()]
    wrong = []
    if [row["id"] for row in found] != [row["id"] for row in rows]:
        counts = Counter(row["id"] for row in found)
        twice = sum(count > 1 for count in counts.values())
        wrong.append(f"{len(rows) - len(counts)} rows are missing, {twice} are there twice, or the order is another")
    for row in found:
        expected = answers[row["id"] % distinct]
        same = all(row[name] == expected[name] for name in ("answer", "start", "end"))
        if not same or row["error"] or abs(row["score"] - expected["score"]) > WIDTH:
            wrong.append(f"row {row['id']}: {row['answer']!r}, expected {expected}")
    return len(found), wrong


def main() -> None:
    """Kill, go on, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--distinct", type=int, default=2000, help="questions that the rows repeat")
    parser.add_argument("--part-rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path("build/map_kills"), help="a folder, which is emptied")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    distinct = min(arguments.distinct, arguments.rows)
    shutil.rmtree(arguments.state, ignore_errors=True)
    arguments.state.mkdir(parents=True)
    out = arguments.state / "out"
    log = arguments.state / "log.txt"
    rows = make_rows(arguments.rows, distinct)
    pq.write_table(pa.Table.from_pylist(rows), arguments.state / "in.parquet", row_group_size=1777)
    command = [sys.executable, "-m", "bskim_export.commands", "map", str(arguments.state / "in.parquet")]
    command += ["--out", str(out), "--bundle", str(arguments.bundle), "--part-rows", str(arguments.part_rows)]
    parts = -(-arguments.rows // arguments.part_rows)
    kills: Counter[str] = Counter()
    runs = rewritten = 0
    begin = time.monotonic()
    while kills.total() < arguments.kills:
        before = done_parts(out)
        left = arguments.kills - kills.total()
        # So that each kill gets its share of what is to be done; one in four comes before anything is.
        share = max(1, (parts - len(before)) // (left + 1))
        early = chance.random() < 0.25
        wait = (chance.uniform(0, 15) if early else 0.0, 0 if early else chance.randint(1, share), chance.uniform(0, 1))
        became = run_once(command, out, log, wait, chance.choice(KINDS))
        runs += 1
        after = done_parts(out)
        rewritten += sum(after.get(name) != moment for name, moment in before.items())
        if became == "failed":
            sys.exit(f"A run failed by itself; see {log}")
        if became == "done" or len(after) == parts:
            if became != "done":
                kills[became] += 1
            if kills.total() < arguments.kills:  # it was faster than the kill: give it something to do again
                for name in chance.sample(sorted(after), max(1, parts // 2)):
                    (out / name).unlink()
            continue
        kills[became] += 1
    if run_once(command, out, log, None, "") != "done":
        sys.exit(f"The last run failed; see {log}")
    count, wrong = judge(out, rows, QAPipeline(arguments.bundle), distinct)
    left_over = sorted(name for name in os.listdir(out) if not name.startswith("part-") and name != "_map.json")
    print(
        f"{kills.total()} kills ({dict(kills)}) of {runs} runs, {time.monotonic() - begin:.0f} s: {count} rows of "
        f"{arguments.rows}, {len(wrong)} wrong; {rewritten} parts written again; left beside them: {left_over}"
    )
    for one in wrong[:10]:
        print(one)
    sys.exit(1 if wrong or rewritten else 0)


if __name__ == "__main__":
    main()

"""Many callers of one pipeline: answers equal to those of a single caller, and memory that stays level.

    python tests/attack/load.py BUNDLE --callers 16 --count 5000     # or: make attack

Requests are mixed: single questions and lists, all options, some that must be refused. Every request is also made
alone, and the outcomes are compared to the last bit. Memory is the process's resident set, after the first 1,000
requests and at the end.
"""

import argparse
import collections
import gc
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

from bskim_export import InputError, QAPipeline
from bskim_export.data.squad import load_squad

LEVEL = 0.05
"""Memory may grow by so large a share after the first requests."""
SETTLED = 1000


def resident_megabytes() -> float:
    """Return how much memory the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def make_request(random: Random, questions: list[Any]) -> dict[str, Any]:
    """Return the arguments of one call."""
    kind = random.random()
    if kind < 0.7:
        one = random.choice(questions)
        return {
            "question": one.question, "context": one.context, "top_k": random.choice([1, 1, 3]),
            "max_seq_len": random.choice([None, 64, 128, 384]), "doc_stride": random.choice([None, 0, 16, 40]),
            "handle_impossible_answer": random.random() < 0.3, "return_skim": random.random() < 0.3,
            "align_to_words": random.random() < 0.8, "batch_size": random.choice([None, 1, 3]),
        }  # fmt: skip
    if kind < 0.8:
        some = random.sample(questions, 3)
        return {"question": [q.question for q in some], "context": [q.context for q in some]}
    return random.choice([
        {"question": "", "context": "x"}, {"question": "x", "context": ""}, {"question": 5, "context": "x"},
        {"question": "Who?", "context": "x", "top_k": 0}, {"question": "Who?", "context": "x", "max_seq_len": 10**9},
        {"question": "w " * 500, "context": "x"}, {"question": "Who?", "context": None}, {"data": []},
        {"question": ["a", "b"], "context": ["c"]}, {"question": "\u200b", "context": "\u200b"},
    ])  # fmt: skip


def outcome(qa: QAPipeline, request: dict[str, Any]) -> tuple[str, Any]:
    """Return what a call gives, or the error that it raises."""
    try:
        return "answer", qa(**request)
    except InputError as error:
        return "InputError", str(error)
    except BaseException as error:
        return "FAILED", f"{type(error).__name__}: {error}"


def main() -> None:
    """Run the requests; exit with 1 if an outcome differs or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--distinct", type=int, default=250, help="different requests, each made many times")
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    random = Random(arguments.seed)
    questions = random.sample(load_squad("squad"), 60)
    requests = [make_request(random, questions) for _ in range(arguments.distinct)]
    qa = QAPipeline(arguments.bundle)
    opened = resident_megabytes()
    alone = [outcome(qa, request) for request in requests]
    single = resident_megabytes()
    order = [random.randrange(len(requests)) for _ in range(arguments.count)]
    kinds: collections.Counter[str] = collections.Counter()
    memory: list[float] = []
    position = iter(range(len(order)))
    lock = threading.Lock()

    def call() -> None:
        while True:
            with lock:
                i = next(position, None)
                if i is None:
                    return
                if i % 100 == 0:
                    memory.append(resident_megabytes())
            # Compared at once: kept until the end, outcomes would be what grows.
            found = outcome(qa, requests[order[i]])
            same = found == alone[order[i]]
            with lock:
                kinds[found[0]] += 1
                kinds["different"] += not same

    start = time.perf_counter()
    callers = [threading.Thread(target=call) for _ in range(arguments.callers)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    seconds = time.perf_counter() - start
    gc.collect()
    different = kinds.pop("different")
    settled = max(memory[: SETTLED // 100 + 1])
    most = max(memory[SETTLED // 100 :], default=settled)  # nothing comes after them in a short run
    print(f"{len(order)} requests by {arguments.callers} callers in {seconds:.0f} s: {dict(kinds)}")
    print(f"{different} differ from the same request made alone")
    levels = [f"{max(memory[i : i + 10]):.0f}" for i in range(0, len(memory), 10)]
    print(f"at most, in MB, in each thousand: {', '.join(levels)}")
    print(f"memory: {opened:.0f} MB opened, {single:.0f} MB after one caller, at most {settled:.0f} MB in the first")
    print(f"{SETTLED} requests and {most:.0f} MB after them ({most / settled - 1:+.1%})")
    if different or kinds.get("FAILED") or most > settled * (1 + LEVEL):
        sys.exit("That is none that may be.")


if __name__ == "__main__":
    main()

"""Calls a pipeline with whatever Python has: a well-formed answer, or an InputError.

    python tests/attack/arguments.py BUNDLE --count 3000     # or: make attack

Texts, lists, arrays, generators and odd objects take the place of questions and contexts, numbers of every kind that of
options. A case that ends otherwise, or takes over 10 s, is printed; its number and the seed give it again.
"""

import argparse
import collections
import decimal
import fractions
import math
import sys
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bskim_export import InputError, QAPipeline

sys.path.insert(0, str(Path(__file__).parent))
from bundles import alarm

SLOWEST = 10.0
"""Seconds that a case may take."""
QUESTION = "Who wrote the book?"
CONTEXT = "The book was written by Ada Lovelace in 1843. " * 12


class Text(str):
    """A string of a class of its own."""


class Number(int):
    """A whole number of a class of its own."""


class Raises:
    """An iterable whose reading fails."""

    def __iter__(self) -> Any:
        raise RuntimeError("no more")


def texts() -> list[Any]:
    """Return what may stand in the place of a text; generators are new at each call."""
    return [
        QUESTION, "", " ", "\0", "\ud800", "\u200b", "é" * 50, "\U0001d49c" * 300, "a" * 2000, "\n\t\r", "İstanbul ß ﬁ",
        "[SEP] [CLS] [PAD] [MASK]", "?" * 400, "日本語" * 100, "\u202e abc", "##s ##ing", Text("who?"), "e\u0301" * 100,
        "a\u0300" * 500, "\U0001f469\u200d" * 40, "who " * 370, b"bytes", bytearray(b"x"), None, 5, 1.5, math.nan, True,
        [], [QUESTION], [QUESTION, "Where?"], (QUESTION,), [[]], [[QUESTION]], [None], [5], {"question": QUESTION},
        np.array([QUESTION]), np.str_(QUESTION), {QUESTION}, iter([QUESTION]), (q for q in [QUESTION, ""]), Raises(),
        [QUESTION] * 5, range(3), np.zeros((2, 2)), memoryview(b"abc"), type, object(),
    ]  # fmt: skip


NUMBERS = [
    None, 0, 1, 2, 3, 7, 8, 31, 32, 33, 64, 100, 384, 385, -1, -(10**9), 10**9, 10**18, 2**63, 10**30, 1.0, 1.5,
    math.nan, math.inf, True, False, "3", "", [], [1], {}, np.int64(3), np.int32(0), np.float32(2), np.array(3),
    np.array([3]), Number(3), decimal.Decimal(3), fractions.Fraction(3), b"3", 3 + 0j, object,
]  # fmt: skip
FLAGS = [True, False, None, 0, 1, 2, "yes", "", [], np.bool_(True), math.nan, object(), np.array([True, False])]
OPTIONS = {
    "top_k": NUMBERS, "doc_stride": NUMBERS, "max_answer_len": NUMBERS, "max_seq_len": NUMBERS, "batch_size": NUMBERS,
    "max_windows": NUMBERS, "handle_impossible_answer": FLAGS, "align_to_words": FLAGS, "return_skim": FLAGS,
    "return_stats": FLAGS, "max_question_len": NUMBERS, "padding": FLAGS, "on_error": ["raise", "return", "", None, 3],
    "progress": [None, False],
}  # fmt: skip


def make_call(random: Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of one case."""
    kwargs: dict[str, Any] = {}
    args: tuple[Any, ...] = ()
    kind = random.random()
    if kind < 0.5:
        kwargs["question"] = QUESTION if random.random() < 0.6 else random.choice(texts())
        kwargs["context"] = CONTEXT if random.random() < 0.6 else random.choice(texts())
    elif kind < 0.7:
        kwargs["data"] = make_data(random)
    elif kind < 0.8:
        args = (random.choice(texts()), random.choice(texts()))
    else:
        args = tuple(make_data(random) for _ in range(random.choice([0, 1, 1, 2, 3])))
    for name, values in OPTIONS.items():
        if random.random() < 0.2:
            usual = [v for v in values if v is None or (type(v) in (int, bool) and 0 <= v <= 400)]
            kwargs[name] = random.choice(usual if usual and random.random() < 0.7 else values)
    return args, kwargs


def make_data(random: Random) -> Any:
    """Return what may stand in the place of dicts."""
    item = {"question": random.choice(texts()), "context": random.choice(texts())}
    good = {"question": QUESTION, "context": CONTEXT}
    return random.choice([
        item, item, [item, good], (i for i in [good, item]), good, [], {}, [[]], 5, "x", [5], {"question": QUESTION},
        {"context": CONTEXT}, {**good, "extra": 1}, [{"question": [QUESTION] * 3, "context": CONTEXT}], None, Raises(),
    ])  # fmt: skip


def require_well_formed(value: Any, returned: bool) -> None:
    """Raise AssertionError unless a value is an answer, or lists of answers, and errors only where they may be."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, InputError):
            assert returned, "an error was returned that was not asked for"
            continue
        for answer in one if isinstance(one, list) else [one]:
            assert {"score", "start", "end", "answer"} <= set(answer), f"shape {str(answer)[:80]}"
            assert type(answer["answer"]) is str
            assert 0 <= answer["start"] <= answer["end"]
            assert answer["end"] - answer["start"] == len(answer["answer"])
            assert 0 <= answer["score"] <= 1


def main() -> None:
    """Run the cases; exit with 1 if one ended as none may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    qa = QAPipeline(arguments.bundle)
    verdicts: collections.Counter[str] = collections.Counter()
    failures = []
    slowest = 0.0
    for number in range(arguments.first, arguments.first + arguments.count):
        args, kwargs = make_call(Random(f"{arguments.seed} {number}"))
        start = time.perf_counter()
        try:
            with alarm(30):
                value = qa(*args, **kwargs)
                require_well_formed(value, kwargs.get("on_error") == "return")
            verdict = "answered"
        except InputError:
            verdict = "refused"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # An iterable of the caller's that fails is the caller's own error, and is reported as one.
            verdict = "caller's own error" if "no more" in str(error) else "FAILED"
            if verdict == "FAILED":
                failures.append(f"case {number}: {type(error).__name__}: {ascii(str(error))[:200]}")
        seconds = time.perf_counter() - start
        slowest = max(slowest, seconds)
        if seconds > SLOWEST:
            failures.append(f"case {number}: {seconds:.1f} s")
        verdicts[verdict] += 1
    for failure in failures[:20]:
        print(failure)
    print(f"{arguments.count} calls, seed {arguments.seed}: {dict(verdicts)}; slowest {slowest:.1f} s")
    if failures:
        sys.exit(f"{len(failures)} ended as none may.")


if __name__ == "__main__":
    main()

"""Reads hostile data files and recipes: the outcome is questions that keep their promises, or a BskimError.

    python tests/attack/data_files.py --count 5000     # or: make attack

A case is a file of one format, spoiled in its structure or in its bytes, and sometimes packed; or rows as the hub gives
them; or a recipe. Questions that were read must be valid, must be written and read back as they were, and must be cut
into labelled windows or refused. The same number and seed give the same case.
"""

import argparse
import collections
import copy
import datetime
import gzip
import itertools
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bskim_export.bundle.manifest import RunDefaults
from bskim_export.calibrate.recipes import load_recipe
from bskim_export.data.files import _without_surrogates
from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.data.readers import read_questions
from bskim_export.data.squad import load_squad, parse_rows, write_squad
from bskim_export.errors import BskimError
from bskim_export.evaluate.usable import usable
from bskim_export.export.int8.recipe import load_int8_recipe
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.features import make_features

SLOWEST = 10
"""Seconds of processor time that a case may take."""
STUCK = 120
"""Seconds by the clock, after which it counts as stuck: other work may keep the machine busy."""
MEMORY = 2**31
"""Bytes that the process may take, beyond what it has at the start."""
LARGEST = 2**24
"""Bytes of a file at most, unpacked: bombs in cases are small, so that thousands can be tried."""
CONTEXTS = (
    "Ada Lovelace wrote the first program in 1843. José met her in København, in 2011 and 11 times more.",
    "東京は日本の首都です。大学は京都にあります。",
    "\ufeffMira\u200c Holt\u00a0 repaired the pump\u200f. The sign ❤\ufe0f means love, İstanbul and Straße.",
)
ODD = (
    None, True, False, 0, 1, -1, 2**31, -(2**63), 10**30, 10**4000, 0.5, 28.0, 1e308, float("nan"), float("inf"), "",
    " ", "\u00a0", "\u200b", "a", "yes", "\ud800", "x\udfffy", "\0", "İ", "ß", "e\u0301", "\u0301", "[b]", "\x1b[2J",
    "x" * 5000, "a" * 100_000, [], {}, [[]], [None], {"a": 1}, [0, 1], ["x", 0], [[0, 10**30]], {"text": []},
    {"text": ["Ada"], "answer_start": [0]}, {"text": "Ada", "answer_start": 0.0},
)  # fmt: skip
KEYS = ("data", "paragraphs", "qas", "context", "id", "answers", "text", "answer_start", "question", "header", "_id",
        "detected_answers", "char_spans", "supporting_facts", "is_impossible", "accepted", "x", "")  # fmt: skip
FRAGMENTS = (b'"', b"{", b"}", b"[", b"]", b",", b"\\ud800", b"\\", b"\n", b"\r", b"\xff", b"\xed\xa0\x80", b"1" * 5000,
             b"NaN", b"-", b"1e999", b"null", b"\0", b"\xef\xbb\xbf", b"\x1f\x8b")  # fmt: skip


def squad(random: Random) -> Any:
    """Return articles in SQuAD format."""
    paragraphs = []
    for context in random.sample(CONTEXTS, random.randint(1, 3)):
        qas: list[dict[str, Any]] = []
        for _ in range(random.randint(1, 3)):
            start = random.randrange(len(context))
            text = context[start : start + random.randint(1, 20)]
            qas.append(
                {"id": str(random.randrange(9)), "question": "Who?", "answers": [{"text": text, "answer_start": start}]}
            )
        qas.append({"id": "none", "question": "Why?", "answers": [], "is_impossible": True})
        qas[0]["supporting_facts"] = [{"text": context[3:9], "start": 3}]
        qas[0]["accepted"] = ["Ada"]
        paragraphs.append({"context": context, "qas": qas})
    return [{"title": "t", "paragraphs": paragraphs}]


def rows(random: Random) -> Any:
    """Return rows in SQuAD's schema."""
    found = []
    for paragraph in squad(random)[0]["paragraphs"]:
        for qa in paragraph["qas"]:
            answers = {
                "text": [a["text"] for a in qa["answers"]],
                "answer_start": [a["answer_start"] for a in qa["answers"]],
            }
            found.append(
                {"id": qa["id"], "context": paragraph["context"], "question": qa["question"], "answers": answers}
            )
    return found


def mrqa(random: Random) -> Any:
    """Return MRQA's lines, with or without a header."""
    lines: list[dict[str, Any]] = [{"header": {"dataset": "x"}}] if random.random() < 0.7 else []
    for paragraph in squad(random)[0]["paragraphs"]:
        qas = []
        for qa in paragraph["qas"]:
            spans = [{"text": a["text"], "char_spans": [[a["answer_start"], a["answer_start"] + len(a["text"]) - 1]]}
                     for a in qa["answers"]]  # fmt: skip
            qas.append({"qid": qa["id"], "question": "Who?", "answers": ["Ada"], "detected_answers": spans})
        lines.append({"context": paragraph["context"], "qas": qas})
    return lines


def hotpotqa(random: Random) -> Any:
    """Return HotpotQA's entries."""
    paragraphs = [[f"Title {i}", [part + "." for part in context.split(".")]] for i, context in enumerate(CONTEXTS)]
    return [
        {"_id": str(i), "question": "Who?", "answer": answer, "context": copy.deepcopy(paragraphs),
         "supporting_facts": [["Title 0", 0], ["Title 2", random.randrange(3)]]}
        for i, answer in enumerate(random.sample(["Ada", "Lovelace", "11", "京都", "yes", "José", "Mira"], 3))
    ]  # fmt: skip


WRAPPINGS = {
    "squad": lambda random: {"version": "2.0", "data": squad(random)},
    "articles": squad,
    "paragraphs": lambda random: squad(random)[0]["paragraphs"],
    "rows": rows,
    "run_qa": lambda random: {"version": "1", "data": rows(random)},
    "mrqa": mrqa,
    "hotpotqa": hotpotqa,
}


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside a parsed JSON document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*here, key)
        yield from paths(inner, (*here, key))


def spoil(document: Any, random: Random, values: tuple[Any, ...] = ODD) -> Any:
    """Change a document in a few places."""
    for _ in range(random.choice((0, 1, 1, 1, 2, 4))):
        ways = list(paths(document))
        if not ways:
            break
        *above, key = random.choice(ways)
        parent = document
        for step in above:
            parent = parent[step]
        kind = random.choice(("retype", "retype", "retype", "drop", "number", "text", "text", "rename", "repeat"))
        old = parent[key]
        if kind == "drop":
            del parent[key]
        elif kind == "number" and isinstance(old, int):
            parent[key] = old + random.choice((-1, 1, 7, -50, 10**4))
        elif kind == "text" and isinstance(old, str) and old:
            spot = random.randrange(len(old))
            new = random.choice(("", "\ud800", "é", "İ", "\n", " ", "\u200b", "e\u0301", "\0", "\u202e", "x" * 1000))
            parent[key] = old[:spot] + new + old[spot + random.randint(0, 2) :]
        elif kind == "rename" and isinstance(parent, dict):
            parent[random.choice(KEYS)] = parent.pop(key)
        elif kind == "repeat" and isinstance(parent, list):
            # One and the same object is repeated, and only small ones often: later changes walk through all of it.
            times = (1, 3) if isinstance(old, dict | list) else (1, 3, 2000)
            parent.extend([copy.deepcopy(old)] * random.choice(times))
        else:
            parent[key] = copy.deepcopy(random.choice(values))
    return document


def spoil_bytes(content: bytes, random: Random) -> bytes:
    """Change bytes in a few places."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 2, 5, 20))):
        spot = random.randrange(len(changed) + 1)
        kind = random.random()
        if kind < 0.3 and spot < len(changed):
            changed[spot] = random.randrange(256)
        elif kind < 0.5:
            del changed[spot : spot + random.randrange(1, 40)]
        elif kind < 0.8:
            changed[spot:spot] = random.choice(FRAGMENTS)
        elif kind < 0.83:
            changed[spot:spot] = random.choice((b"[", b'{"data":', b'[{"x":')) * random.choice((500, 1500, 100_000))
        else:
            other = random.randrange(len(changed) + 1)
            changed[spot:spot] = changed[other : other + random.randrange(200)]
    return bytes(changed)


def pack(content: bytes, random: Random) -> bytes:
    """Gzip some files, some of them badly, and some that unpack to far more than they seem."""
    kind = random.random()
    if kind < 0.75:
        return content
    packed = gzip.compress(content)
    if kind < 0.90:
        return packed
    if kind < 0.92:
        return spoil_bytes(packed, random)
    if kind < 0.94:
        return packed[: random.randrange(len(packed))]
    if kind < 0.96:
        return gzip.compress(packed)
    filler = random.choice((b" ", b"\n", b"[],", b'"x",', b"[", b"1"))
    return gzip.compress(content[: random.randrange(len(content) + 1)] + filler * (2 * LARGEST // len(filler)), 1)


def check(question: Question) -> None:
    """Check what a Question promises. Raises AssertionError."""
    assert type(question.id) is str
    assert question.id
    assert type(question.question) is type(question.context) is str
    assert question.question.strip()
    assert question.context.strip()
    for answer, start in zip(question.answers, question.starts, strict=True):
        assert type(start) is int
        assert start >= 0
        assert answer.strip() == answer != ""
        assert question.context[start : start + len(answer)] == answer
    assert all(0 <= a < b <= len(question.context) for a, b in question.supporting)
    assert all(type(text) is str for text in question.accepted)
    "".join((question.id, question.question, question.context, *question.gold)).encode()


class Attack:
    """Runs cases in one folder; `verdicts` counts their outcomes, and `failures` names those that may not be."""

    def __init__(self, folder: Path, maker: WindowMaker):
        self.folder = folder
        self.maker = maker
        self.verdicts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.slowest = 0.0

    def run(self, number: int, seed: int) -> None:
        """Run one case."""
        random = Random(f"{seed} {number}")
        kind = random.choices(("file", "rows", "recipe", "special"), (86, 7, 5, 2))[0]
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SLOWEST)
        signal.alarm(STUCK)
        try:
            verdict = getattr(self, f"_{kind}")(random)
        except BskimError as error:
            verdict = "refused"
            if not str(error):
                verdict = f"FAILED: no message: {error!r}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it is, it is none that may be
            verdict = f"FAILED: {type(error).__name__}: {str(error)[:200]!a}"
        finally:
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.slowest = max(self.slowest, time.process_time() - start)
        self.verdicts[f"{kind}: {verdict.split(':')[0]}"] += 1
        if verdict.startswith("FAILED"):
            self.failures.append(f"case {number}, seed {seed}, {kind}: {verdict}")

    def _file(self, random: Random) -> str:
        name = random.choice(list(WRAPPINGS))
        document = WRAPPINGS[name](random)
        if random.random() < 0.6:
            document = spoil(document, random)
        ascii_only = random.random() < 0.5
        as_lines = isinstance(document, list) and (name == "mrqa" or random.random() < 0.4)
        parts = [json.dumps(part, ensure_ascii=ascii_only) for part in (document if as_lines else [document])]
        content = "\n".join(parts).encode("utf-8", "surrogatepass")
        if random.random() < 0.4:
            content = spoil_bytes(content, random)
        path = self.folder / "case"
        path.write_bytes(pack(content, random))
        form = {"mrqa": "mrqa:", "hotpotqa": "hotpotqa:"}.get(name, "squad:")
        spec = random.choice(("", "", form, random.choice(("squad:", "mrqa:", "hotpotqa:"))))
        return self._judge(read_questions(f"{spec}{path}", lambda note: note.encode() and None, LARGEST), random)

    def _rows(self, random: Random) -> str:
        odd = (b"\xff", np.int64(3), np.array([1, 2]), datetime.datetime(2024, 1, 1), Decimal("1.5"), (1, 2), {1: 2})
        # Arrow holds UTF-8, so the hub gives no lone surrogates.
        spoiled = _without_surrogates(spoil(rows(random), random, ODD + odd))
        notes = Notes()
        return self._judge(list(parse_rows(((f"row {i}", row) for i, row in enumerate(spoiled)), notes)), random)

    def _recipe(self, random: Random) -> str:
        lines = [
            'dataset = "squad"',
            "sample = 20",
            "held-out = 5",
            "seed = 1",
            "max-f1-drop = 0.2",
            'method = "minmax"',
        ]
        text = "\n".join(random.sample(lines, random.randint(0, 5)))
        value = random.choice(
            ("nan", "-inf", "1e999", "[" * 5000, "{a={b=1}}", "9" * 5000, "2024-01-01", '"\\ud800"', "''", "-1")
        )
        text += f"\n{random.choice(('sample', 'max-f1-drop', 'risk', 'seed', 'x'))} = {value}\n" * random.randint(0, 1)
        path = self.folder / "case.toml"
        path.write_bytes(spoil_bytes(text.encode(), random) if random.random() < 0.5 else text.encode())
        recipe = random.choice((load_recipe, load_int8_recipe))(str(path))
        return f"read: {recipe}"

    def _special(self, random: Random) -> str:
        path = self.folder / "special"
        path.unlink(missing_ok=True)
        kind = random.randrange(4)
        if kind == 0:
            os.mkfifo(path)
        elif kind == 1:
            path.symlink_to(path)
        elif kind == 2:
            path.symlink_to(random.choice(("/dev/zero", "/dev/urandom", "/dev/null", "/proc/self/mem", "/")))
        else:
            path = Path(random.choice(("/dev/zero", "a\0b", "x" * 5000, "/", "", "\ud800")))
        read_questions(random.choice(("", "squad:", "mrqa:", "hotpotqa:")) + str(path), lambda note: None)
        return "FAILED: it was read"

    def _judge(self, questions: list[Question], random: Random) -> str:
        for question in questions:
            check(question)
        if questions and random.random() < 0.3:
            # Questions of a context are grouped, so their order may change.
            write_squad(self.folder / "back.json", questions)
            back = load_squad(self.folder / "back.json", lambda note: None)
            assert collections.Counter(back) == collections.Counter(questions), "written and read back"
        if questions and random.random() < 0.5:
            some = list(itertools.islice(questions, 20))
            options = RunOptions.resolve(RunDefaults.of_length(64), 64, doc_stride=16)
            found = usable(some, self.maker, options, lambda note: None)
            make_features(found, self.maker, options.max_seq_len, options.doc_stride)
        return "read"


def attack(cases: range, seed: int = 0, show: Any = None) -> Attack:
    """Run some cases in this process, with its memory limited; `show` is called after each. Ctrl-C ends it early."""
    from labels import EXAMPLE, make_maker

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"over {SLOWEST} s of processor time, or {STUCK} s")

    before = {which: signal.signal(which, ring) for which in (signal.SIGALRM, signal.SIGPROF)}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attacker = Attack(Path(folder), make_maker(EXAMPLE))
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, limits[1]))
        try:
            for number in cases:
                attacker.run(number, seed)
                if show:
                    show()
        except KeyboardInterrupt:
            pass
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
            for which, handler in before.items():
                signal.signal(which, handler)
    return attacker


def main() -> None:
    """Run from the command line, with a bar, and exit with 1 if a case failed."""
    from rich.progress import track

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case, to go on with")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cases = range(arguments.first, arguments.count)
    bar = iter(track(cases, "Reading"))
    done = attack(cases, arguments.seed, lambda: next(bar, None))
    next(bar, None)
    for verdict, times in sorted(done.verdicts.items()):
        print(f"{times:7,}  {verdict}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ran = sum(done.verdicts.values())
    print(f"{len(done.failures)} of {ran:,} failed; the slowest took {done.slowest:.1f} s, the process {peak:.1f} GiB.")
    for failure in done.failures[:20]:
        print(failure)
    sys.exit(bool(done.failures))


if __name__ == "__main__":
    main()

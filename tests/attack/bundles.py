"""Mutates the files of a bundle and opens it: a right answer, or a BundleError that names the place.

    python tests/attack/bundles.py BUNDLE --count 10000     # or: make attack

Two kinds of mutations of manifest.json take turns: accidents, which leave its seal as it was, and a stranger's, which
renew it. An accident must give the right answer or a BundleError; the only change that may be accepted is another
threshold. After a stranger's, answers are his own affair (see docs/bundle.md), but every error must be a BskimError.
The other small files keep their hashes in the manifest, so any change of them must be noticed. report.json, which has
none, must be readable or refused.
"""

import argparse
import collections
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from bskim_export import QAPipeline
from bskim_export.bundle.bundle import REPORT, Bundle
from bskim_export.bundle.manifest_file import MANIFEST, seal
from bskim_export.errors import BskimError, BundleError

sys.path.insert(0, str(Path(__file__).parent))
from mutate import as_bytes, mutate_bytes, mutate_json

SLOWEST = 2.0
"""Seconds that a case may take."""
ASKED = {"question": "Who wrote the book?", "context": "The book was written by Ada Lovelace in 1843. " * 20}


@contextlib.contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise TimeoutError when the block takes longer."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"over {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Attack:
    """One bundle, its copy to be spoiled, and the right answer.

    Attributes:
        verdicts: how often each verdict was given
        failures: the cases whose verdict is none that may be
        slow: the cases that took more than SLOWEST; they say as much about the machine
        slowest: seconds of the slowest case
    """

    def __init__(self, bundle: Path, folder: Path):
        self.folder = folder / "bundle"
        shutil.copytree(bundle, self.folder, ignore=shutil.ignore_patterns("engines"))
        self.contents = {p: p.read_bytes() for p in sorted(self.folder.rglob("*")) if p.is_file()}
        self.small = [p for p in self.contents if p.name not in (MANIFEST, REPORT)]
        self.right = QAPipeline(self.folder)(**ASKED)
        self.thresholds = Bundle.open(self.folder).thresholds
        self.verdicts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.slow: list[str] = []
        self.slowest = 0.0

    def run(self, number: int, seed: int) -> None:
        """Run one case; the same number and seed give the same one."""
        random = Random(f"{seed} {number}")
        which = random.choices(("accident", "stranger", "bytes", "other", "report"), (40, 25, 20, 10, 5))[0]
        path, content, what = self._spoil(which, random)
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            with alarm(30):
                verdict = self._judge(which, path)
        except KeyboardInterrupt:
            path.write_bytes(self.contents[path])
            raise
        except BaseException as error:  # whatever it is, it is none that may be
            verdict = f"FAILED: {type(error).__name__}: {str(error)[:200]}"
        seconds = time.perf_counter() - start
        path.write_bytes(self.contents[path])
        self.slowest = max(self.slowest, seconds)
        if seconds > SLOWEST:
            self.slow.append(f"case {number}, {which}, {path.name}, {what}: took {seconds:.1f} s, {verdict}")
        self.verdicts[f"{which}: {verdict.split(':')[0]}"] += 1
        if verdict.startswith("FAILED"):
            self.failures.append(f"case {number}, {which}, {path.name}, {what}: {verdict}")

    def _spoil(self, which: str, random: Random) -> tuple[Path, bytes, str]:
        manifest = self.folder / MANIFEST
        if which in ("accident", "stranger"):
            changed, what = mutate_json(json.loads(self.contents[manifest]), random)
            if which == "stranger" and isinstance(changed, dict):
                changed["seal"] = seal(changed)
            return manifest, as_bytes(changed), what
        path = {"bytes": manifest, "report": self.folder / REPORT}.get(which) or random.choice(self.small)
        return path, *mutate_bytes(self.contents[path], random)

    def _judge(self, which: str, path: Path) -> str:
        try:
            if which == "report":
                Bundle.open(self.folder).read_report()
            pipeline = QAPipeline(self.folder)
            answer = pipeline(**ASKED)
        except BundleError as error:
            named = any(name in str(error) for name in (path.name, MANIFEST, "onnx/"))
            return "refused" if named else f"FAILED: the error names no file: {error}"
        except BskimError as error:
            return f"refused by {type(error).__name__}" if which == "stranger" else f"FAILED: {error!r}"
        if answer == self.right:
            return "right answer"
        if pipeline.bundle.thresholds != self.thresholds:
            return "answer at other thresholds"
        return "a stranger's answer" if which == "stranger" else f"FAILED: wrong answer {answer}"


def attack(bundle: Path, cases: range, seed: int = 0, show: Any = None) -> Attack:
    """Run some cases; `show` is called after each. Ctrl-C ends it early."""
    with tempfile.TemporaryDirectory() as folder:
        attacker = Attack(bundle, Path(folder))
        with contextlib.suppress(KeyboardInterrupt):
            for number in cases:
                attacker.run(number, seed)
                if show:
                    show()
    return attacker


def main() -> None:
    """Run from the command line, with a bar, and exit with 1 if a case failed."""
    from rich.progress import track

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case, to go on with")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cases = range(arguments.first, arguments.count)
    bar = iter(track(cases, "Mutating"))
    done = attack(arguments.bundle, cases, arguments.seed, lambda: next(bar, None))
    ran = sum(done.verdicts.values())
    next(bar, None)
    for verdict, times in sorted(done.verdicts.items()):
        print(f"{times:7,}  {verdict}")
    print(f"{len(done.failures)} of {ran:,} failed; the slowest took {done.slowest:.2f} s.")
    if ran < len(cases):
        print(f"Interrupted; go on with --first {arguments.first + ran}.")
    print(f"{len(done.slow)} took more than {SLOWEST:.0f} s.")
    for case in (done.failures + done.slow)[:20]:
        print(case)
    sys.exit(bool(done.failures or done.slow))


if __name__ == "__main__":
    main()

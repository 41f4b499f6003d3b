"""Loads spoiled and hostile checkpoints: each answers like transformers, or is refused with a BskimError.

    python tests/attack/checkpoints.py --count 3000

A case spoils a copy of a tiny model (BERT, ALBERT, RoBERTa; safetensors, .bin, shards, model.pt; fast and slow
tokenizers) in one to three ways, then loads and describes it. It fails if anything else than a BskimError comes, if a
canary in a stranger's code or pickle is touched, if standard input is read, if a file is written, or if it takes more
than SLOWEST seconds or LARGEST bytes. Where transformers loads the same directory without a complaint, its ids and
logits must be ours. --first and --seed repeat a case.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
import torch
import transformers
from tokenizers import Tokenizer

from bskim_export import load_checkpoint
from bskim_export.errors import BskimError

sys.path.insert(0, str(Path(__file__).parent))
from spoil_checkpoint import CANARY, make_bases, spoil

SLOWEST = 10
LARGEST = 2 * 2**30
BATCH = 50
"""Cases of a process: whatever ends it, the next ones go on in another."""

TEXTS = (
    "Who wrote the book about Ghent?",
    "The book was written by Ada Lovelace in 1843. It's lost; Émile 東京 has a copy.",
)


class Asked(io.StringIO):
    """Standard input that says 'y' to everything, and remembers that it was read."""

    asked = False

    def readline(self, *args: Any) -> str:
        """Say yes."""
        self.asked = True
        return "y\n"


@contextlib.contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """End the process when the block takes longer: code in C or Rust hears of no exception."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def run_case(bases: Path, number: int, seed: int) -> str:
    """Return the verdict of one case; it begins with FAILED if it is none that may be."""
    random = Random(f"{seed} {number}")
    with tempfile.TemporaryDirectory(dir=bases.parent) as folder:
        source, what, code = spoil(bases, Path(folder), random)
        canary = bases.parent / CANARY
        canary.unlink(missing_ok=True)
        before = listing(Path(folder))
        sys.stdin = asked = Asked()
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
        peak = peak_memory()
        start = time.perf_counter()
        checkpoint = None
        try:
            with alarm(3 * SLOWEST):
                checkpoint = load_checkpoint(source)
                checkpoint.describe()
            verdict = "loads"
        except BskimError as error:
            verdict = "refused" if len(str(error)) < 2000 else f"FAILED: a message of {len(str(error))} characters"
        except BaseException as error:  # whatever it is, it is none that may be
            verdict = f"FAILED: {type(error).__name__}: {str(error)[:300]}"
        seconds = time.perf_counter() - start
        memory = peak_memory() - peak
        if canary.exists():
            verdict = "FAILED: a stranger's code ran"
        elif asked.asked:
            verdict = "FAILED: standard input was read"
        elif listing(Path(folder)) != before:
            verdict = "FAILED: files changed"
        elif seconds > SLOWEST:
            verdict = f"FAILED: took {seconds:.1f} s, {verdict}"
        elif memory > LARGEST:
            verdict = f"FAILED: took {memory >> 20:,} MiB, {verdict}"
        elif verdict == "loads" and source.is_dir() and not code:
            verdict = compare(source, checkpoint)
        return f"{verdict} ({', '.join(what)})" if verdict.startswith("FAILED") else verdict


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """Return all files below a folder, with what changes if they are written to."""
    return sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def peak_memory() -> int:
    """Return the most bytes that this process had since its peak was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10


@torch.no_grad()
def compare(source: Path, checkpoint: Any) -> str:
    """Return whether transformers answers alike, if it loads the directory without a complaint."""
    ours = Tokenizer.from_str(checkpoint.tokenizer).encode(*TEXTS)
    given = torch.tensor([ours.ids])
    types = torch.tensor([ours.type_ids]) if checkpoint.describe().type_vocab_size > 1 else torch.zeros_like(given)
    kinds = {} if checkpoint.model.config.model_type == "distilbert" else {"token_type_ids": types}
    try:
        with alarm(60):
            model, info = transformers.AutoModelForQuestionAnswering.from_pretrained(
                source,
                trust_remote_code=False,
                output_loading_info=True,
                dtype=torch.float32,
                attn_implementation="eager",
            )
            if any(info[kind] for kind in ("missing_keys", "mismatched_keys", "error_msgs")):
                return "loads, where transformers does not"
            out = model.eval()(input_ids=given, attention_mask=torch.ones_like(given), return_dict=True, **kinds)
            # Without a tokenizer_config.json, tokenizer.json stands as it is.
            stated = (source / "tokenizer_config.json").exists() or not (source / "tokenizer.json").exists()
            theirs = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False).backend_tokenizer
    except Exception:
        return "loads, where transformers does not"
    if stated:
        theirs.no_truncation()
        theirs.no_padding()
        if theirs.encode(*TEXTS).ids != ours.ids:
            return f"FAILED: ids {ours.ids} instead of {theirs.encode(*TEXTS).ids}"
    mine = checkpoint.model.backbone(input_ids=given, attention_mask=torch.ones_like(given), token_type_ids=types)
    far = [(a - b).abs().max() for a, b in ((out.start_logits, mine.start_logits), (out.end_logits, mine.end_logits))]
    return "answers like transformers" if bool(torch.stack(far).max() < 1e-3) else f"FAILED: logits differ by {far}"


def run_batch(bases: Path, numbers: list[int], seed: int) -> Iterator[tuple[int, str]]:
    """Yield the verdicts of some cases, run in a process of its own; the last may be how it died."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)  # Rust's panics
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (4 * LARGEST, 4 * LARGEST))  # a fault must not take the whole machine
        for number in numbers:
            try:
                verdict = run_case(bases, number, seed)
            except BaseException as error:
                verdict = f"FAILED: of this script, {type(error).__name__}: {error} {traceback.format_exc()[-600:]}"
            os.write(write, (json.dumps([number, verdict]) + "\n").encode())
        os._exit(0)
    os.close(write)
    last = -1
    with open(read, encoding="utf-8") as lines:
        for line in lines:
            last, verdict = json.loads(line)
            yield last, verdict
    _, status = os.waitpid(child, 0)
    if status:
        died = numbers[numbers.index(last) + 1 if last >= 0 else 0]
        killed = "took too long" if os.WTERMSIG(status) == signal.SIGALRM else f"the process died ({status})"
        yield died, f"FAILED: {killed}"


def attack(cases: range, seed: int = 0, show: Any = None) -> tuple[collections.Counter[str], list[str]]:
    """Run some cases. Returns how often each verdict was given, and the cases that failed."""
    verdicts: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        bases = Path(folder) / "bases"
        make_bases(bases)
        left = list(cases)
        while left:
            for number, verdict in run_batch(bases, left[:BATCH], seed):
                left.remove(number)
                verdicts[verdict.split(":")[0]] += 1
                if verdict.startswith("FAILED"):
                    failures.append(f"--seed {seed} --first {number} --count 1: {verdict}")
                if show:
                    show(number, verdict)
            for stray in Path(folder).glob("tmp*"):
                shutil.rmtree(stray, ignore_errors=True)
    return verdicts, failures


def main() -> None:
    """Run from the command line, and exit with 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case, to go on with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print every case")
    arguments = parser.parse_args()

    def show(number: int, verdict: str) -> None:
        if arguments.show or verdict.startswith("FAILED"):
            print(number, verdict, flush=True)

    start = time.perf_counter()
    cases = range(arguments.first, arguments.first + arguments.count)
    verdicts, failures = attack(cases, arguments.seed, show)
    for verdict, times in sorted(verdicts.items()):
        print(f"{times:7,}  {verdict}")
    print(f"{len(failures)} of {sum(verdicts.values()):,} failed, in {time.perf_counter() - start:.0f} s.")
    for failure in failures[:20]:
        print(failure)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()

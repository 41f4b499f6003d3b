"""bskim cold-start: the time of a fresh process from a bundle to its first answer, interpreter and imports included."""

import statistics
import time
from pathlib import Path

import click

from bskim_export.bundle.bundle import Bundle
from bskim_export.commands.common import bundle_argument, command, run_fresh
from bskim_export.commands.terminal import console
from bskim_export.commands.types import Named, Whole

SCRIPT = """
import sys
from bskim_export import QAPipeline
answer = QAPipeline(sys.argv[1])(question="Who wrote it?", context="It was written by Ada Lovelace in 1843.")
assert answer["answer"]
"""
STORE_SCRIPT = """
import sys
from bskim_export import QAPipeline
from bskim_export.runtime.prepared.store import Store
assert QAPipeline(sys.argv[1])(question="Who wrote it?", prepared=Store(sys.argv[2]).load())["answer"]
"""


@command
@bundle_argument
@click.option("--repeats", type=Whole(min=1), default=7, show_default=True, help="Processes to start.")
@click.option("--store", type=Named(), metavar="DIR", help="Answer from this store of prepared documents.")
def main(bundle: Path, repeats: int, store: Path | None) -> None:
    """Print the median, least and most of several cold starts of BUNDLE (default: engines/)."""
    folder = Bundle.open(bundle).folder  # a bundle that cannot be used is one clear error here, and a traceback there
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run_fresh(*((SCRIPT, folder) if store is None else (STORE_SCRIPT, folder, store)))
        seconds.append(time.perf_counter() - start)
    console.print(
        f"Process start to first answer: median {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f} to {max(seconds):.2f})",
    )

"""How long a fresh process takes from a bundle to its first answer, interpreter and imports included."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

from bskim_export.commands.common import console, handle_errors

SCRIPT = """
import sys
from bskim_export import QAPipeline
answer = QAPipeline(sys.argv[1])(question="Who wrote it?", context="It was written by Ada Lovelace in 1843.")
assert answer["answer"]
"""


@click.command()
@click.argument("engines", type=click.Path(path_type=Path), default="engines")
@click.option("--repeats", default=7, show_default=True)
@handle_errors
def main(engines, repeats):
    """Print the median, least and most of several cold starts."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", SCRIPT, str(engines)], check=True)
        seconds.append(time.perf_counter() - start)
    console.print(
        f"Process start to first answer: median {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f} to {max(seconds):.2f})",
        highlight=False,
    )

"""bskim view: a page to look at, with every question of a data set answered dense and skimming."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bskim_export.atomic import write_atomic
from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    command,
    dataset_option,
    deliver,
    limit_option,
    max_seq_len_option,
    open_for,
    progress_bar,
    seed_option,
    threshold_option,
)
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import OutputFile, Whole


@command
@bundle_argument
@dataset_option
@click.option("--out", required=True, type=OutputFile(), metavar="FILE", help="The HTML file to write. It needs no "
              "other file, and no network.")  # fmt: skip
@limit_option
@seed_option
@max_seq_len_option
@threshold_option
@click.option("--repeats", type=Whole(min=1), default=1, show_default=True, help="Runs of each question, of which "
              "the median counts as its time.")  # fmt: skip
@backend_options
def main(
    bundle: Path,
    dataset: str,
    out: Path,
    limit: int | None,
    seed: int,
    max_seq_len: int | None,
    threshold: float | None,
    repeats: int,
    threads: int | None,
    precision: str,
    backend_name: str | None,
) -> None:
    """Write a page about BUNDLE (default: engines/) on a data set: every question, answered dense and skimming.

    It has EM, F1, MACs and seconds of both, how they change with the thresholds, and a list of all questions. Answers
    that skimming cost come first, then the slowest. Opened, a question shows what each layer still read.
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    import bskim_export
    from bskim_export.bench.view_page import make_page
    from bskim_export.bench.view_report import answer_both, curve, curve_runs, summarise
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.pipeline import QAPipeline

    backend = open_for(bundle, backend_name, threads, precision)
    pipeline = QAPipeline(bundle, threshold=threshold, backend=backend)
    found = read_questions(dataset, note)
    impossible = any(not q.gold for q in found)
    options = pipeline.options(max_seq_len=max_seq_len, handle_impossible_answer=impossible)
    usable_ones = usable(found, pipeline.maker, options, note)
    questions = sample(usable_ones, limit, seed)
    answerer = pipeline.answerer(options)
    with progress_bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("Answering", total=repeats * len(questions))
        rows = list(answer_both(answerer, questions, lambda: bar.advance(task), repeats))
        more = bar.add_task("Other thresholds", total=curve_runs(answerer, questions))
        points = curve(answerer, rows, lambda done: bar.advance(more, done), seed)
    report: dict[str, Any] = {
        "dataset": dataset,
        "bundle": str(bundle),
        "source": pipeline.bundle.model.source,
        "backend": f"{backend.name} ({backend.precision})",
        "version": bskim_export.__version__,
        "seed": seed,
        "repeats": repeats,
        "left_out": len(found) - len(usable_ones),
        "options": asdict(options),
        "summary": summarise(rows),
        "curve": points,
    }
    page = make_page(report, rows)
    lost = sum(row.lost for row in rows)
    deliver(lambda: _show(report, lost), lambda: _write(out, page))


def _show(report: dict[str, Any], lost: int) -> None:
    whole = report["summary"]["parts"][0]
    low, high = whole["interval"]
    console.print(
        f"{whole['questions']:,} questions: F1 {whole['f1_difference']:+.2f} when skimming, 95 % interval {low:+.2f} "
        f"to {high:+.2f}; {whole['rows']['skim']['speedup_macs']:.2f}x fewer MACs; {lost:,} right answers lost."
    )


def _write(out: Path, page: bytes) -> None:
    write_atomic(out, lambda stream: stream.write(page))
    console.print(f"Written: {out} ({len(page) / 1e6:.1f} MB)")

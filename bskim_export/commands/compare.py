"""bskim compare: two bundles, or a bundle dense and skimming, on the same questions."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from bskim_export.commands.common import (
    align_option,
    backend_options,
    bundle_argument,
    command,
    dataset_option,
    deliver,
    impossible_option,
    json_option,
    limit_option,
    max_blocks_option,
    open_for,
    progress_bar,
    seed_option,
    threshold_option,
    window_scale_option,
    write_report,
)
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import Named, Whole


@command
@bundle_argument
@click.argument("other", type=Named(), required=False)
@dataset_option
@limit_option
@seed_option
@threshold_option
@click.option("--max-seq-len", type=Whole(min=1), help="Positions of a window.  [default: the bundle's; of "
              "two bundles, the smaller]")  # fmt: skip
@align_option
@max_blocks_option
@window_scale_option
@impossible_option
@backend_options
@json_option
def main(
    bundle: Path,
    other: Path | None,
    dataset: str,
    limit: int | None,
    seed: int,
    threshold: float | None,
    max_seq_len: int | None,
    align_to_words: bool,
    max_blocks: int | None,
    window_scale: str | None,
    impossible: bool | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Compare EM, F1 and MACs of BUNDLE (default: engines/), dense and skimming. With OTHER: of two bundles, both
    dense.

    The difference in F1 comes with a 95 % bootstrap interval over questions. Where only some questions have supporting
    facts, those are shown apart. Nothing is timed, so this is the quick way to scores on a whole data set.
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.paired import answer_all, figures
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.pipeline import QAPipeline

    found = read_questions(dataset, note)
    backend = open_for(bundle, backend_name, threads, precision)
    dense = QAPipeline(bundle, threshold=0, backend=backend)
    if other:
        ways = {"BUNDLE": dense, "OTHER": QAPipeline(other, threshold=0, backend=backend)}
    else:
        ways = {"dense": dense, "skim": QAPipeline(bundle, threshold=threshold, backend=backend)}
    length = max_seq_len or min(p.options().max_seq_len for p in ways.values())
    if impossible is None:
        impossible = any(not q.gold for q in found)
    # Each bundle refuses a length that it does not take; both run at the settings of the first.
    options, _ = [
        p.options(
            max_seq_len=length,
            handle_impossible_answer=impossible,
            align_to_words=align_to_words,
            max_blocks=max_blocks,
            window_scale=window_scale,
        )
        for p in ways.values()
    ]
    for pipeline in ways.values():
        found = usable(found, pipeline.maker, options, note)
    questions = sample(found, limit, seed)
    answers = {}
    with progress_bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        for name, pipeline in ways.items():
            advance = partial(bar.advance, bar.add_task(name, total=len(questions)))
            answers[name] = answer_all(pipeline.answerer(options), questions, advance)
    report: dict[str, Any] = {
        "dataset": dataset,
        "max_seq_len": options.max_seq_len,
        "seed": seed,
        "options": asdict(options),
        "parts": figures(questions, answers),
    }
    deliver(lambda: _show(report, dataset), lambda: write_report(json_path, report))


def _show(report: dict[str, Any], dataset: str) -> None:
    for part in report["parts"]:
        _print(part, dataset)


def _print(part: dict[str, Any], dataset: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{', '.join(filter(None, (dataset, part['part'])))}: {part['questions']:,} questions"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for header in ("", "EM", "F1", "GMACs", "fewer MACs", "over padded 512"):
        table.add_column(header, justify="right")
    for name, row in part["rows"].items():
        table.add_row(
            name,
            f"{row['em']:.2f}",
            f"{row['f1']:.2f}",
            f"{row['gmacs_per_question']:.2f}",
            f"{row['speedup_macs']:.2f}x",
            f"{row['speedup_macs_over_padded_512']:.2f}x",
        )
    console.print(table)
    low, high = part["interval"]
    console.print(
        f"F1 {part['f1_difference']:+.2f}, 95 % interval {low:+.2f} to {high:+.2f} (bootstrap over questions); "
        f"{part['different_answers']:,} answers differ.",
    )

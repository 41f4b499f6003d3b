"""bskim prepared-cost: questions to prepared documents, beside a model that reads them anew for each question."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    command,
    dataset_option,
    deliver,
    json_option,
    limit_option,
    open_for,
    parse_numbers,
    progress_bar,
    seed_option,
    write_report,
)
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import Named, Whole

if TYPE_CHECKING:
    from bskim_export.bench.prepared import PreparedReport


@command
@bundle_argument
@click.option("--against", type=Named(), metavar="BUNDLE", help="An unsplit model, which reads the whole document for "
              "each question, without skimming.")  # fmt: skip
@dataset_option
@limit_option
@seed_option
@click.option("--timed", type=Whole(min=1), metavar="N", help="Questions that are also answered from every block and "
              "by --against, spread over all.  [default: all]")  # fmt: skip
@click.option("--max-blocks", "numbers", metavar="4,8,28", callback=parse_numbers(int), help="Further numbers of "
              "blocks that a question may read.")  # fmt: skip
@backend_options
@json_option
def main(
    bundle: Path,
    against: Path | None,
    dataset: str,
    limit: int | None,
    seed: int,
    timed: int | None,
    numbers: list[int] | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Prepare the contexts of a data set with BUNDLE (default: engines/), a split model, and ask their questions.

    Prints F1 and time of a question by how many blocks it reads, the time to prepare a document, and from how many
    questions on that is worth it.
    """
    from bskim_export.bench.prepared import measure
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.runtime.pipeline import QAPipeline

    questions = sample(read_questions(dataset, note), limit, seed)
    qa = QAPipeline(bundle, backend=open_for(bundle, backend_name, threads, precision))
    other = None if against is None else QAPipeline(against, threshold=0, threads=threads)
    with progress_bar() as bar:
        task = bar.add_task("Asking", total=len(questions))
        report = measure(qa, questions, other, timed, numbers or (), lambda done: bar.advance(task, done))
    deliver(lambda: _show(report), lambda: write_report(json_path, report.as_dict()))


def _show(report: "PreparedReport") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    figures: dict[str, Any] = report.as_dict()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("a question reads")
    for header in ("questions", "F1", "median (ms)", "over the first"):
        table.add_column(header, justify="right")
    first = figures["rows"][0]["seconds"]
    for row in figures["rows"]:
        if row["questions"]:
            ratio = f"{row['seconds'] / first:.1f}x"
            table.add_row(row["name"], str(row["questions"]), f"{row['f1']:.2f}", f"{row['seconds'] * 1e3:.1f}", ratio)
    console.print(table)
    found = ", ".join(f"{float(share):.1%} in the first {n}" for n, share in figures["found"].items())
    console.print(f"The answer's block: {found}.")
    console.print(
        f"{figures['documents']} documents of {figures['blocks_per_document']:.0f} blocks, prepared in "
        f"{figures['prepare_seconds'] * 1e3:.0f} ms (median), {figures['bytes_per_token']:.0f} bytes a token; "
        f"{figures['int8_bytes_per_token']:.0f} with states in int8."
    )
    console.print(
        f"Asked without preparing ahead, in batches: {figures['differ_unprepared']} of "
        f"{figures['rows'][0]['questions']} answers differ."
    )
    if "break_even_questions" in figures:
        console.print(
            f"Preparing takes {figures['prepare_over_lower']:.2f}x of the unsplit model's time for as many layers. It "
            f"is worth it from {figures['break_even_questions']:.1f} questions on."
        )

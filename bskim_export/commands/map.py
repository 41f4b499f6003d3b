"""bskim-map: answers for every row of a data set, on all cores of a machine or of a cluster."""

from dataclasses import asdict
from pathlib import Path

import click

from bskim_export.commands.common import (
    backend_options,
    command,
    deliver,
    json_option,
    needs_extra,
    progress_bar,
    threshold_option,
    write_report,
)
from bskim_export.commands.terminal import console, loudness, note
from bskim_export.commands.types import Named, OutputFolder, Real, Whole


@command
@click.argument("path", type=Named(), metavar="IN")
@click.option("--out", type=OutputFolder(), required=True, metavar="DIR", help="The directory to write: a file for "
              "each part. Called again, a run goes on with the parts that are missing.")  # fmt: skip
@click.option("--bundle", type=Named(), default="engines", show_default=True, help="The bundle; at the same path on "
              "all nodes.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["parquet", "jsonl"]), help="Of the output.  [default: what IN is]")
@click.option("--question-column", default="question", show_default=True, metavar="NAME", help="Holds the questions.")
@click.option("--context-column", default="context", show_default=True, metavar="NAME", help="Holds the texts.")
@click.option("--passages-column", default="passages", show_default=True, metavar="NAME", help="Holds, instead of a "
              "text, a list of passages.")  # fmt: skip
@click.option("--prefix", default="", metavar="TEXT", help="Stands before the names of the columns that are added.")
@click.option("--top-k", type=Whole(min=1), default=1, show_default=True, metavar="N", help="Above 1, N answers are "
              "added as a list, too.")  # fmt: skip
@click.option("--max-answer-len", type=Whole(min=1), metavar="N", help="Tokens of an answer.  [default: the bundle's]")
@click.option("--handle-impossible-answer", "impossible", is_flag=True, help="Let a text have no answer.")
@click.option("--part-rows", type=Whole(min=1), default=2000, show_default=True, metavar="N", help="Rows of a part: "
              "what a kill may cost each actor.")  # fmt: skip
@click.option("--address", metavar="ADDRESS", help="The Ray cluster to run on; 'auto' on one of its nodes.  [default: "
              "this machine alone]")  # fmt: skip
@click.option("--actors", type=Whole(min=1), metavar="N", help="Processes that answer, at most.  [default: as many as "
              "there are cores for]")  # fmt: skip
@click.option("--gpus", type=Real(0), metavar="N", help="GPUs of each actor.  [default: 1 if the backend is for a GPU, "
              "else 0]")  # fmt: skip
@threshold_option
@backend_options
@json_option
def main(
    path: Path,
    out: Path,
    bundle: Path,
    form: str | None,
    question_column: str,
    context_column: str,
    passages_column: str,
    prefix: str,
    top_k: int,
    max_answer_len: int | None,
    impossible: bool,
    part_rows: int,
    address: str | None,
    actors: int | None,
    gpus: float | None,
    threshold: float | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Answer every row of IN, a file or a directory of Parquet or JSON lines.

    Rows have a question, and a context or passages. They are written with answer, score, start, end and error behind
    their own columns, in order. Killed at any moment, the same command goes on where it was.

    On a cluster, IN, DIR and the bundle must be at the same paths on all nodes, and bskim-export installed there.
    """
    with needs_extra("map", "bskim-map"):
        import pyarrow  # noqa: F401
        import ray  # noqa: F401
    from bskim_export.backends.catalogue import CATALOGUE
    from bskim_export.mapping.run import Machines, map_rows
    from bskim_export.mapping.settings import Settings
    from bskim_export.mapping.source import find_source

    backend, precision = _choose_backend(bundle, backend_name, threads, precision)
    settings = Settings(
        format=form or find_source(path)[0].kind,
        backend=backend,
        precision=precision,
        question_column=question_column,
        context_column=context_column,
        passages_column=passages_column,
        prefix=prefix,
        part_rows=part_rows,
        top_k=top_k,
        max_answer_len=max_answer_len,
        handle_impossible_answer=impossible,
        threshold=threshold,
    )
    if gpus is None:
        gpus = 0 if CATALOGUE[backend].device == "CPU" else 1
    machines = Machines(address, actors, threads, gpus, loudness.verbose)
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    with progress_bar(MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True)) as bar:
        shown = bar.add_task("Starting", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(shown, completed=done, total=total, description="Answering")

        report = map_rows(path, out, bundle, settings, machines, note=note, advance=advance)
    deliver(lambda: _show(report, out), lambda: write_report(json_path, asdict(report)))


for _option in main.params:
    if isinstance(_option, click.Option) and _option.name == "threads":
        _option.help = "Of each actor.  [default: 1, which is fastest; more need less memory]"


def _choose_backend(bundle: Path, name: str | None, threads: int | None, precision: str) -> tuple[str, str]:
    """Return the backend and precision that all actors use: one choice, so that all rows are of one kind.

    Raises:
        BundleError: there is no bundle.
        InputError: there is no such backend, or it has no such precision.
    """
    from bskim_export.backends.catalogue import DEFAULT, find_entry
    from bskim_export.commands.common import open_for

    if name is None and precision == "fp32":
        chosen = open_for(bundle, None, threads, precision)
        return chosen.name, chosen.precision
    name = name or DEFAULT
    find_entry(name, precision)
    return name, precision


def _show(report: "object", out: Path) -> None:
    from bskim_export.mapping.run import Report

    assert isinstance(report, Report)
    now = report.rows - report.before
    done = f"; {report.before:,} were there already" if report.before else ""
    without = f", {report.unanswered:,} of them without an answer (see `error`)" if report.unanswered else ""
    console.print(f"{report.rows:,} rows in {out}{done}")
    if now:
        console.print(f"Answered  {now:,} rows in {report.seconds:.1f} s{without}")
        console.print(
            f"Measured  start {report.start:.1f} s, {report.row * 1e3:.2f} core-milliseconds a row; "
            f"{report.actors} actors of {report.threads} threads"
        )

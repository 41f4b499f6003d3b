"""bskim-prepare: documents into a store, read once for all questions."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bskim_export.commands.common import (
    backend_options,
    command,
    deliver,
    json_option,
    open_for,
    progress_bar,
    write_report,
)
from bskim_export.commands.terminal import console, errors, note
from bskim_export.commands.types import Named, OutputFolder

if TYPE_CHECKING:
    from bskim_export.runtime.prepared.filling import Filled

SHOWN = 5
"""Names in a note."""


@command
@click.argument("files", type=Named(exists=True), nargs=-1, required=True, metavar="FILES...")
@click.option("--out", type=OutputFolder(), required=True, metavar="DIR", help="The store: a directory. Called again, "
              "a run goes on with the documents that are missing there.")  # fmt: skip
@click.option("--bundle", type=Named(), default="engines", show_default=True, help="The bundle, of a split model.")
@click.option("--states", type=click.Choice(["float16", "int8"]), default="float16", show_default=True, help="Keep "
              "hidden states in this. In int8 a store is half as large; bskim prepared-cost prints its cost in F1. "
              "What is in the store stays as it is.")  # fmt: skip
@backend_options
@json_option
def main(
    files: tuple[Path, ...],
    out: Path,
    bundle: Path,
    states: str,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Prepare documents with a split model, so that bskim-ask --store answers from them at once.

    FILES are texts in UTF-8; JSON lines (.jsonl, .jsonl.gz) of objects with "text" and perhaps "name" or "id", and
    "title"; or directories of both. The name of a text is its path in that directory, or the name of its file.

    A name stands for its newest text: an older one leaves the store. Interrupted, the same command goes on.
    """
    from rich.progress import TimeRemainingColumn

    from bskim_export.runtime.pipeline import QAPipeline
    from bskim_export.runtime.prepared.documents import LINES, TEXTS, find_files, read_documents
    from bskim_export.runtime.prepared.filling import fill, make_plan
    from bskim_export.runtime.prepared.store import Store

    qa = QAPipeline(bundle, backend=open_for(bundle, backend_name, threads, precision))
    answerer = qa.split_answerer()
    found, left_out = find_files(files)
    if left_out:
        note(f"Left out, for they end neither in {', '.join(TEXTS)} nor in {', '.join(LINES)}: {_some(left_out)}.")
    store = Store(out)
    try:
        with store.alone(), progress_bar(TimeRemainingColumn(elapsed_when_finished=True)) as bar:
            task = bar.add_task("Reading", total=None)
            plan = make_plan(store, read_documents(found), answerer.identity)
            bar.update(task, total=plan.characters, description="Preparing")
            filled = fill(store, read_documents(found), plan, answerer, lambda done: bar.advance(task, done), states)
    except KeyboardInterrupt:
        errors.print("Interrupted. What is in the store stays; the same command goes on with the rest.")
        sys.exit(130)
    if filled.without_words:
        note(f"Documents without words were left out: {_some(filled.without_words)}.")
    deliver(lambda: _show(filled, bundle, out), lambda: write_report(json_path, filled.as_dict()))


def _some(names: list[str]) -> str:
    """Return some names, and how many there are more."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _show(filled: "Filled", bundle: Path, out: Path) -> None:
    there = f"; {filled.before:,} were there already" if filled.before else ""
    console.print(
        f"Prepared  {filled.prepared:,} documents, {filled.tokens:,} tokens, in {filled.seconds:.1f} s{there}"
    )
    if filled.replaced:
        console.print(f"Removed   {filled.replaced:,}, in whose place they are")
    if filled.store_documents:
        size = f"{filled.store_bytes / 1e6:,.1f} MB, {filled.store_bytes / filled.store_tokens:,.0f} bytes a token"
        console.print(f"Store     {filled.store_documents:,} documents, {filled.store_tokens:,} tokens, {size}")
        console.print(f'Ask       bskim-ask {bundle} --store {out} --question "..."')

"""bskim-paper: the paper's tables, made anew."""

import sys
from pathlib import Path
from typing import Any

import click

from bskim_export.commands.common import command, deliver, needs_extra, progress_bar
from bskim_export.commands.terminal import console, errors, note
from bskim_export.commands.types import Named, OutputFolder, Real

TABLES = ("table1", "table2", "table3", "fig3", "fig5")
SCALE_NAMES = ("smoke", "small", "full")


@command
@click.argument("table", metavar="|".join(TABLES), type=click.Choice(TABLES))
@click.option("--model", required=True, metavar="DIR|HUB_ID", help="The pre-trained encoder that all models of a table "
              "start from; the paper's is bert-base-uncased.")  # fmt: skip
@click.option("--data", type=Named(exists=True), metavar="DIR", help="Where the data sets are: squad-train.json.gz, "
              "squad-dev.json.gz, hotpotqa-train.jsonl and so on, in any format that bskim-train reads.  [default: "
              "half of the packaged dev set of SQuAD to train on, half to evaluate]")  # fmt: skip
@click.option("--scale", "scale_name", type=click.Choice(SCALE_NAMES), default="small", show_default=True, help="How "
              "much of it: smoke takes minutes and means nothing, small a night on two cores, full is the paper's "
              "own.")  # fmt: skip
@click.option("--learning-rate", type=Real(min=0, min_open=True), help="Of all models. A small encoder needs more than "
              "a large one.  [default: the paper's, 3e-5]")  # fmt: skip
@click.option("--bf16", is_flag=True, help="Train in bfloat16, on processors that have it.")
@click.option("--out", type=OutputFolder(), default="paper", show_default=True, metavar="DIR", help="Gets the table as "
              "Markdown and JSON, a figure as SVG too. DIR/work keeps what was trained: an interrupted call goes "
              "on.")  # fmt: skip
def main(
    table: str,
    model: str,
    data: Path | None,
    scale_name: str,
    learning_rate: float | None,
    bf16: bool,
    out: Path,
) -> None:
    """Train and evaluate what TABLE of the paper compares, and write it with the paper's own figures beside ours.

    A data set that is not there is a gap that says so, never a number.

    \b
    Examples:
      bskim-paper table3 --scale smoke --model bert-base-uncased
      bskim-paper table2 --model bert-base-uncased --data data/ --out paper/
    """
    with needs_extra("train", "bskim-paper"):
        from bskim_export.reproduce import fig3, fig5, table1, table2, table3
        from bskim_export.reproduce.workshop import Workshop
    from rich.progress import MofNCompleteColumn, TaskID, TimeRemainingColumn

    from bskim_export.atomic import check_folder
    from bskim_export.evaluate.plotting import check_plotting
    from bskim_export.reproduce.data import PaperData
    from bskim_export.reproduce.scale import SCALES

    check_folder(out)
    changes: dict[str, Any] = {"bf16": bf16}
    if learning_rate is not None:
        changes["learning_rate"] = learning_rate
    modules = {"table1": table1, "table2": table2, "table3": table3, "fig3": fig3, "fig5": fig5}
    plots = {"fig3": fig3.plot, "fig5": fig5.plot}
    if table in plots:
        check_plotting()
    try:
        with progress_bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
            tasks: dict[str, TaskID] = {}

            def progress(what: str, done: int, total: int) -> None:
                if what == "Training":
                    bar.stop()  # the Trainer shows its own
                    return
                bar.start()
                if what not in tasks or bar.tasks[tasks[what]].finished:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done)

            scale = SCALES[scale_name]
            workshop = Workshop(model, PaperData(data, note), scale, out / "work", changes, progress, note)
            made = modules[table].make(workshop)
    except KeyboardInterrupt:
        errors.print("Interrupted. The same command goes on from the last saved step.")
        sys.exit(130)

    def write() -> None:
        paths = made.write(out)
        if table in plots:
            paths.append(out / f"{table}.svg")
            plots[table](made, paths[-1])
        console.print(f"Wrote {', '.join(map(str, paths))}.")

    deliver(lambda: console.print(made.markdown(), highlight=False, soft_wrap=True), write)

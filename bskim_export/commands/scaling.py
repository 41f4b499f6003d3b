"""bskim scaling: whether saved MACs are saved time."""

from dataclasses import asdict
from pathlib import Path

import click

from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    command,
    dataset_option,
    deliver,
    json_option,
    open_for,
    progress_bar,
    seed_option,
    write_report,
)
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import Named, Whole


@command
@bundle_argument
@dataset_option
@click.option("--windows", "count", type=Whole(min=1), default=32, show_default=True, help="Windows to run, unpadded.")
@click.option("--repeats", type=Whole(min=1), default=7, show_default=True, help="Runs of each measurement.")
@click.option("--plot", type=Named(), metavar="FILE", help="Draw time against MACs: an .svg, .png or .pdf.")
@seed_option
@backend_options
@json_option
def main(
    bundle: Path,
    dataset: str,
    count: int,
    repeats: int,
    plot: Path | None,
    seed: int,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Measure the time of BUNDLE (default: engines/) against its MACs, at imposed schedules that keep all to a tenth of
    the passage blocks after every layer with a predictor.

    The line's fixed part is what would be left of the dense model's time without a single MAC.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bskim_export.bench.scaling import fit_line, measure_scaling, plot_scaling
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.errors import BundleError
    from bskim_export.evaluate.machine import describe_machine
    from bskim_export.evaluate.plotting import SUFFIXES, check_plotting
    from bskim_export.runtime.pipeline import QAPipeline

    if plot is not None:
        if plot.suffix not in SUFFIXES:
            raise click.BadParameter(f"expected a file that ends in {', '.join(SUFFIXES)}.", param_hint="'--plot'")
        check_plotting()
    backend = open_for(bundle, backend_name, threads, precision)
    pipeline = QAPipeline(bundle, backend=backend)
    if not pipeline.bundle.skim_layers:
        raise BundleError(f"'{bundle}' has no predictors, so no block is ever dropped.")
    answerer = pipeline.answerer()
    questions = sample(read_questions(dataset, note), count, seed)
    windows = [w for q in questions for w in answerer.windows(q.question, q.context)][:count]
    with progress_bar() as bar:
        task = bar.add_task("Measuring", total=len(windows) + repeats)
        points = measure_scaling(pipeline.runner, windows, repeats, lambda: bar.advance(task))
    lines = {time: fit_line(points, time) for time in ("alone", "together")}
    model = pipeline.bundle.model.source
    title = (
        f"{model} on {dataset}, {len(windows)} windows, {backend.name} {backend.precision}, {backend.threads} threads"
    )

    def show() -> None:
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for header in ("blocks that stay", "MACs", "time, alone", "time, together"):
            table.add_column(header, justify="right")
        for p in points:
            table.add_row(f"{p.share:.0%}", f"{p.macs:.1%}", f"{p.alone:.1%}", f"{p.together:.1%}")
        console.print(table)
        for time, line in lines.items():
            console.print(
                f"{time}: {line.fixed:.1%} of the dense model's time are fixed, and {line.slope:.2f} times the share "
                f"of its MACs come on top; points lie within {line.off:.1%} of that.",
                highlight=False,
            )

    report = {
        "machine": describe_machine(backend),
        "points": [asdict(p) for p in points],
        "lines": {time: asdict(line) for time, line in lines.items()},
    }
    deliver(show, lambda: write_report(json_path, report))
    if plot is not None:
        plot_scaling(points, lines, title, plot)

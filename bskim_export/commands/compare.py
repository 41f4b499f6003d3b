"""bskim compare: two bundles, or a bundle dense and skimming, on the same questions."""

from pathlib import Path

import click

from bskim_export.atomic import write_json
from bskim_export.commands.common import backend_options, console, handle_errors, note, open_for


@click.command()
@click.argument("engines", type=click.Path(path_type=Path), default="engines")
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("--dataset", default="squad", show_default=True, metavar="SPEC", help="See docs/datasets.md.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="A random sample of N questions. [default: all]")
@click.option("--seed", type=int, default=42, show_default=True)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Instead of the bundle's thresholds.")
@click.option(
    "--max-seq-len", type=click.IntRange(min=1), help="Positions of a window. [default: the bundle's maximum]"
)
@backend_options
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures as JSON.")
@handle_errors
def main(engines, other, dataset, limit, seed, threshold, max_seq_len, threads, precision, backend_name, json_path):
    """Compare EM, F1 and MACs of the bundle ENGINES, dense and skimming. With OTHER: of the two bundles, both dense.

    The difference in F1 comes with a 95 % bootstrap interval over questions. Where only some questions have supporting
    facts, those are shown apart. Nothing is timed, so this is the quick way to scores on a whole data set.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.paired import answer_all, figures
    from bskim_export.runtime.pipeline import QAPipeline

    questions = sample(read_questions(dataset, note), limit, seed)
    backend = open_for(engines, backend_name, threads, precision)
    dense = QAPipeline(engines, threshold=0, backend=backend)
    if other:
        ways = {"ENGINES": dense, "OTHER": QAPipeline(other, threshold=0, backend=backend)}
    else:
        ways = {"dense": dense, "skim": QAPipeline(engines, threshold=threshold, backend=backend)}
    limits = {p.manifest.model.max_seq_len for p in ways.values()}
    max_seq_len = max_seq_len or min(limits)
    answers = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        for name, pipeline in ways.items():
            task = bar.add_task(name, total=len(questions))
            answers[name] = answer_all(
                pipeline, questions, max_seq_len, min(128, max_seq_len // 2), lambda n, t=task: bar.advance(t, n)
            )
    report = {"dataset": dataset, "max_seq_len": max_seq_len, "seed": seed, "parts": figures(questions, answers)}
    if json_path:
        write_json(json_path, report)
    for part in report["parts"]:
        _print(part, dataset)


def _print(part: dict, dataset: str) -> None:
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
        highlight=False,
    )

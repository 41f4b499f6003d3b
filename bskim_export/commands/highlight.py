"""bskim highlight: how much retrieved text can be cut, and what that costs."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    command,
    dataset_option,
    deliver,
    json_option,
    limit_option,
    max_seq_len_option,
    open_for,
    parse_numbers,
    progress_bar,
    seed_option,
    threshold_option,
    write_report,
)
from bskim_export.commands.terminal import console, note
from bskim_export.errors import InputError


@command
@bundle_argument
@dataset_option
@limit_option
@seed_option
@max_seq_len_option
@threshold_option
@click.option("--cut", "cuts", metavar="0.5,0.8", callback=parse_numbers(float), default="0,0.3,0.5,0.6,0.7,0.8,0.9",
              show_default=True, help="Shares of the text to cut.")  # fmt: skip
@backend_options
@json_option
def main(
    bundle: Path,
    dataset: str,
    limit: int | None,
    seed: int,
    max_seq_len: int | None,
    threshold: float | None,
    cuts: list[float],
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Measure what `highlight` keeps of the contexts of a data set, with BUNDLE (default: engines/).

    For each share of the text that is cut, sentence by sentence: the probability from which sentences are kept, the
    share of supporting facts that are kept (of answers, if the data set has none), the share of questions that keep
    all of theirs, and EM and F1 of the dense model when it reads only what is kept.
    """
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.pruned import judge, reader_scores, recall, thresholds_for
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.pipeline import QAPipeline

    if not all(0 <= cut < 1 for cut in cuts):
        raise InputError(f"--cut takes shares from 0 up to 1, got {', '.join(map(str, cuts))}.")
    backend = open_for(bundle, backend_name, threads, precision)
    pipeline = QAPipeline(bundle, threshold=threshold, backend=backend)
    options = pipeline.options(max_seq_len=max_seq_len)
    reader = QAPipeline(bundle, threshold=0, backend=backend).answerer(options)
    questions = sample(usable(read_questions(dataset, note), pipeline.maker, options, note), limit, seed)
    judged = []
    rows: list[dict[str, Any]] = []
    with progress_bar() as bar:
        task = bar.add_task("Judging", total=len(questions))
        for question in questions:
            found = pipeline.highlight(question.question, [question.context], threshold=0.0, max_seq_len=max_seq_len)
            judged.append(judge(question, found["passages"][0]["sentences"]))
            bar.advance(task)
        for least in thresholds_for(judged, cuts):
            task = bar.add_task(f"Reading what is kept from {least:.2g}", total=len(questions))
            em, f1 = reader_scores(reader, judged, least, partial(bar.advance, task))
            scores = {"em": 100 * float(em.mean()), "f1": 100 * float(f1.mean())}
            rows.append({"threshold": least, **recall(judged, least), **scores})
    report = {
        "dataset": dataset,
        "questions": len(questions),
        "needs": sum(len(one.needs) for one in judged),
        "facts": any(q.supporting for q in questions),
        "seed": seed,
        "options": asdict(options),
        "rows": rows,
    }
    deliver(lambda: _show(report), lambda: write_report(json_path, report))


def _show(report: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    what = "supporting facts" if report["facts"] else "answers"
    title = f"{report['dataset']}: {report['questions']:,} questions, {report['needs']:,} {what}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for header in ("cut", "kept from", f"{what} kept", "questions with all", "reader's EM", "reader's F1"):
        table.add_column(header, justify="right")
    for row in report["rows"]:
        table.add_row(
            f"{row['cut']:.1%}",
            f"{row['threshold']:.2g}",
            f"{row['recall']:.1%}",
            f"{row['whole']:.1%}",
            f"{row['em']:.2f}",
            f"{row['f1']:.2f}",
        )
    console.print(table)

"""bskim-bench --profile: where the time of a question goes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bskim_export.commands.common import progress_bar
from bskim_export.commands.terminal import console

if TYPE_CHECKING:
    from bskim_export.data.question import Question
    from bskim_export.runtime.answering import Answerer
    from bskim_export.runtime.pipeline import QAPipeline

NODES = 100
"""Questions on which single nodes are timed: their times are many."""


def profile_rows(pipeline: "QAPipeline", answerer: "Answerer", questions: Sequence["Question"]) -> list[dict[str, Any]]:
    """Return of the dense model and of skimming the milliseconds of a question, by part; see `bench.profile`."""
    from bskim_export.bench.profile import profile, profile_nodes
    from bskim_export.runtime.policy import Thresholds

    bundle, backend = pipeline.bundle, pipeline.backend
    rows = {"dense": replace(answerer, policy=Thresholds({}))}
    if bundle.skim_layers:
        rows["skim"] = answerer
    with progress_bar() as bar:
        task = bar.add_task("Measuring", total=len(questions))
        found = profile(rows, bundle, backend, questions, lambda: bar.advance(task))
    report: list[dict[str, Any]] = []
    for name, parts in found.items():
        row: dict[str, Any] = {"name": name, "parts_ms": _milliseconds(parts, len(questions))}
        if backend.name == "onnxruntime":
            few = questions[:NODES]
            row["inside_ms"] = _milliseconds(profile_nodes(rows[name], bundle, backend.threads, few), len(few))
        report.append(row)
    return report


def show_profile(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print the parts of all rows beside each other."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['name']}, ms", justify="right")
        table.add_column("", justify="right")
    totals = [sum(row["parts_ms"].values()) for row in rows]
    for part in rows[0]["parts_ms"]:
        table.add_row(part, *_cells([row["parts_ms"][part] for row in rows], totals))
    table.add_row("a question", *_cells(totals, totals), style="bold")
    outside = [total - row["parts_ms"]["engine"] for row, total in zip(rows, totals, strict=True)]
    table.add_row("all but the engine", *_cells(outside, totals), end_section=True)
    if "inside_ms" in rows[0]:
        inside = [sum(row["inside_ms"].values()) for row in rows]
        for part in rows[0]["inside_ms"]:
            table.add_row(f"engine: {part}", *_cells([row["inside_ms"][part] for row in rows], inside))
    console.print(table)
    console.print(
        "Questions and windows one by one, on all cores. Inside the engine, ONNX Runtime's profiler adds about a "
        "microsecond to each node: parts of many small ones look larger there than they are.",
        style="dim",
    )


def _milliseconds(seconds: Mapping[str, float], questions: int) -> dict[str, float]:
    return {part: value * 1e3 / questions for part, value in seconds.items()}


def _cells(values: Sequence[float], totals: Sequence[float]) -> list[str]:
    return [
        cell for value, total in zip(values, totals, strict=True) for cell in (f"{value:.2f}", f"{value / total:.1%}")
    ]

"""The benchmark's table."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def print_table(
    console: Console, rows: Sequence[dict[str, Any]], title: str, together: str, over: str = "dense"
) -> None:
    """Print the rows.

    Args:
        together: how windows run when many questions are asked at once
        over: the row that speed-ups are over
    """
    table = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    headers = (
        "EM",
        "F1",
        "GMACs",
        "fewer\nMACs",
        "faster",
        "faster,\nmany",
        "ms p50 / p95 / p99",
        "q/s",
    )
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['em']:.2f}",
            f"{row['f1']:.2f}",
            f"{row['gmacs_per_question']:.2f}",
            *(f"{row[key]:.2f}x" for key in ("speedup_macs", "speedup_time", "speedup_time_batched")),
            " / ".join(f"{row['latency_ms'][key]:.1f}" for key in ("p50", "p95", "p99")),
            f"{row['questions_per_second']:.1f}",
        )
    console.print(table)
    console.print(
        f"GMACs: multiply-accumulates per question. Speed-ups (x): over the row '{over}'. ms: one question alone, text "
        f"to answer. Faster, many; q/s: many questions at once, {together}.",
        style="dim",
    )
    for row in rows:
        parts = [
            f"{what} EM {row[key]['em']:.2f}, F1 {row[key]['f1']:.2f} ({row[key]['questions']:,} questions)"
            for key, what in (("has_answer", "with an answer"), ("no_answer", "without"))
            if key in row
        ]
        if parts:
            console.print(f"{row['name']}: {'; '.join(parts)}", highlight=False)
    for row in rows:
        if row["name"] == "skim":
            shares = "  ".join(f"{i}: {share:.0%}" for i, share in enumerate(row["kept_blocks"]))
            console.print(f"Blocks kept after each layer: {shares}", highlight=False)
            console.print(
                f"By Equation 4 of the paper that makes {row['speedup_analytic']:.2f}x; {row['speedup_macs']:.2f}x "
                f"fewer MACs and {row['speedup_time']:.2f}x less time are what was counted and measured.",
                highlight=False,
            )

"""The benchmark's report: a table for people, JSON for programs."""

import platform
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table


def describe_machine(threads: int, backend_version: str) -> dict:
    """Return what the figures depend on: processor, threads, versions."""
    return {
        "cpu": _cpu_name(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend_version": backend_version,
    }


def print_table(console: Console, rows: Sequence[dict], title: str, batch_size: int) -> None:
    """Print the rows; speed-ups are over the row "dense"."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("")
    for header in ("EM", "F1", "GMAC / question", "MACs", "time", f"time, batch {batch_size}", "p50", "p95", "p99"):
        table.add_column(header, justify="right")
    table.add_column("questions/s", justify="right")
    for row in rows:
        latency = row["latency_ms"]
        table.add_row(
            row["name"],
            f"{row['em']:.2f}",
            f"{row['f1']:.2f}",
            f"{row['gmacs_per_question']:.3f}",
            *(f"{row[key]:.2f}x" for key in ("speedup_macs", "speedup_time", "speedup_time_batched")),
            *(f"{latency[key]:.1f} ms" for key in ("p50", "p95", "p99")),
            f"{row['questions_per_second']:.1f}",
        )
    table.caption = "Speed-ups (x) are over unpadded dense; latency is of one question alone, text to answer."
    console.print(table)
    for row in rows:
        if row["name"] == "skim":
            shares = "  ".join(f"{i}: {share:.0%}" for i, share in enumerate(row["kept_blocks"]))
            console.print(f"Blocks kept after each layer: {shares}")


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"

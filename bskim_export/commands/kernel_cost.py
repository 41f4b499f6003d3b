"""bskim kernel-cost: the fused attention kernel on this GPU, tested and timed."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bskim_export.commands.common import command, json_option, needs_extra, progress_bar, write_report
from bskim_export.commands.terminal import console, errors, say_error
from bskim_export.commands.types import STDOUT, Whole


@command
@click.option("--heads", type=Whole(min=1), multiple=True, default=(12, 16), show_default=True,
              help="Attention heads: BERT-base has 12, BERT-large 16. Several may be given, and of the next options "
              "too.")  # fmt: skip
@click.option("--batch-size", "batch_sizes", type=Whole(min=1), multiple=True, default=(1, 8, 32),
              show_default=True, help="Windows in a batch.")  # fmt: skip
@click.option("--length", "lengths", type=Whole(min=1), multiple=True, default=(128, 256, 384),
              show_default=True, help="Positions of a window at most.")  # fmt: skip
@click.option("--precision", "precisions", type=click.Choice(["fp16", "bf16", "fp32"]), multiple=True,
              default=("fp16",), show_default=True, help="Of the inputs.")  # fmt: skip
@click.option("--head-size", type=Whole(min=1), default=64, show_default=True, help="Columns of a head.")
@click.option("--repeats", type=Whole(min=1), default=30, show_default=True, help="Measurements of each way.")
@json_option
def main(
    heads: tuple[int, ...],
    batch_sizes: tuple[int, ...],
    lengths: tuple[int, ...],
    precisions: tuple[str, ...],
    head_size: int,
    repeats: int,
    json_path: Path | None,
) -> None:
    """Compile the fused attention kernel, test it against NumPy in float64 on ragged batches, and time it.

    It is timed beside the plain graph, which it replaces, and torch's fused attention, which gives no diagonal blocks.
    In Triton's interpreter (TRITON_INTERPRET=1) it is tested only. The exit code is 1 if it is wrong.
    """
    with needs_extra("torch-cuda", "bskim kernel-cost"):
        import torch

        from bskim_export.bench.kernel import choose_device, measure_kernel
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bskim_export.backends.nvidia import describe_gpu

    device = choose_device(precisions)
    gpu = describe_gpu() if device.type == "cuda" else None
    results: list[dict[str, Any]] = []
    report = {
        "gpu": gpu,
        "versions": {"torch": torch.__version__, "triton": _triton_version()},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "results": results,
    }
    cases = [(h, b, n, p) for p in precisions for h in heads for b in batch_sizes for n in lengths]
    with progress_bar() as bar:
        for head, size, length, precision in bar.track(cases, description="Kernel"):
            results.append(measure_kernel(head, head_size, size, length, precision, repeats, device))
            if json_path != STDOUT:
                write_report(json_path, report)
    if json_path == STDOUT:
        write_report(json_path, report)
    where = f"{gpu['name']}, driver {gpu['driver']}" if gpu else "Triton's interpreter"
    table = Table(title=f"diag_attention on {where}; ms", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    ways = ("kernel", "kernel, no diagonal", "plain graph", "SDPA")
    for header in ("precision", "heads", "batch", "length", "differs by", *(w.replace(", ", ",\n") for w in ways)):
        table.add_column(header, justify="right", no_wrap=True)
    for r in results:
        off = "failed" if r["error"] else f"{r['max_difference']['kernel']:.1e}" + ("" if r["right"] else " WRONG")
        times = [f"{r['ms'][way]:.3f}" if r["ms"] else "-" for way in ways]
        table.add_row(r["precision"], str(r["heads"]), str(r["batch_size"]), str(r["length"]), off, *times)
    console.print(table)
    for reason in dict.fromkeys(r["error"] for r in results if r["error"]):
        errors.print(f"Failed: {reason}")
    if wrong := [r for r in results if not r["right"]]:
        say_error(f"{len(wrong)} of {len(results)} cases failed or are too far off the reference.")
        sys.exit(1)


def _triton_version() -> str:
    import triton

    return triton.__version__

"""bskim engine-cost: the time that TensorRT-RTX takes to compile a bundle. Needs no GPU."""

import time
from pathlib import Path

import click

from bskim_export.commands.common import bundle_argument, command, parse_capability, progress_bar
from bskim_export.commands.terminal import console
from bskim_export.commands.types import Whole
from bskim_export.errors import BundleError


@command
@bundle_argument
@click.option("--compute-capability", "targets", default="7.5,8.6,8.9,12.0", show_default=True,
              help="The kinds of GPU to compile for.")  # fmt: skip
@click.option("--batch-size", type=Whole(min=1), default=8, show_default=True, help="Windows together, at most.")
def main(bundle: Path, targets: str, batch_size: int) -> None:
    """Compile every graph of BUNDLE (default: engines/) for several kinds of NVIDIA GPU, and print how long it
    takes."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bskim_export.backends.profiles import Profile
    from bskim_export.backends.tensorrt import build_engine
    from bskim_export.bundle.bundle import Bundle

    opened = Bundle.open(bundle)
    model = opened.model
    manifest = opened.manifest
    profile = Profile.of(manifest.longest, batch_size)
    kinds = {
        "stages": [s.graph for s in manifest.stages],
        "dense": [manifest.dense],
        "predictors": [s.skim for s in manifest.stages if s.skim],
    }
    table = Table(title=f"{bundle}: {model.source}, {manifest.precision}", box=SIMPLE_HEAD)
    for header in ("compute capability", "graphs", "compiled", "seconds each, mean", "longest", "MB"):
        table.add_column(header)
    refused: dict[str, str] = {}
    with progress_bar() as bar:
        for target in targets.split(","):
            for kind, graphs in kinds.items():
                seconds = []
                size = 0
                for graph in bar.track(graphs, description=f"{kind} for {target}"):
                    shapes = profile.shapes(graph.input_names, model)
                    capability = parse_capability(target)
                    start = time.perf_counter()
                    try:
                        size += len(build_engine(opened.path(graph.standard), shapes, compute_capability=capability))
                        seconds.append(time.perf_counter() - start)
                    except BundleError as error:
                        refused[f"{kind} for {target}"] = str(error)
                mean = f"{sum(seconds) / len(seconds):.1f}" if seconds else "-"
                longest = f"{max(seconds):.1f}" if seconds else "-"
                table.add_row(target, kind, f"{len(seconds)} of {len(graphs)}", mean, longest, f"{size / 1e6:.0f}")
    console.print(table)
    for what, why in refused.items():
        console.print(f"{what}: {why}")

"""bskim engine-cost: what it takes TensorRT-RTX to compile a bundle. Needs no GPU."""

import time
from pathlib import Path

import click

from bskim_export.commands.common import console, handle_errors, parse_capability
from bskim_export.errors import BundleError


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("engines", type=click.Path(path_type=Path), default="engines")
@click.option("--compute-capability", "targets", default="7.5,8.6,8.9,12.0", show_default=True,
              help="The kinds of GPU to compile for.")  # fmt: skip
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Windows together, at most."
)
@handle_errors
def main(engines, targets, batch_size):
    """Compile every graph of the bundle ENGINES for several kinds of NVIDIA GPU, and print how long it takes."""
    from rich.box import SIMPLE_HEAD
    from rich.progress import track
    from rich.table import Table

    from bskim_export.backends.profiles import Profile
    from bskim_export.backends.tensorrt import build_engine
    from bskim_export.bundle.manifest import read_manifest, verify_files

    manifest = read_manifest(engines)
    verify_files(engines, manifest)
    profile = Profile.of(manifest.model, batch_size)
    kinds = {"stages": [s.graph for s in manifest.stages], "dense": [manifest.dense]}
    kinds["predictors"] = [s.skim for s in manifest.stages if s.skim]
    table = Table(title=f"{engines}: {manifest.model.source}, {manifest.precision}", box=SIMPLE_HEAD)
    for header in ("compute capability", "graphs", "compiled", "seconds each, mean", "longest", "MB"):
        table.add_column(header)
    refused: dict[str, str] = {}
    for target in targets.split(","):
        for kind, graphs in kinds.items():
            seconds, size = [], 0
            for graph in track(graphs, f"{kind} for {target}", console=console, transient=True):
                start = time.perf_counter()
                try:
                    size += len(
                        build_engine(
                            engines / graph.standard,
                            profile.shapes(graph.inputs, manifest.model),
                            compute_capability=parse_capability(target),
                        )
                    )
                    seconds.append(time.perf_counter() - start)
                except BundleError as error:
                    refused[f"{kind} for {target}"] = str(error)
            mean = f"{sum(seconds) / len(seconds):.1f}" if seconds else "-"
            longest = f"{max(seconds):.1f}" if seconds else "-"
            table.add_row(target, kind, f"{len(seconds)} of {len(graphs)}", mean, longest, f"{size / 1e6:.0f}")
    console.print(table)
    for what, why in refused.items():
        console.print(f"{what}: {why}", highlight=False, markup=False)

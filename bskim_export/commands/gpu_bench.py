"""bskim gpu-bench: how fast skimming is on a GPU, over shapes, batch sizes and lengths."""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

import bskim_export
from bskim_export.commands.common import command, needs_extra, progress_bar, write_report
from bskim_export.commands.random_bundle import export_random
from bskim_export.commands.terminal import busy, console, note
from bskim_export.commands.types import STDOUT, OutputFile, OutputFolder, Whole
from bskim_export.errors import InputError


def _known_backends(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a backend that is not in the catalogue, which --help need not import."""
    if names:
        from bskim_export.backends.catalogue import CATALOGUE

        for name in names:
            if name not in CATALOGUE:
                raise click.BadParameter(f"'{name}' is not one of {', '.join(CATALOGUE)}.")
    return names


@command
@click.option("--shape", "shapes", multiple=True, default=("bert-base", "bert-large"), show_default=True,
              help="bert-base, bert-large or another that export-cost knows, with random weights; or the path of a "
              "bundle. Several may be given, and of the next options too.")  # fmt: skip
@click.option("--batch-size", "batch_sizes", type=Whole(min=1), multiple=True, default=(1, 8, 32),
              show_default=True, help="Windows that run together.")  # fmt: skip
@click.option("--length", "lengths", type=Whole(min=1), multiple=True, default=(128, 256, 384, 512),
              show_default=True, help="Positions of padded windows; others have at most so many.")  # fmt: skip
@click.option("--backend", "names", callback=_known_backends, multiple=True, metavar="NAME",
              help="See `bskim-export --list-backends`; also one of the CPU.  [default: every one for a GPU that works "
              "here]")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp16", "fp32", "bf16"]), default="fp16", show_default=True,
              help="Of the random models; a bundle has its own.")  # fmt: skip
@click.option("--predictors", type=Whole(min=1), metavar="N", help="Of the random models, spread over their "
              "layers; the patterns were recorded with 6.  [default: one at every layer]")  # fmt: skip
@click.option("--windows", type=Whole(min=1), default=32, show_default=True,
              help="Different windows to time, at least.")  # fmt: skip
@click.option("--repeats", type=Whole(min=1), default=20, show_default=True, help="Runs of each batch.")
@click.option("--tokenizer", "tokenizer_of", default="examples/minilm-l6-squad", show_default=True,
              help="A checkpoint directory whose tokenizer the random models get.")  # fmt: skip
@click.option("--out", type=OutputFolder(), metavar="DIR", help="Keep the random models' bundles here, and "
              "use those that are there.  [default: they are thrown away]")  # fmt: skip
@click.option("--json", "json_path", type=OutputFile(stdout=True), metavar="FILE", help="Write figures here after "
              "each combination; one that is there already, at the same settings, is not measured again.")  # fmt: skip
def main(
    shapes: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    lengths: tuple[int, ...],
    names: tuple[str, ...],
    precision: str,
    predictors: int | None,
    windows: int,
    repeats: int,
    tokenizer_of: str,
    out: Path | None,
    json_path: Path | None,
) -> None:
    """Time the three rows (dense padded, dense, skim) on recorded keep patterns of real questions.

    Every backend runs in a process of its own. What fails, for want of memory for example, is reported in its row, and
    the rest goes on. Run the same command again to go on after an interruption.
    """
    from bskim_export.backends.tensorrt import FULL, RTX
    from bskim_export.bench.gpu import find_backends, measure_all
    from bskim_export.bench.gpu_report import Report, print_results
    from bskim_export.bundle.bundle import Bundle

    report = Report(None if json_path == STDOUT else json_path)
    used: list[dict[str, Any]] = []
    with busy("Opening backends"):
        machines, report.unavailable = find_backends(names)
    for name, why in report.unavailable.items():
        note(f"{name} is left out: {why}")
    report.save()
    if not machines:
        raise InputError("No backend is left. To try the benchmark on the CPU, pass --backend onnxruntime.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            find = partial(_find_bundle, precision, predictors, tokenizer_of, out or Path(folder))
            bundles = {shape: find(shape) for shape in dict.fromkeys(shapes)}
            with progress_bar() as bar:
                task = bar.add_task("", total=len(bundles) * len(machines) * len(batch_sizes) * len(lengths))
                for shape, bundle in bundles.items():
                    manifest = Bundle.open(bundle, verify=False).manifest
                    for name, machine in machines.items():
                        common = {
                            "shape": shape,
                            "precision": manifest.precision,
                            "skim_layers": manifest.skim_layers,
                            "machine": machine,
                            "release": bskim_export.__version__,
                            "engines_for": max(batch_sizes) if name in (RTX, FULL) else None,
                        }
                        jobs = [
                            {"batch_size": size, "length": length, "windows": windows, "repeats": repeats}
                            for size in batch_sizes
                            for length in lengths
                        ]
                        used += [common | job for job in jobs]
                        todo = [job for job in jobs if not report.holds(common | job)]
                        bar.update(task, description=f"{shape} on {name}", advance=len(jobs) - len(todo))
                        for job, answer in zip(todo, measure_all(bundle, name, todo, max(batch_sizes)), strict=True):
                            report.add(common | job, answer)
                            bar.advance(task)
        except KeyboardInterrupt:
            kept = f"'{json_path}' holds what was measured" if json_path else "nothing was written"
            note(f"Interrupted; {kept}. The same command goes on where this one ended.")
            sys.exit(130)
        finally:
            found = [r for r in report.results if r["settings"] in used]
            if found:
                print_results(console, found)
            if json_path == STDOUT:
                write_report(json_path, report.as_dict())


def _find_bundle(precision: str, predictors: int | None, tokenizer_of: str, out: Path, shape: str) -> Path:
    """Return the bundle that is meant; a random model that is not in `out` yet is exported."""
    from bskim_export.bundle.bundle import MANIFEST

    if (Path(shape) / MANIFEST).is_file():
        return Path(shape)
    with needs_extra("export", f"A random {shape}"):
        from bskim_export.bench.random_models import SHAPES
    if shape not in SHAPES:
        raise InputError(f"'{shape}' is neither a bundle nor one of the shapes {', '.join(SHAPES)}.")
    bundle = out / f"{shape}-{precision}{f'-{predictors}-predictors' if predictors else ''}"
    if not (bundle / MANIFEST).is_file():
        with busy(f"Exporting a random {shape} in {precision}"):
            export_random(shape, tokenizer_of, bundle, precision, predictors=predictors)
    return bundle

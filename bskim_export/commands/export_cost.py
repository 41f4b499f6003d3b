"""What an export costs: time and memory for models of published shapes, random weights, predictors at every layer."""

import resource
import tempfile
from pathlib import Path

import click

from bskim_export.bench.random_models import SHAPES, UNJUDGED, export_random
from bskim_export.commands.common import console, handle_errors


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="bert-base", show_default=True)
@click.option("--tokenizer", "checkpoint", default="examples/minilm-l6-squad", show_default=True,
              help="A checkpoint directory whose tokenizer stands in for the model's own.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16", "int8"]), default="fp32", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Keep the bundle here. [default: it is thrown away]")
@handle_errors
def main(shape, checkpoint, precision, out):
    """Print how long bskim-export takes for a model of a published shape, and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        options = () if precision == "fp32" else UNJUDGED
        megabytes, seconds = export_random(shape, checkpoint, out or Path(folder) / "engines", precision, options)
    console.print(f"{shape}: the checkpoint has {megabytes:.0f} MB", highlight=False)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # KB on Linux
    console.print(f"{shape}: exported and verified in {seconds:.0f} s, peak memory {peak:.1f} GB", highlight=False)

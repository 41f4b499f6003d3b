"""bskim export-cost: time and memory of exporting a published shape, random weights, predictors at every layer."""

import os
import resource
import tempfile
from pathlib import Path

import click

from bskim_export.commands.common import command
from bskim_export.commands.random_bundle import export_random
from bskim_export.commands.terminal import console
from bskim_export.commands.types import BundleToWrite, Whole


@command
@click.option("--shape", default="bert-base", show_default=True, metavar="NAME",
              help="albert-base-v2, bert-base, bert-large, distilbert-base or roberta-base.")  # fmt: skip
@click.option("--tokenizer", "tokenizer_of", default="examples/minilm-l6-squad", show_default=True,
              help="A checkpoint directory whose tokenizer stands in for the model's own.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16", "int8"]), default="fp32", show_default=True,
              help="Of the graphs.")  # fmt: skip
@click.option("--parity-questions", type=Whole(min=1), metavar="N", help="Questions on which parity with "
              "PyTorch is measured.  [default: 32; 4 below fp32]")  # fmt: skip
@click.option("--out", type=BundleToWrite(), help="Keep the bundle here.  [default: it is thrown away]")
def main(shape: str, tokenizer_of: str, precision: str, parity_questions: int | None, out: Path | None) -> None:
    """Print how long the export of a model of a published shape takes, and the peak memory of this process.

    The model is made in the same process, so the peak holds it, the interpreter and all libraries.
    """
    questions = parity_questions or (32 if precision == "fp32" else 4)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # nothing is known of the model: its graphs are traced
        megabytes, seconds = export_random(
            shape, tokenizer_of, out or Path(folder) / "bundle", precision, parity_questions=questions
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # KB on Linux
    console.print(f"{shape}: the parameters of the checkpoint have {megabytes:.0f} MB")
    console.print(
        f"{shape}: exported in {seconds:.0f} s, its parity with PyTorch measured on {questions} questions; peak memory "
        f"of this process, model and libraries included, {peak:.1f} GB",
    )

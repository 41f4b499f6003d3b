"""What an export costs: time and memory for a model of BERT-base's shape, random weights, predictors at every layer."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from bskim_export.commands.common import console, tidy


@click.command()
@click.option("--tokenizer", "checkpoint", default="examples/minilm-l6-squad", show_default=True,
              help="A checkpoint directory with an uncased BERT tokenizer.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Keep the bundle here. [default: it is thrown away]")
@tidy
def main(checkpoint, out):
    """Print how long bskim-export takes for BERT-base, and its peak memory."""
    import torch
    from transformers import BertConfig

    from bskim_export.checkpoint import load_checkpoint, save_checkpoint
    from bskim_export.model.qa import BlockSkimForQuestionAnswering

    torch.manual_seed(0)
    config = BertConfig()
    config.augment_layers = list(range(config.num_hidden_layers))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        save_checkpoint(BlockSkimForQuestionAnswering(config).eval(), path, load_checkpoint(checkpoint).tokenizer)
        start = time.perf_counter()
        out = out or Path(folder) / "engines"
        command = [sys.executable, "-m", "bskim_export.commands", "export", str(path), "--out", str(out)]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # KB on Linux
    console.print(f"BERT-base: exported and verified in {seconds:.0f} s, peak memory {peak:.1f} GB", highlight=False)

"""What an export costs: time and memory for models of published shapes, random weights, predictors at every layer."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from bskim_export.commands.common import console, tidy

SHAPES = {
    "albert-base-v2": ("albert", {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
    "bert-base": ("bert", {}),
    "bert-large": (
        "bert",
        {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    ),
    "distilbert-base": ("distilbert", {}),
    "roberta-base": ("roberta", {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}),
}
"""model type and what differs from the defaults of its Hugging Face config"""


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="bert-base", show_default=True)
@click.option("--tokenizer", "checkpoint", default="examples/minilm-l6-squad", show_default=True,
              help="A checkpoint directory whose tokenizer stands in for the model's own.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16", "int8"]), default="fp32", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Keep the bundle here. [default: it is thrown away]")
@tidy
def main(shape, checkpoint, precision, out):
    """Print how long bskim-export takes for a model of a published shape, and its peak memory."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoConfig

    from bskim_export.checkpoint import load_checkpoint, save_checkpoint
    from bskim_export.model.qa import BlockSkimForQuestionAnswering

    torch.manual_seed(0)
    tokenizer = Tokenizer.from_str(load_checkpoint(checkpoint).tokenizer)
    kind, options = SHAPES[shape]
    config = AutoConfig.for_model(kind, **options)
    config.vocab_size = max(config.vocab_size, tokenizer.get_vocab_size())
    config.augment_layers = list(range(config.num_hidden_layers))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        save_checkpoint(BlockSkimForQuestionAnswering(config).eval(), path, tokenizer)
        console.print(f"{shape}: the checkpoint has {path.stat().st_size / 1e6:.0f} MB", highlight=False)
        start = time.perf_counter()
        out = out or Path(folder) / "engines"
        command = [sys.executable, "-m", "bskim_export.commands", "export", str(path), "--out", str(out)]
        if precision != "fp32":  # random weights have no answers to lose
            command += ["--precision", precision, "--verify", "4"]
            command += ["--max-answer-change", "1", "--max-block-change", "1", "--max-f1-drop", "100"]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # KB on Linux
    console.print(f"{shape}: exported and verified in {seconds:.0f} s, peak memory {peak:.1f} GB", highlight=False)

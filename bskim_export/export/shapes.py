"""Models of published shapes with random weights and predictors: for what costs time, not for answers."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bskim_export.errors import BskimError, InputError, missing_extra

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

UNJUDGED = ("--verify", "4", "--max-answer-change", "1", "--max-block-change", "1", "--max-f1-drop", "100")
"""Options of an export that proves only that the graphs run: random weights have no answers to lose."""


def export_random(
    shape: str,
    tokenizer_of: str,
    out: Path,
    precision: str = "fp32",
    options: Sequence[str] = (),
    predictors: int | None = None,
) -> tuple[float, float]:
    """Export a random model, in a process of its own.

    Args:
        shape: a key of SHAPES
        tokenizer_of: a checkpoint directory whose tokenizer stands in for the model's own
        out: the bundle's directory
        options: more arguments of bskim-export
        predictors: how many, spread over the layers; default: one at every layer

    Returns:
        the size of its checkpoint in MB, and how many seconds the export took, proof included.

    Raises:
        BskimError: the export failed; it has said why.
        InputError: more predictors than layers.
        MissingExtraError: PyTorch or transformers is not installed.
    """
    try:
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoConfig

        from bskim_export.checkpoint import load_checkpoint, save_checkpoint
        from bskim_export.model.qa import BlockSkimForQuestionAnswering
    except ImportError as error:
        raise missing_extra(error.name or "torch", "export", f"Exporting a random {shape}") from error
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_str(load_checkpoint(tokenizer_of).tokenizer)
    kind, differing = SHAPES[shape]
    config = AutoConfig.for_model(kind, **differing)
    config.vocab_size = max(config.vocab_size, tokenizer.get_vocab_size())
    config.augment_layers = spread_layers(config.num_hidden_layers, predictors)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        save_checkpoint(BlockSkimForQuestionAnswering(config).eval(), path, tokenizer)
        megabytes, start = path.stat().st_size / 1e6, time.perf_counter()
        command = [sys.executable, "-m", "bskim_export.commands", "export", str(path), "--out", str(out)]
        done = subprocess.run([*command, "--precision", precision, *options], check=False)
        if done.returncode:
            raise BskimError(f"The export of a random {shape} failed with exit code {done.returncode}, see above.")
        return megabytes, time.perf_counter() - start


def spread_layers(num_layers: int, count: int | None) -> list[int]:
    """Return the layers that get a predictor: the last of each equal share of the layers; all of them without a count.

    Raises:
        InputError: there are fewer layers than that.

    Example:
        >>> spread_layers(12, 6), spread_layers(12, 5)
        ([1, 3, 5, 7, 9, 11], [1, 3, 6, 8, 11])
    """
    count = num_layers if count is None else count
    if not 1 <= count <= num_layers:
        raise InputError(f"The model has {num_layers} layers; {count} of them cannot have a predictor.")
    return [(i + 1) * num_layers // count - 1 for i in range(count)]

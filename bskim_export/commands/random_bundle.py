"""Bundles of random models of published shapes, for the commands that measure time and memory."""

import time
from pathlib import Path

from bskim_export.commands.common import needs_extra


def export_random(
    shape: str,
    tokenizer_of: str | Path,
    out: Path,
    precision: str,
    *,
    predictors: int | None = None,
    parity_questions: int = 4,
) -> tuple[float, float]:
    """Export a random model in this process.

    Args:
        shape: a key of `bench.random_models.SHAPES`
        tokenizer_of: a checkpoint directory whose tokenizer stands in for the model's own
        out: the bundle's directory
        precision: of the graphs
        predictors: how many, spread over the layers; default: one at every layer
        parity_questions: SQuAD questions on which parity with PyTorch is measured. In fp32 the bundle must have it;
            below, random weights have no answers to lose, and the graphs must only run

    Returns:
        the megabytes of the model's parameters, and the seconds of the export, parity included.

    Raises:
        CheckpointError: `tokenizer_of` has no tokenizer.
        InputError: there is no such shape, or it has fewer layers than predictors.
        MissingExtraError: PyTorch, transformers or onnx is not installed.
        ParityError: the bundle is not in parity with PyTorch.
    """
    with needs_extra("export", f"Exporting a random {shape}"):
        from bskim_export.bench.random_models import make_random_checkpoint
        from bskim_export.checkpoint.tokenizer_files import read_tokenizer
        from bskim_export.export.exporter import export_bundle
        from bskim_export.export.parity import EXACT, UNJUDGED
    from bskim_export.data.question import sample
    from bskim_export.data.squad import load_squad

    checkpoint = make_random_checkpoint(shape, read_tokenizer(Path(tokenizer_of)), predictors)
    megabytes = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters()) / 1e6
    questions = sample(load_squad(), parity_questions)
    limits = EXACT if precision == "fp32" else UNJUDGED
    start = time.perf_counter()
    export_bundle(checkpoint, out, precision=precision, limits=limits, questions=questions)
    return megabytes, time.perf_counter() - start

"""bskim parity: a bundle on a backend, against PyTorch, on as many questions as you like."""

from pathlib import Path

import click

from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    command,
    dataset_option,
    needs_extra,
    open_for,
    progress_bar,
)
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import Whole


@command
@click.argument("model")
@bundle_argument
@dataset_option
@click.option("--limit", type=Whole(min=1), default=1000, show_default=True, help="Questions, drawn at random.")
@backend_options
def main(
    model: str,
    bundle: Path,
    dataset: str,
    limit: int,
    threads: int | None,
    precision: str,
    backend_name: str | None,
) -> None:
    """Count where BUNDLE (default: engines/), exported from MODEL, and PyTorch in fp32 disagree: kept blocks, answers,
    F1.

    Both skim at the bundle's thresholds and settings, PyTorch by true removal, window by window.
    """
    with needs_extra("export", "bskim parity"):
        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.export.parity import measure_parity
        from bskim_export.export.split_parity import measure_split_parity
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.pipeline import QAPipeline

    backend = open_for(bundle, backend_name, threads, precision)
    pipeline = QAPipeline(bundle, backend=backend)
    checkpoint = load_checkpoint(model, pipeline.bundle.skim_layers)
    questions = sample(usable(read_questions(dataset, note), pipeline.maker, pipeline.options(), note), limit)
    measure = measure_parity if pipeline.bundle.manifest.split is None else measure_split_parity
    with progress_bar() as bar:
        task = bar.add_task("Comparing with PyTorch", total=len(questions))
        parity = measure(pipeline, checkpoint.model, questions, lambda: bar.advance(task))
    compared = parity.questions - parity.ties
    console.print(
        f"{backend.name} {backend.version}, graphs in {pipeline.bundle.manifest.precision}, computed in "
        f"{backend.precision}, against PyTorch on {compared} questions of {dataset} ({parity.ties} ties left out): "
        f"{parity.different_blocks} of {parity.blocks} blocks and {parity.different_answers} answers differ "
        f"({1 - parity.different_answers / max(1, compared):.1%} the same). "
        f"F1 {parity.f1:.2f}, PyTorch's {parity.f1_reference:.2f} ({parity.f1 - parity.f1_reference:+.2f}). "
        f"Dense logits within {parity.max_logit_difference:.1e}.",
    )

"""bskim parity: a bundle on a backend, against PyTorch, on as many questions as you like."""

from pathlib import Path

import click

from bskim_export.commands.common import backend_options, console, handle_errors, note, open_for
from bskim_export.errors import missing_extra


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("model")
@click.argument("engines", type=click.Path(path_type=Path), default="engines")
@click.option("--dataset", default="squad", show_default=True, metavar="SPEC", help="See docs/datasets.md.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Questions, drawn at random."
)
@backend_options
@handle_errors
def main(model, engines, dataset, limit, threads, precision, backend_name):
    """Count where the bundle ENGINES, exported from MODEL, and PyTorch in fp32 disagree: kept blocks, answers, F1.

    Both skim at the bundle's thresholds, PyTorch by true removal, window by window.
    """
    try:
        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.export.parity import compare
    except ImportError as error:
        raise missing_extra(error.name or "torch", "export", "parity") from error
    from rich.progress import track

    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.runtime.pipeline import QAPipeline

    backend = open_for(engines, backend_name, threads, precision)
    pipeline = QAPipeline(engines, backend=backend)
    checkpoint = load_checkpoint(model, pipeline.manifest.skim_layers)
    questions = sample(read_questions(dataset, note), limit)
    bar = iter(track(range(len(questions)), "Comparing with PyTorch", console=console))
    next(bar)
    parity = compare(pipeline, checkpoint.model, questions, lambda: next(bar, None))
    compared = parity.questions - parity.ties
    console.print(
        f"{backend.name} {backend.version}, graphs in {pipeline.manifest.precision}, computed in {backend.precision}, "
        f"against PyTorch on {compared} questions of {dataset} ({parity.ties} ties left out): "
        f"{parity.different_blocks} of {parity.blocks} blocks and {parity.different_answers} answers differ "
        f"({1 - parity.different_answers / max(1, compared):.1%} the same). "
        f"F1 {parity.f1:.2f}, PyTorch's {parity.f1_reference:.2f} ({parity.f1 - parity.f1_reference:+.2f}). "
        f"Dense logits within {parity.max_logit_difference:.1e}.",
        highlight=False,
    )

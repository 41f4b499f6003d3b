"""bskim predictors: what the predictors of a checkpoint know, layer by layer."""

import click

from bskim_export.commands.common import console, handle_errors, note
from bskim_export.errors import CheckpointError


@click.command()
@click.argument("model")
@click.option("--dataset", default="squad", show_default=True, metavar="SPEC", help="See docs/datasets.md.")
@click.option("--limit", type=click.IntRange(min=1), default=1500, show_default=True, metavar="N")
@click.option("--seed", type=int, default=42, show_default=True)
@handle_errors
def main(model, dataset, limit, seed):
    """Print how well the predictors of the checkpoint MODEL tell blocks with an answer from others.

    The area under the ROC curve, and which share of passage blocks a layer must keep to keep 98, 99 and 99.5 % of the
    blocks with an answer. Nothing is dropped: each layer is judged by itself.
    """
    from rich.box import SIMPLE_HEAD
    from rich.progress import Progress
    from rich.table import Table
    from tokenizers import Tokenizer

    from bskim_export.checkpoint.loading import load_checkpoint
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.runtime.windows import WindowMaker
    from bskim_export.training.features import Collator, make_features
    from bskim_export.training.separation import RECALLS, measure_separation

    checkpoint = load_checkpoint(model)
    if not checkpoint.model.skim.layers:
        raise CheckpointError(f"'{model}' has no predictors. Give it some: bskim-train --freeze --model {model}")
    questions = sample(read_questions(dataset, note), limit, seed)
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
    skim = checkpoint.model.skim
    features = make_features(questions, maker, skim.max_seq_len, min(128, skim.max_seq_len // 2))
    collator = Collator(skim.block_size, checkpoint.model.config.pad_token_id)
    with Progress(console=console) as bar:
        task = bar.add_task("Scoring", total=len(features))
        found = measure_separation(checkpoint.model, features, collator, lambda n: bar.advance(task, n))
    table = Table(title=f"{len(questions)} questions of {dataset}", title_justify="left", box=SIMPLE_HEAD)
    for header in ("layer", "AUC", *(f"kept at {recall:.1%} of answers" for recall in RECALLS)):
        table.add_column(header, justify="right")
    for layer, one in found.items():
        table.add_row(str(layer), f"{one.auc:.3f}", *(f"{share:.1%}" for share in one.kept))
    console.print(table)

"""bskim predictors: how well the predictors of a checkpoint know answers, layer by layer."""

import click

from bskim_export.commands.common import command, dataset_option, needs_extra, progress_bar, seed_option
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import Whole
from bskim_export.errors import CheckpointError


@command
@click.argument("model")
@dataset_option
@click.option("--limit", type=Whole(min=1), default=1500, show_default=True, metavar="N",
              help="A random sample of N questions.")  # fmt: skip
@seed_option
def main(model: str, dataset: str, limit: int, seed: int) -> None:
    """Print how well the predictors of the checkpoint MODEL tell blocks with an answer from others.

    The area under the ROC curve, and which share of passage blocks a layer must keep to keep 98, 99 and 99.5 % of the
    blocks with an answer. Nothing is dropped: each layer is judged by itself.
    """
    with needs_extra("export", "bskim predictors"):
        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.training.features import Collator, make_features
        from bskim_export.training.separation import RECALLS, measure_separation
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from tokenizers import Tokenizer

    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.options import RunOptions
    from bskim_export.runtime.windows import WindowMaker

    checkpoint = load_checkpoint(model)
    skim = checkpoint.model.skim
    if not skim.layers:
        raise CheckpointError(f"'{model}' has no predictors. Give it some: bskim-train --freeze --model {model}")
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
    options = RunOptions.of_length(skim.max_seq_len)
    questions = sample(usable(read_questions(dataset, note), maker, options, note), limit, seed)
    features = make_features(questions, maker, options.max_seq_len, options.doc_stride)
    collator = Collator(skim.block_size, checkpoint.model.config.pad_token_id)
    with progress_bar() as bar:
        task = bar.add_task("Scoring", total=len(features))
        found = measure_separation(checkpoint.model, features, collator, lambda n: bar.advance(task, n))
    table = Table(title=f"{len(questions)} questions of {dataset}", title_justify="left", box=SIMPLE_HEAD)
    for header in ("layer", "AUC", *(f"kept at {recall:.1%} of answers" for recall in RECALLS)):
        table.add_column(header, justify="right")
    for layer, one in found.items():
        table.add_row(str(layer), f"{one.auc:.3f}", *(f"{share:.1%}" for share in one.kept))
    console.print(table)

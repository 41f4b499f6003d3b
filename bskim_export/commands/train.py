"""bskim-train: a model and a data set in, a model that skims out."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bskim_export.bundle.manifest import DOC_STRIDE
from bskim_export.commands.common import command, limit_option, needs_extra, parse_numbers, progress_bar
from bskim_export.commands.terminal import busy, console, errors, note
from bskim_export.commands.types import OutputFile, Real, Whole

if TYPE_CHECKING:
    from rich.progress import TaskID

PRESET_NAMES = ["squad", "hotpotqa", "newsqa", "naturalquestions", "triviaqa", "searchqa"]


def _parse(context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any] | None:
    """Read NAME=VALUE pairs, each value as JSON or else as the text that it is."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"expected NAME=VALUE, got '{pair}'")
        try:
            parsed[name] = json.loads(value)
        except (ValueError, RecursionError):
            parsed[name] = value
    return parsed or None


@command
@click.option("--model", required=True, metavar="DIR|HUB_ID|FILE",
              help="A pre-trained encoder, to be trained jointly; "
              "or a question-answering model, to be trained further or, with --freeze, given predictors.")  # fmt: skip
@click.option("--dataset", "datasets", required=True, multiple=True, metavar="SPEC",
              help="The questions to learn from: a SQuAD-format FILE, mrqa:FILE, "
              "hotpotqa:FILE, hub:NAME; see docs/datasets.md. Repeatable.")  # fmt: skip
@click.option("--out", type=OutputFile(), default="model.pt", show_default=True,
              help="The checkpoint to write. model.training/ beside it keeps what an interrupted run needs to go on: "
              "repeat the command.")  # fmt: skip
@click.option("--preset", type=click.Choice(PRESET_NAMES), default="squad", show_default=True,
              help="The paper's balance factor, batch size and window length for this kind of data.")  # fmt: skip
@click.option("--freeze", is_flag=True, help="Leave the model's own weights bit for bit as they are and train the "
              "predictors only.")  # fmt: skip
@click.option("--prune-heads", type=Real(0, 1, min_open=True, max_open=True), metavar="SHARE",
              help="First remove this share of each layer's attention heads, the least important ones (Michel et "
              "al. 2019).")  # fmt: skip
@click.option("--predictor", type=click.Choice(["question", "diagonal", "map"]), default="question", show_default=True,
              help="question: matches a block's tokens with the question's. diagonal: the paper's CNN over "
              "attention blocks. map: over whole maps, for the paper's Figure 3; not exportable.")  # fmt: skip
@click.option("--layers", metavar="0,2,4", callback=parse_numbers(int), help="Layers that get a predictor. "
              "[default: all; with --split that layer and the next]")  # fmt: skip
@click.option("--block-size", type=Whole(1, 512), default=32, show_default=True,
              help="Positions of a block.")  # fmt: skip
@click.option("--alpha", type=Real(min=0), default=0.1, show_default=True,
              help="Harmony factor of the block loss; 0 trains the question-answering model alone.")  # fmt: skip
@click.option("--beta", type=Real(min=0, min_open=True), help="Balance factor of blocks with an answer. "
              "[default: the preset's, with --split 5]")  # fmt: skip
@click.option("--layer-weights", metavar="2,1,1", callback=parse_numbers(float),
              help="The weight of each predictor's loss, first to last. [default: 1 each]")  # fmt: skip
@click.option("--skim-training", is_flag=True, help="Hide refused blocks from later layers while training (the paper's "
              "Table 3, row 4).")  # fmt: skip
@click.option("--evidence", is_flag=True, help="Label blocks with supporting facts positive too (Table 3, row 12).")
@click.option("--length-drop", type=Real(0, 1, min_open=True, max_open=True), metavar="SHARE",
              help="Instead of predictors: a Length-Adaptive Transformer (Kim and Cho 2021), whose layers lose this "
              "share of the tokens each, at most (its authors: 0.2). A baseline; exported, it is a dense "
              "model.")  # fmt: skip
@click.option("--documents", type=Whole(2, 1000), metavar="N", help="Ask each question of its own passage and of N - 1 "
              "others, of the same title first, in random order, and normalise its answer over all its windows. A "
              "quarter of the questions keep to their own passage.")  # fmt: skip
@click.option("--windows", type=Whole(0, 1000), default=3, show_default=True, metavar="N",
              help="Of a document, windows without an answer that are trained on, beside all with one: half of them "
              "those that share most with the question, the others at random.")  # fmt: skip
@click.option("--split", type=Whole(min=1), metavar="LAYER",
              help="Make a split model: below this layer question and passage are read apart, so that passages can be "
              "prepared once for all questions.")  # fmt: skip
@click.option("--teacher", metavar="DIR|HUB_ID|FILE",
              help="With --split: the model to learn from, itself not split; as a rule that of --model.")  # fmt: skip
@click.option("--epochs", type=Real(min=0, min_open=True), default=2.0, show_default=True,
              help="Passes over the questions.")  # fmt: skip
@click.option("--batch-size", type=Whole(min=1), help="Windows of a step, questions with --documents, parts "
              "of documents with --split, a dozen questions each. [default: the preset's, with --split 2]")  # fmt: skip
@click.option("--learning-rate", type=Real(min=0), default=3e-5, show_default=True, help="Of the model.")
@click.option("--predictor-learning-rate", type=Real(min=0), default=1e-3, show_default=True,
              help="Of the predictors.")  # fmt: skip
@click.option("--dropout", type=Real(0, 1, max_open=True), help="Instead of the model's own. 0 is fastest.")
@click.option("--max-seq-len", type=Whole(min=8), help="Positions of a window. [default: the preset's]")
@click.option("--doc-stride", type=Whole(min=0), default=DOC_STRIDE, show_default=True,
              help="Passage tokens that neighbouring windows share.")  # fmt: skip
@limit_option
@click.option("--eval-dataset", metavar="SPEC", help="The questions that EM and F1 are logged on after each epoch. "
              "[default: questions held out of --dataset, with their passages]")  # fmt: skip
@click.option("--eval-questions", type=Whole(min=1), default=500, show_default=True, metavar="N",
              help="How many of them.")  # fmt: skip
@click.option("--early-stopping", type=Whole(min=1), metavar="N", help="End after N epochs without a better "
              "F1 there, with the best epoch's weights.")  # fmt: skip
@click.option("--bf16", is_flag=True, help="Compute in bfloat16 where it is safe. Twice as fast on processors that "
              "have it, CPUs included.")  # fmt: skip
@click.option("--seed", type=Whole(), default=42, show_default=True, help="Of all that is random.")
@click.option("--training-arg", "trainer", multiple=True, metavar="NAME=VALUE", callback=_parse,
              help="A further argument of transformers.TrainingArguments, its value as JSON; repeatable.")  # fmt: skip
def main(model: str, datasets: tuple[str, ...], out: Path, preset: str, **options: Any) -> None:
    """Train a question-answering model that skims.

    Joint training (the default) minimises the question-answering loss plus alpha times the block loss of every layer:
    equation 3 of the Block-Skim paper. --freeze trains predictors for a model whose answers must stay as they are.
    --split makes a model that reads a passage once for all questions.

    An interrupted run goes on from its last saved step when the command is repeated, and ends with the same weights.
    It runs on a GPU if there is one; on several under torchrun.

    \b
    Examples:
      bskim-train --model microsoft/MiniLM-L12-H384-uncased --dataset train-v1.1.json --bf16
      bskim-train --model deepset/bert-base-cased-squad2 --dataset train-v1.1.json --freeze --epochs 3
      bskim-train --model model.pt --split 2 --teacher model.pt --dataset train-v1.1.json --out split.pt
    """
    with needs_extra("train", "bskim-train"):
        from transformers import set_seed

        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.training.run import train
        from bskim_export.training.settings import PRESETS, SPLIT, TrainSettings
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from bskim_export.data.question import hold_out, sample
    from bskim_export.data.readers import read_questions

    defaults = dataclasses.asdict(PRESETS[preset]) | (SPLIT if options["split"] is not None else {})
    for name, value in defaults.items():
        if options[name] is None:
            options[name] = value
    for name in ("layers", "layer_weights"):
        options[name] = tuple(options[name]) if options[name] is not None else None
    settings = TrainSettings(model, " + ".join(datasets), **options)
    if settings.bf16 and not _has_bf16():
        note("This processor has no bfloat16 arithmetic: --bf16 makes the run many times slower here, not faster.")
    with busy(f"Loading {model} and {settings.dataset}"):
        set_seed(settings.seed)  # a fresh head is random
        checkpoint = load_checkpoint(model, fresh_head=not settings.freeze)
        questions = [q for dataset in datasets for q in read_questions(dataset, on_note=note)]
        if settings.eval_dataset:
            held_out = sample(read_questions(settings.eval_dataset, note), settings.eval_questions, settings.seed)
        else:
            questions, held_out = hold_out(questions, settings.eval_questions, settings.seed)
        others = questions  # in their order, before any are drawn: neighbours in a file are of one article
        questions = sample(questions, settings.limit, settings.seed)
    try:
        with progress_bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
            tasks: dict[str, TaskID] = {}

            def progress(what: str, done: int, total: int) -> None:
                if what == "Training":
                    bar.stop()  # from here on the Trainer shows its own
                    return
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done)

            report = train(checkpoint, questions, held_out, settings, out, progress, note, others)
    except KeyboardInterrupt:
        errors.print("Interrupted. The same command goes on from the last saved step.")
        sys.exit(130)
    _print(report, out)


def _has_bf16() -> bool:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    can = torch.cpu.get_capabilities()
    return any(can.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16"))


def _print(report: dict[str, Any], out: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bskim_export.training.run import HELD_OUT, run_folder

    held = report["held_out"]
    split = report["settings"]["split"]
    how = "from chosen blocks" if split else "dense"
    title = f"{held['questions']} held-out questions: EM {held['em']:.2f}, F1 {held['f1']:.2f} ({how})"
    if retrieved := held.get("retrieved"):
        shares = ", ".join(f"the best {blocks}: {share:.1%}" for blocks, share in retrieved.items())
        console.print(f"Questions with an answer among their document's best blocks: {shares}")
    exporting = f"bskim-export {out} --out engines/"
    if not held["predictors"]:
        console.print(title)
        adding = f"It has no predictors; to add some: bskim-train --freeze --model {out} --dataset ..."
        console.print(f"Wrote {out}. " + (f"Next: {exporting}" if split else adding))
        return
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for header in ("layer", "precision", "recall", "kept at 0.5"):
        table.add_column(header, justify="right")
    for layer, row in held["predictors"].items():
        table.add_row(str(layer), *(f"{row[k]:.1%}" for k in ("precision", "recall", "kept")))
    console.print(table)
    calibrating = f" and bskim-calibrate engines/ --dataset {run_folder(out) / HELD_OUT}"
    console.print(f"Wrote {out}. Next: {exporting}" + ("" if split else calibrating))

"""bskim-export: a model in, a bundle out."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bskim_export.commands.common import command, needs_extra, parse_capability, parse_numbers, progress_bar
from bskim_export.commands.export_for import TIMED_QUESTIONS, check_target_options, show_trials
from bskim_export.commands.terminal import busy, console, note
from bskim_export.commands.types import Named, OutputFolder, Real, Whole
from bskim_export.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from bskim_export.bundle.manifest import EngineSet, Model
    from bskim_export.export.cpu.trial import Trial
    from bskim_export.export.parity import Parity


def list_backends(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the catalogue of backends and exit, if that is wanted."""
    if not wanted or context.resilient_parsing:
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bskim_export.backends.catalogue import CATALOGUE

    table = Table(box=SIMPLE_HEAD)
    for header in ("backend", "device", "precisions", "installed"):
        table.add_column(header)
    for entry in CATALOGUE.values():
        found = entry.installed or f"no: {entry.how}"
        table.add_row(entry.name, entry.device, ", ".join(entry.precisions), found)
    console.print(table)
    context.exit()


@command
@click.argument("model")
@click.option(
    "--out",
    type=Named(),
    help="Directory to write the bundle to. A bundle that is there is replaced, in one step.  [default: engines; with "
    "--layout single: model.onnx]",
)
@click.option("--layout", type=click.Choice(["bundle", "single"]), default="bundle", show_default=True,
              help="single writes one ONNX file instead, which skims by itself in any runtime, tokenizer and config "
              "beside it.")  # fmt: skip
@click.option(
    "--skim-layers",
    metavar="0,2,4",
    callback=parse_numbers(int),
    help="Layers after which blocks may be dropped. Fewer layers make fewer, larger stages. "
    "[default: every layer that has a predictor]",
)
@click.option(
    "--threshold",
    type=Real(0, 1),
    help="Keep probability from which a block stays, for all layers. [default: the model's own]",
)
@click.option(
    "--max-seq-len",
    type=Whole(min=1),
    help="Positions of a window at most, up to those that the model has. [default: the model's max_seq_length, which "
    "is what it was trained on]",
)
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16", "int8"]), help="Of the graphs. Below fp32, "
              "softmax, LayerNorm, the head and the predictors stay fp32.  [default: fp32; with --for: fp32 and int8 "
              "are tried]")  # fmt: skip
@click.option("--recipe", metavar="NAME|FILE", help="For INT8 calibration: the questions that it looks at, and its "
              "method. A recipe that ships with the project (int8) or a TOML file.  [default: int8]")  # fmt: skip
@click.option(
    "--parity-questions",
    "--verify",
    "parity_questions",
    type=Whole(min=1),
    metavar="N",
    help="Questions of the SQuAD dev set on which the bundle must agree with PyTorch in fp32, block by block and "
    "answer by answer, before it is written.  [default: 32; 200 below fp32]",
)
@click.option("--max-answer-change", type=Real(0, 1), metavar="SHARE", help="Below fp32: answers that may "
              "differ.  [default: 0.015]")  # fmt: skip
@click.option("--max-block-change", type=Real(0, 1), metavar="SHARE", help="Below fp32: blocks that may be "
              "kept by one side only.  [default: 0.02]")  # fmt: skip
@click.option("--max-f1-drop", type=Real(min=0), metavar="POINTS", help="Below fp32: F1 that the precision "
              "may cost.  [default: 0.3]")  # fmt: skip
@click.option("--for", "target", type=click.Choice(["cpu"]), help="Also measure what is installed here (backends, "
              "precisions, sets of predictors), keep the fastest that passes its proof, and note in the bundle which "
              "it is.")  # fmt: skip
@click.option("--dataset", metavar="SPEC", help="With --for: the questions to measure, as for bskim-bench.  "
              "[default: squad]")  # fmt: skip
@click.option("--limit", type=Whole(min=1), metavar="N", help="With --for: so many of them, drawn at random.  "
              "[default: 64]")  # fmt: skip
@click.option("--backend", "backend_name", type=click.Choice(["tensorrt-rtx", "tensorrt"]), help="Also compile for an "
              "NVIDIA GPU, ahead of time; the bundle still runs everywhere else.")  # fmt: skip
@click.option("--compute-capability", metavar="8.9,12.0", help="Of the GPUs to compile for; TensorRT-RTX needs none "
              "of them.  [default: of the GPU at hand]")  # fmt: skip
@click.option("--max-batch", type=Whole(min=1), default=8, show_default=True, help="Windows that may run "
              "together in compiled engines.")  # fmt: skip
@click.option("--triton", type=OutputFolder(), metavar="DIR", help="Also copy the bundle into DIR, a model repository "
              "of the Triton Inference Server, as a model that has the name of --out.")  # fmt: skip
@click.option("--list-backends", is_flag=True, is_eager=True, expose_value=False, callback=list_backends,
              help="Say which backends are installed, and how to get the others, and exit.")  # fmt: skip
def main(
    model: str,
    out: Path | None,
    layout: str,
    skim_layers: list[int] | None,
    threshold: float | None,
    max_seq_len: int | None,
    precision: str | None,
    recipe: str | None,
    parity_questions: int | None,
    max_answer_change: float | None,
    max_block_change: float | None,
    max_f1_drop: float | None,
    target: str | None,
    dataset: str | None,
    limit: int | None,
    backend_name: str | None,
    compute_capability: str | None,
    max_batch: int,
    triton: Path | None,
) -> None:
    """Split MODEL into stages and skim predictors, export them to ONNX, and measure their parity with PyTorch.

    MODEL is a Hugging Face model directory, a hub id, or a model.pt written by bskim_export.save_checkpoint. BERT,
    MiniLM, ELECTRA, RoBERTa, DistilBERT and ALBERT question-answering models are supported. Predictors are found under
    the names of the Block-Skim paper's released code; a model without any is exported dense.

    \b
    Examples:
      bskim-export examples/minilm-l6-squad --out engines/
      bskim-export model.pt --out engines/ --skim-layers 1,3,5
      bskim-export model.pt --out engines/ --for cpu
      bskim-export model.pt --out engines/ --precision fp16 --backend tensorrt-rtx --compute-capability 8.9
      bskim-export deepset/bert-base-cased-squad2 --out dense/
      bskim-export model.pt --layout single --out skimming/model.onnx
    """
    out = out or Path("model.onnx" if layout == "single" else "engines")
    with needs_extra("export", "bskim-export"):
        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.export.cpu.fastest import export_fastest
        from bskim_export.export.exporter import export_bundle
        from bskim_export.export.int8.recipe import Int8Calibration, load_int8_recipe
        from bskim_export.export.parity import limits_for
        from bskim_export.export.single.standalone import check_standalone, export_standalone
        from bskim_export.export.triton_repository import check_triton_target, write_triton_repository
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    from bskim_export.bundle.directory import check_target
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.data.squad import load_squad

    if layout == "single" and (precision not in (None, "fp32") or backend_name):
        raise InputError("--layout single writes fp32, for any runtime: pass neither --precision nor --backend.")
    if layout == "single" and triton:
        raise InputError("--triton copies a bundle: pass no --layout single with it.")
    precisions = [precision] if precision else ["fp32", "int8"] if target else ["fp32"]
    check_target_options(target, dataset, limit, layout, backend_name, precisions)
    (check_standalone if layout == "single" else check_target)(out)
    if triton:
        check_triton_target(out, triton)
    # With --for, they are the limits of whatever is tried below fp32.
    limits = limits_for("bf16" if target else precisions[0], max_block_change, max_answer_change, max_f1_drop)
    if compute_capability and not backend_name:
        raise InputError("--compute-capability names the GPUs to compile for; pass --backend tensorrt-rtx with it.")
    if recipe is not None and "int8" not in precisions:
        raise InputError("--recipe is for INT8 calibration; pass --precision int8 with it.")
    with busy(f"Loading {model}"):
        checkpoint = load_checkpoint(model, skim_layers)
        if threshold is not None:
            checkpoint.model.set_thresholds(threshold)
        if max_seq_len is not None:
            checkpoint.model.set_max_seq_len(max_seq_len)
        questions = sample(load_squad(), parity_questions) if parity_questions else None
        int8 = Int8Calibration.of(load_int8_recipe(recipe or "int8")) if "int8" in precisions else None
        timed = sample(read_questions(dataset or "squad", note), limit or TIMED_QUESTIONS) if target else []
    engines = _plan_engines(checkpoint.describe(), backend_name, compute_capability, max_batch)
    layers = checkpoint.model.skim.layers
    if not layers and threshold is not None:
        raise CheckpointError("--threshold has no meaning for this model: it has no skim predictors.")
    with progress_bar(MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        if layout == "single":
            compared = export_standalone(checkpoint, out, questions=questions, progress=progress)
            console.print(
                f"Wrote {out}: it skims by itself after layers {list(layers)}. On {compared} questions its blocks and "
                "answers are those of the bundle, and the bundle's those of PyTorch."
            )
            return
        found: Parity | list[Trial]
        if target:
            manifest, found = export_fastest(
                checkpoint, out, timed, precisions=precisions, coarse=limits, int8_calibration=int8,
                questions=questions, progress=progress,
            )  # fmt: skip
        else:
            manifest, found = export_bundle(
                checkpoint, out, precision=precisions[0], limits=limits, int8_calibration=int8, questions=questions,
                engines=engines, progress=progress,
            )  # fmt: skip
    if isinstance(found, list):
        show_trials(found, manifest)
    console.print(
        f"Wrote {out}: {len(manifest.stages)} stages, "
        f"{f'predictors after layers {list(layers)}' if layers else 'no predictors'}, {_size(out) / 1e6:.0f} MB."
    )
    if not isinstance(found, list):
        _show_parity(found, precisions[0])
    if triton:
        console.print(f"Wrote {write_triton_repository(out, triton)}: a model of Triton's Python backend.")
    if not layers:
        console.print(
            "The model has no skim predictors, so this bundle is dense: every block is computed. To add predictors "
            "without touching the model's weights: bskim-train --freeze --model MODEL --dataset FILE"
        )


def _show_parity(parity: "Parity", precision: str) -> None:
    console.print(
        f"Against PyTorch on {parity.questions} questions: {parity.different_answers} answers and "
        f"{parity.different_blocks} of {parity.blocks} blocks differ; dense logits within "
        f"{parity.max_logit_difference:.1e}.",
    )
    if precision != "fp32":
        console.print(f"F1 there: {parity.f1:.2f} in {precision}, {parity.f1_reference:.2f} in fp32.")


def _size(folder: Path) -> int:
    """Return the bytes of a folder's files, less those that another export is removing just now."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.stat(os.path.join(path, name)).st_size
    return size


def _plan_engines(
    model: "Model", backend_name: str | None, capabilities: str | None, max_batch: int
) -> "list[EngineSet]":
    """Return the sets of engines that TensorRT is to compile; none without a backend."""
    if backend_name is None:
        return []
    from bskim_export.backends.tensorrt_engine import make_set

    targets = [parse_capability(c) for c in capabilities.split(",")] if capabilities else [None]
    return [make_set(model.max_seq_len, backend_name, target, max_batch) for target in targets]

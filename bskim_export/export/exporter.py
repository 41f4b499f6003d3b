"""From a model to a bundle whose parity with PyTorch was measured."""

import inspect
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

import bskim_export
from bskim_export.atomic import full_disk_as_error
from bskim_export.backends.catalogue import open_backend
from bskim_export.backends.tensorrt_engine import build_all
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.checks import DENSE, READ, TOKENIZER, WEIGHTS, predictor_file, stage_file
from bskim_export.bundle.directory import atomic_directory, check_target
from bskim_export.bundle.integrity import hash_file
from bskim_export.bundle.manifest import EngineSet, Graph, Manifest, RunDefaults, Stage
from bskim_export.bundle.single_graph import CPU_PRECISIONS
from bskim_export.bundle.tensors import PREDICTOR_OUTPUTS, specify_all
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError, only_own_errors
from bskim_export.evaluate.usable import usable
from bskim_export.export.graph_writer import GraphWriter
from bskim_export.export.int8.ranges import ActivationStats, measure_activations
from bskim_export.export.int8.recipe import Int8Calibration, Int8Recipe
from bskim_export.export.onnx_graph import example_inputs, sharing
from bskim_export.export.parity import Limits, Parity, limits_for, measure_parity, require_parity, require_questions
from bskim_export.export.precision import PRECISIONS, in_precision
from bskim_export.export.single.proof import require_same
from bskim_export.export.single.skim_graph import write_alone
from bskim_export.export.split_parity import measure_split_parity
from bskim_export.export.split_write import check_split, write_lower
from bskim_export.export.stages import StageModule, make_dense, make_stages
from bskim_export.export.weights import WeightStore
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.orchestrator import Orchestrator
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.windows import WindowMaker

Progress = Callable[[str, int, int], None]
"""progress(what is being done, steps done, steps in all)"""

PARITY_QUESTIONS = 32
PARITY_QUESTIONS_BELOW_FP32 = 200
MEASURING_ACTIVATIONS = "Measuring activations for INT8"
EXPORTING = "Exporting to ONNX"
MEASURING_PARITY = "Measuring parity with PyTorch"


@only_own_errors
def export_bundle(
    checkpoint: Checkpoint,
    out: str | Path,
    *,
    precision: str = "fp32",
    limits: Limits | None = None,
    int8_calibration: Int8Calibration | None = None,
    questions: Sequence[Question] | None = None,
    defaults: RunDefaults | None = None,
    engines: Sequence[EngineSet] = (),
    progress: Progress = lambda what, done, total: None,
) -> tuple[Manifest, Parity]:
    """Export a model to a bundle, measure its parity with PyTorch, and put it at `out` in one step.

    Args:
        checkpoint: from load_checkpoint
        out: the directory; an older bundle there is replaced
        precision: of the graphs, one of PRECISIONS; below fp32, softmax, LayerNorm, head and predictors stay fp32
        limits: how far the bundle may be from PyTorch in fp32; default: EXACT for fp32, else COARSE
        int8_calibration: for int8, the questions on which activations are measured; default: 100 of SQuAD's dev set
        questions: real questions to measure parity on; default: 32 of SQuAD's dev set, 200 below fp32
        defaults: how the bundle's questions are run unless a call says otherwise; default: windows of the model's
            max_seq_len
        engines: the sets of engines that TensorRT is to compile, see `backends.tensorrt_engine.make_set`
        progress: called before each step and after the last

    Returns:
        The manifest and the parity.

    Raises:
        BundleError: `out` is something else than a bundle, or TensorRT refuses a graph.
        DiskFullError: there is no room for the bundle; `out` is as it was.
        InputError: there is no such precision, or a question cannot be run.
        ParityError: the results of the graphs are too far from PyTorch's; `out` is as it was.

    Example:
        >>> from bskim_export import load_checkpoint
        >>> export_bundle(load_checkpoint("examples/minilm-l6-squad"), "engines")  # doctest: +SKIP
    """
    out = Path(out)
    check_target(out)
    if precision not in PRECISIONS:
        raise InputError(f"There is no precision '{precision}'. Choose one of: {', '.join(PRECISIONS)}.")
    check_split(checkpoint.model, precision, engines)
    if questions is None:
        questions = sample(
            load_squad("squad"), PARITY_QUESTIONS if precision == "fp32" else PARITY_QUESTIONS_BELOW_FP32
        )
    require_questions(questions)
    room = f"the bundle in '{out.resolve().parent}', which takes about {_megabytes(checkpoint, precision, engines)} MB"
    with (
        full_disk_as_error(room, "Free some, or choose another --out."),
        atomic_directory(out) as folder,
    ):
        bundle = _write(checkpoint, folder, progress, precision, int8_calibration, defaults)
        parity = _measure(bundle, checkpoint, questions, progress)
        require_parity(parity, limits or limits_for(precision))
        options = RunOptions.resolve(bundle.manifest.defaults, bundle.model.max_seq_len)
        evidence = {"reference": f"torch {torch.__version__}, eager", "options": asdict(options), **parity.as_dict()}
        bundle.write_report("parity", evidence)
        # Engines come last: they take longest, and a bundle that is refused needs none.
        built = [build_all(bundle, e, partial(progress, f"Compiling for {e.compute_capability}")) for e in engines]
        bundle = Bundle.create(folder, replace(bundle.manifest, engines=built))
    return bundle.manifest, parity  # not read from `out` again: another export may have replaced it by now


def _measure(bundle: Bundle, checkpoint: Checkpoint, questions: Sequence[Question], progress: Progress) -> Parity:
    # ONNX Runtime has no bfloat16 on the CPU.
    backend = open_backend("torch" if bundle.manifest.precision == "bf16" else "onnxruntime")
    pipeline = QAPipeline(bundle, backend=backend)
    done = count(1)
    progress(MEASURING_PARITY, 0, len(questions))
    measure = measure_parity if bundle.manifest.split is None else measure_split_parity
    parity = measure(
        pipeline, checkpoint.model, questions, lambda: progress(MEASURING_PARITY, next(done), len(questions))
    )
    if bundle.manifest.graphs_alone and bundle.manifest.split is None:
        # What was compared with PyTorch are the graphs of one window; others run batches, and stages one by one.
        ours = pipeline.answerer()
        for answerer in (ours, replace(ours, policy=None)):
            require_same(answerer, Orchestrator(bundle, backend), questions)
    return parity


def _megabytes(checkpoint: Checkpoint, precision: str, engines: Sequence[EngineSet]) -> int:
    """Return about how many megabytes a bundle takes.

    INT8 counts two bytes for a weight, because embeddings stay fp32. Each set of engines holds all weights once more.
    """
    weights = sum(p.numel() for p in checkpoint.model.parameters()) * (4 if precision == "fp32" else 2)
    return round((weights * (1 + len(engines)) + len(checkpoint.tokenizer)) / 1e6) + 1


def _write(
    checkpoint: Checkpoint,
    folder: Path,
    progress: Progress,
    precision: str,
    int8_calibration: Int8Calibration | None,
    defaults: RunDefaults | None,
) -> Bundle:
    """Write tokenizer, graphs, weights and manifest into an empty folder."""
    description = checkpoint.describe()  # refuses a tokenizer that does not fit, before anything slow
    (folder / "onnx").mkdir()
    (folder / TOKENIZER).write_text(checkpoint.tokenizer, encoding="utf-8")
    stats: Mapping[int, ActivationStats] = {}
    if precision == "int8":
        stats = _measure_activations(checkpoint, int8_calibration or Int8Calibration.of(Int8Recipe()), progress)
    model = in_precision(checkpoint.model, precision)
    layers = list(model.skim.layers)
    hidden = next(model.backbone.parameters()).dtype
    with WeightStore(folder / WEIGHTS) as store:
        writer = GraphWriter(folder, store, precision, stats)
        split = model.skim.split_layer is not None
        total = len(layers) * 2 + 2 + 2 * split  # a stage and a predictor for each, the last stage, the dense model

        def write(kind: tuple[object, ...], module: nn.Module, outputs: Sequence[str], file: str) -> Graph:
            progress(EXPORTING, writer.written, total)
            names = list(inspect.signature(module.forward).parameters)
            examples = example_inputs(names, description, hidden)
            written = writer.write(kind, module, examples, tuple(outputs), file)
            return Graph(
                file,
                specify_all(written.inputs, description, precision),
                specify_all(written.outputs, description, precision),
                written.symmetric,
            )

        # Of a split model, its lower layers. The stages are the upper ones then.
        step = lambda: progress(EXPORTING, writer.written, total)  # noqa: E731
        lower = write_lower(model, description, writer, step) if split else None
        # Each stage, and behind all but the last its predictor.
        stages = []
        for i, (stage, skim_layer) in enumerate(zip(make_stages(model), [*layers, None], strict=True)):
            graph = write(_kind(stage), stage, stage.outputs, stage_file(i))
            skim = None
            if skim_layer is not None:
                predictor = model.predictor(skim_layer).export_form()
                skim = write(("skim",), predictor, PREDICTOR_OUTPUTS, predictor_file(skim_layer))
            stages.append(Stage(graph, list(stage.cut.layers), skim_layer, skim))
        # The same model as one graph. Without predictors the only stage is that already.
        dense = stages[0].graph
        if layers:
            whole = make_dense(model)
            dense = write(("dense",), whole, whole.outputs, READ if split else DENSE)
    progress(EXPORTING, total, total)
    manifest = Manifest(
        model=description,
        dense=dense,
        stages=stages,
        thresholds={i: float(t) for i, t in zip(layers, model.skim.thresholds, strict=True)},
        document_thresholds=dict(zip(layers, map(float, model.skim.document_thresholds), strict=False)),
        defaults=defaults or RunDefaults.of_length(description.max_seq_len, checkpoint.model.skim.window_scale),
        precision=precision,
        split=lower,
        files={},
        versions={
            "bskim-export": bskim_export.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "onnx", "onnxscript")},
        },
    )
    # The graphs of one window; then the manifest, which has the hash of every other file.
    if precision in CPU_PRECISIONS:
        manifest = write_alone(folder, manifest)
    written = [WEIGHTS, TOKENIZER, *writer.files, *(graph.file for graph in manifest.graphs_alone)]
    return Bundle.create(folder, replace(manifest, files={name: hash_file(folder / name) for name in written}))


def _kind(stage: StageModule) -> tuple[object, ...]:
    """Return the same for all stages that differ in their weights only."""
    return (type(stage), stage.cut.leaves, sharing(stage))


def _measure_activations(
    checkpoint: Checkpoint, calibration: Int8Calibration, progress: Progress
) -> dict[int, ActivationStats]:
    """Run the model over the windows of the calibration's questions, at the bundle's window length."""
    model = checkpoint.describe()
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), model)
    options = RunOptions.of_length(model.max_seq_len)
    questions = usable(calibration.questions, maker, options)
    windows = [w for q in questions for w in maker(q.question, q.context, options.max_seq_len, options.doc_stride)]
    done = count(1)
    return measure_activations(
        checkpoint.model,
        windows,
        calibration.method,
        lambda: progress(MEASURING_ACTIVATIONS, next(done), 2 * len(windows)),
    )

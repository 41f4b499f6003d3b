"""From a model to a proven bundle."""

import inspect
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path

import torch
from tokenizers import Tokenizer

import bskim_export
from bskim_export.backends.catalogue import open_backend
from bskim_export.backends.tensorrt_engine import build_all
from bskim_export.bundle import (
    REPORT,
    TOKENIZER,
    EngineSet,
    Graph,
    Manifest,
    Stage,
    hash_file,
    read_manifest,
    write_manifest,
)
from bskim_export.checkpoint import Checkpoint
from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError
from bskim_export.export.cpu_forms import split_layer_norms
from bskim_export.export.files import atomic_directory, check_target
from bskim_export.export.half_products import halve_products
from bskim_export.export.observe import Calibration, Observed, observe
from bskim_export.export.onnx_graph import GraphTemplate, Input, dims, export_template, sharing
from bskim_export.export.precision import PRECISIONS, in_precision
from bskim_export.export.quantize import variants
from bskim_export.export.stages import make_dense, make_stages
from bskim_export.export.verify import Limits, Parity, check, compare, limits_for
from bskim_export.export.weights import NAME as WEIGHTS
from bskim_export.export.weights import WeightStore
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.windows import WindowMaker
from bskim_export.whole import no_room

Progress = Callable[[str, int, int], None]
"""progress(what is being done, how much of it is done, out of how much)"""


def export_bundle(
    checkpoint: Checkpoint,
    out: str | Path,
    *,
    precision: str = "fp32",
    limits: Limits | None = None,
    calibration: Calibration | None = None,
    questions: Sequence[Question] | None = None,
    engines: Sequence[EngineSet] = (),
    progress: Progress = lambda what, done, total: None,
) -> tuple[Manifest, Parity]:
    """Export a model to a bundle, prove it against PyTorch, and put it at `out` in one step.

    Args:
        checkpoint: what load_checkpoint returned
        out: the directory; an older bundle there is replaced
        precision: of the graphs, one of PRECISIONS; below fp32, softmax, LayerNorm, head and predictors stay fp32
        limits: how far the bundle may be from PyTorch in fp32; default: EXACT for fp32, else COARSE
        calibration: for int8, the questions that show what values the model computes with; default: 100 of SQuAD's dev
            set
        questions: real questions for the proof; default: 32 of SQuAD's dev set, 200 below fp32
        engines: what TensorRT is to compile, see `backends.tensorrt_engine.make_set`
        progress: told how far it is

    Raises:
        BundleError: `out` is something else than a bundle, or TensorRT refuses a graph.
        DiskFullError: there is no room for the bundle; `out` is as it was.
        InputError: there is no such precision.
        ParityError: the graphs do not do what PyTorch does; `out` is as it was.

    Example:
        >>> from bskim_export import load_checkpoint
        >>> export_bundle(load_checkpoint("examples/minilm-l6-squad"), "engines")  # doctest: +SKIP
    """
    out = Path(out)
    check_target(out)
    if precision not in PRECISIONS:
        raise InputError(f"There is no precision '{precision}'. Choose one of: {', '.join(PRECISIONS)}.")
    exact = precision == "fp32"
    questions = questions if questions is not None else sample(load_squad("squad"), 32 if exact else 200)
    if precision == "int8" and calibration is None:
        calibration = Calibration(sample(load_squad("squad"), 100, seed=7))
    room = f"the bundle in '{out.resolve().parent}', which takes about {_megabytes(checkpoint, precision, engines)} MB"
    with no_room(room, "Free some, or choose another --out."), atomic_directory(out) as folder:
        _write(checkpoint, folder, progress, precision, calibration)
        # ONNX Runtime has no bfloat16 on the CPU
        pipeline = QAPipeline(folder, backend=open_backend("torch" if precision == "bf16" else "onnxruntime"))
        done = 0
        progress("Comparing with PyTorch", 0, len(questions))

        def step():
            nonlocal done
            done += 1
            progress("Comparing with PyTorch", done, len(questions))

        parity = compare(pipeline, checkpoint.model, questions, step)
        check(parity, limits or limits_for(precision))
        report = {"parity": {"reference": f"torch {torch.__version__}, eager", **parity.as_dict()}}
        (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        manifest = replace(read_manifest(folder), engines=list(engines))
        for one in engines:
            build_all(folder, manifest, one, partial(progress, f"Compiling for {one.compute_capability}"))
        write_manifest(folder, manifest)
    return manifest, parity  # not read from `out` again: another export may have replaced it by now


def _megabytes(checkpoint: Checkpoint, precision: str, engines: Sequence[EngineSet]) -> int:
    """Return about what a bundle takes. In INT8, embeddings stay fp32; an engine holds its weights once more."""
    weights = sum(p.numel() for p in checkpoint.model.parameters()) * (4 if precision == "fp32" else 2)
    return round((weights * (1 + len(engines)) + len(checkpoint.tokenizer)) / 1e6) + 1


def _write(
    checkpoint: Checkpoint, folder: Path, progress: Progress, precision: str, calibration: Calibration | None
) -> None:
    model = in_precision(checkpoint.model, precision)
    description = checkpoint.describe()
    (folder / "onnx").mkdir()
    (folder / TOKENIZER).write_text(checkpoint.tokenizer, encoding="utf-8")
    stages, total = make_stages(model), len(model.skim.layers) * 2 + 2
    graphs, files = [], [f"onnx/{WEIGHTS}", TOKENIZER]
    templates: dict[tuple, dict[str, GraphTemplate]] = {}
    observed = _observe(checkpoint, calibration, progress) if precision == "int8" else {}

    def write(kind: tuple, module: torch.nn.Module, inputs: dict[str, Input], outputs: tuple, name: str) -> Graph:
        progress("Exporting to ONNX", len(graphs), total)
        if kind not in templates:
            template = export_template(module, inputs, outputs)
            if precision in ("fp32", "int8"):  # the others are for GPUs, which have a kernel for LayerNormalization
                split_layer_norms(template.model)
            elif precision == "fp16":
                halve_products(template.model)
            templates[kind] = variants(template, module, observed)
        written = []
        for suffix, template in templates[kind].items():
            written.append(f"onnx/{name}{suffix}.onnx")
            template.write(module, folder / written[-1], store)
        files.extend(written)
        graphs.append(Graph(written[0], template.inputs, template.outputs, *written[1:]))
        return graphs[-1]

    with WeightStore(folder / "onnx") as store:
        entries = []
        for i, (stage, skim_layer) in enumerate(zip(stages, [*model.skim.layers, None], strict=True)):
            kind = (type(stage), stage.cut.leaves, sharing(stage))
            graph = write(kind, stage, example_inputs(stage, model), stage.outputs, f"stage_{i:02d}")
            skim = None
            if skim_layer is not None:
                predictor = model.predictors[str(skim_layer)].export_form()
                inputs = example_inputs(predictor, model)
                skim = write(("skim",), predictor, inputs, ("keep_probability",), f"skim_{skim_layer:02d}")
            entries.append(Stage(graph, list(stage.cut.layers), skim_layer, skim))
        if model.skim.layers:
            dense_stage = make_dense(model)
            dense = write(("dense",), dense_stage, example_inputs(dense_stage, model), dense_stage.outputs, "dense")
        else:
            dense = entries[0].graph
    write_manifest(
        folder,
        Manifest(
            model=description,
            dense=dense,
            stages=entries,
            thresholds={str(i): t for i, t in zip(model.skim.layers, model.skim.thresholds, strict=True)},
            precision=precision,
            files={name: hash_file(folder / name) for name in files},
            versions={
                "bskim-export": bskim_export.__version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "transformers", "onnx", "onnxscript")},
            },
        ),
    )
    progress("Exporting to ONNX", total, total)


def _observe(checkpoint: Checkpoint, calibration: Calibration, progress: Progress) -> dict[int, Observed]:
    model = checkpoint.describe()
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), model)
    stride = min(128, model.max_seq_len // 2)
    windows = [w for q in calibration.questions for w in maker(q.question, q.context, model.max_seq_len, stride)]
    done = count()

    def step():
        progress("Observing for INT8", next(done) + 1, 2 * len(windows))

    return observe(checkpoint.model, windows, calibration.method, step)


def example_inputs(module: torch.nn.Module, model: BlockSkimForQuestionAnswering) -> dict[str, Input]:
    """Return examples of what a stage or a predictor takes, by the names of its forward's arguments: 7 live blocks of
    9, two windows on a grid of width 4, 5 passage blocks."""
    size, shape = model.skim.block_size, model.family.shape(model.family.layers(model.backbone)[0])
    blocks, blocks_in, windows, width, probes = 7, 9, 2, 4, 5
    dtype = next(model.backbone.parameters()).dtype
    rows = torch.arange(probes * shape.num_heads * size).reshape(probes, -1, size)
    examples = {
        **{name: torch.ones(blocks, size, dtype=torch.long) for name in ("input_ids", "position_ids")},
        "token_type_ids": torch.zeros(blocks, size, dtype=torch.long),
        "last_context": torch.rand(blocks_in + 2, size, shape.context_size, dtype=dtype),
        "last_residual": torch.rand(blocks_in, size, shape.hidden_size, dtype=dtype),
        **{name: torch.arange(blocks) for name in ("keep_cells", "keep", "back")},
        "table": torch.zeros(windows, width, dtype=torch.long),
        "mask": torch.zeros(windows, width * size),
        "probe": rows % (windows * shape.num_heads * width**2 * size),
        "diagonal": torch.rand(probes, shape.num_heads, size, size),
        "context": torch.rand(windows * width, size, shape.context_size, dtype=dtype),
        "residual": torch.rand(blocks, size, shape.hidden_size, dtype=dtype),
        "passage": torch.ones(windows, width * size),
        "asked": torch.zeros(windows, 3, dtype=torch.long),
        "question": torch.ones(windows, 3 * size),
        "scored": torch.arange(probes),
    }
    axes = dims(size)
    return {name: Input(examples[name], axes[name]) for name in inspect.signature(module.forward).parameters}

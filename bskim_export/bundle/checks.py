"""Whether the parts of a manifest fit each other and the table of tensors. Standard library only.

A manifest of the right types can still be wrong: a stage that is missing, a threshold for a layer without a predictor,
a number that no model has. What is caught here has a name and a place; what is left would be an error of an engine, or
a wrong answer.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from bskim_export.bundle import single_graph, tensors
from bskim_export.bundle.cpu_checks import cpu_faults
from bskim_export.bundle.manifest import WINDOW_SCALES, EngineSet, Graph, Manifest, Model
from bskim_export.bundle.manifest_file import REBUILD
from bskim_export.bundle.split_graph import split_faults
from bskim_export.errors import BundleError

WEIGHTS = "onnx/weights.bin"
TOKENIZER = "tokenizer.json"
DENSE = "onnx/dense.onnx"
READ = "onnx/read.onnx"
"""The dense model's name in a bundle of a split one: it holds the upper layers only."""
LARGEST = 1 << 24
"""No size of a model is larger; what is would only ask for memory."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENGINE_BACKENDS = ("tensorrt", "tensorrt-rtx")
_COMPUTE_CAPABILITY = re.compile(r"[0-9]{1,3}\.[0-9]{1,2}", re.ASCII)
_ENGINE_FILE = re.compile(r"[a-z0-9_.]{1,40}\.engine", re.ASCII)
_SIZES = (
    "num_layers",
    "hidden_size",
    "intermediate_size",
    "num_heads",
    "head_size",
    "embedding_size",
    "block_size",
    "max_seq_len",
)
_IDS = ("type_vocab_size", "pad_token_id", "predictor_macs", "predictor_question_macs", "position_offset")


def stage_file(index: int) -> str:
    """Return the name of a stage's graph in a bundle."""
    return f"onnx/stage_{index:02d}.onnx"


def predictor_file(layer: int) -> str:
    """Return the name of a predictor's graph in a bundle."""
    return f"onnx/skim_{layer:02d}.onnx"


def symmetric_file(file: str) -> str:
    """Return the name of the standard form of an INT8 graph.

    Example:
        >>> symmetric_file("onnx/stage_00.onnx")
        'onnx/stage_00.symmetric.onnx'
    """
    return f"{file.removesuffix('.onnx')}.symmetric.onnx"


def check_manifest(manifest: Manifest, where: str) -> None:
    """Raise BundleError, naming file and field, unless all parts of a manifest fit each other.

    Args:
        where: the file's name, for errors
    """
    for place, fault in _faults(manifest):
        raise BundleError(f"{where}: {place}: {fault}. {REBUILD}")


Fault = tuple[str, str]
"""The field that is wrong, and what is wrong with it."""


def _faults(manifest: Manifest) -> Iterator[Fault]:
    """Yield what is wrong, in an order in which each check may rely on those before it."""
    yield from _model_faults(manifest.model)
    if manifest.precision not in tensors.HIDDEN_DTYPES:
        yield "precision", f"expected one of {', '.join(tensors.HIDDEN_DTYPES)}, found '{manifest.precision[:40]}'"
    yield from _default_faults(manifest)
    yield from split_faults(manifest)
    yield from _stage_faults(manifest)
    yield from _alone_faults(manifest)
    yield from _threshold_faults(manifest)
    yield from _file_faults(manifest)
    for i, engines in enumerate(manifest.engines):
        yield from _engine_faults(engines, f"engines[{i}]")
    yield from cpu_faults(manifest)


def _model_faults(model: Model) -> Iterator[Fault]:
    for name in _SIZES:
        if not 1 <= getattr(model, name) <= LARGEST:
            yield f"model: {name}", f"expected 1 to {LARGEST}, found {_short(getattr(model, name))}"
    for name in _IDS:
        if not 0 <= getattr(model, name) < 1 << 62:
            yield f"model: {name}", f"expected 0 or more, found {_short(getattr(model, name))}"
    if model.cls_token_id is not None and not 0 <= model.cls_token_id <= LARGEST:
        yield "model: cls_token_id", f"expected 0 to {LARGEST}, found {_short(model.cls_token_id)}"
    if model.position_offset > model.max_seq_len or model.type_vocab_size > LARGEST or model.pad_token_id > LARGEST:
        yield "model", "position_offset, type_vocab_size or pad_token_id is larger than any model's"
    if model.pad_position not in (None, model.position_offset - 1) or model.pad_position == -1:
        yield (
            "model: pad_position",
            (
                f"expected null or the position before position_offset {model.position_offset}, found "
                f"{_short(model.pad_position)}"
            ),
        )
    if model.block_size > model.max_seq_len:
        yield "model: block_size", f"{model.block_size} is more than max_seq_len {model.max_seq_len}"


def _default_faults(manifest: Manifest) -> Iterator[Fault]:
    defaults = manifest.defaults
    limit = manifest.model.max_seq_len
    if not 1 <= defaults.max_seq_len <= limit:
        yield "defaults: max_seq_len", f"expected 1 to the model's {limit}, found {_short(defaults.max_seq_len)}"
    if not 0 <= defaults.doc_stride < defaults.max_seq_len:
        yield (
            "defaults: doc_stride",
            (f"expected 0 up to but not max_seq_len {defaults.max_seq_len}, found {_short(defaults.doc_stride)}"),
        )
    if not 1 <= defaults.max_answer_len <= LARGEST:
        yield "defaults: max_answer_len", f"expected at least 1, found {_short(defaults.max_answer_len)}"
    if defaults.window_scale not in WINDOW_SCALES:
        yield (
            "defaults: window_scale",
            f"expected one of {', '.join(WINDOW_SCALES)}, found '{defaults.window_scale[:40]}'",
        )


def _stage_faults(manifest: Manifest) -> Iterator[Fault]:
    stages = manifest.stages
    num_layers = manifest.model.num_layers
    if not stages:
        yield "stages", "there is none"
    # Layers: all of the model's, once each, a predictor behind every stage but the last.
    covered: list[int] = []
    for i, stage in enumerate(stages):
        last = i == len(stages) - 1
        covered += stage.layers
        if last and (stage.skim_layer is not None or stage.skim is not None):
            yield f"stages[{i}]", "no predictor follows the last stage, but this one names skim or skim_layer"
        if not last and (stage.skim_layer is None or stage.skim is None):
            yield f"stages[{i}]", "skim and skim_layer are both needed, of every stage but the last"
        if not last and (not stage.layers or stage.layers[-1] != stage.skim_layer):
            yield f"stages[{i}]: skim_layer", f"expected the last of layers {_short(stage.layers)}"
        if len(covered) > num_layers:
            break
    first_layer = 0 if manifest.split is None else manifest.split.layer
    if covered != list(range(first_layer, num_layers)):
        yield (
            "stages",
            f"their layers are not {first_layer} to {num_layers - 1}, once each and in order: {_short(covered)}",
        )
    # Graphs: named by their place, with the tensors that such a stage or predictor has.
    first = tensors.FIRST_STAGE_INPUTS if manifest.split is None else tensors.READING_INPUTS
    for i, stage in enumerate(stages):
        inputs: Sequence[str] = tensors.LATER_STAGE_INPUTS if i else first
        outputs: Sequence[Sequence[str]] = (tensors.STAGE_OUTPUTS[:2], tensors.STAGE_OUTPUTS)
        if i == len(stages) - 1:
            outputs = (tensors.LOGITS,)
        yield from _graph_faults(manifest, stage.graph, f"stages[{i}]: graph", stage_file(i), inputs, outputs)
        if stage.skim is not None and stage.skim_layer is not None:
            place = f"stages[{i}]: skim"
            file = predictor_file(stage.skim_layer)
            gives = (tensors.PREDICTOR_OUTPUTS,)
            yield from _graph_faults(manifest, stage.skim, place, file, tensors.PREDICTOR_INPUTS, gives)
            fed = {*stage.graph.output_names, *tensors.PREDICTOR_INPUTS} - (
                set(tensors.STAGE_OUTPUTS) - set(stage.graph.output_names)
            )
            if missing := [name for name in stage.skim.input_names if name not in fed]:
                yield f"{place}: inputs", f"the stage before it gives no {', '.join(missing)}"
    dense = DENSE if manifest.split is None else READ
    file = dense if len(stages) > 1 else stage_file(0)  # without predictors, the one stage is the whole model
    yield from _graph_faults(manifest, manifest.dense, "dense", file, first, (tensors.LOGITS,))


def _graph_faults(
    manifest: Manifest,
    graph: Graph,
    place: str,
    file: str,
    inputs: Sequence[str],
    outputs: Sequence[Sequence[str]],
) -> Iterator[Fault]:
    """Yield what is wrong with a graph.

    Args:
        file: what it must be called
        inputs: those that it may have, in their order
        outputs: the outputs that it may have, all of one of these
    """
    if graph.file != file:
        yield f"{place}: file", f"expected '{file}', found '{graph.file[:80]}'"
    if graph.symmetric is not None and (manifest.precision != "int8" or graph.symmetric != symmetric_file(file)):
        yield f"{place}: symmetric", f"expected null, or '{symmetric_file(file)}' in an INT8 bundle"
    names = graph.input_names
    if not names or names != [name for name in inputs if name in names]:
        yield f"{place}: inputs", f"expected some of {', '.join(inputs)}, in this order, found {_short(names)}"
    if graph.output_names not in [list(one) for one in outputs]:
        yield f"{place}: outputs", f"expected {', '.join(outputs[-1])}, found {_short(graph.output_names)}"
    for what, specs in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        for i, found in enumerate(specs):
            expected = tensors.specify(found.name, manifest.model, manifest.precision)
            if found != expected:
                yield (
                    f"{place}: {what}[{i}]",
                    (
                        f"'{found.name}' should be {expected.dtype} {_short(expected.axes)}, found {found.dtype[:20]} "
                        f"{_short(found.axes)}"
                    ),
                )


def _alone_faults(manifest: Manifest) -> Iterator[Fault]:
    """Yield what is wrong with the graphs of one window: they come together, but for a model without predictors."""
    precision, layers = manifest.precision, len(manifest.skim_layers)
    dense = (single_graph.dense_input_specs(manifest.dense.inputs), manifest.dense.outputs)
    skim = (single_graph.input_specs(layers), single_graph.output_specs(layers))
    for place, graph, file, (inputs, outputs) in (
        ("single", manifest.single, single_graph.FILE, skim),
        ("dense_alone", manifest.dense_alone, single_graph.DENSE_FILE, dense),
    ):
        if graph is None:
            continue
        if precision not in single_graph.CPU_PRECISIONS:
            yield place, f"a bundle in {precision} has no graph of one window"
        if graph.file != file or graph.symmetric is not None:
            yield f"{place}: file", f"expected '{file}' in one form, found '{graph.file[:80]}'"
        if graph.inputs != inputs:
            yield f"{place}: inputs", "they are not those of the model's graph of one window"
        if graph.outputs != outputs:
            yield f"{place}: outputs", "they are not those of the model's graph of one window"
    if manifest.single is not None and (not layers or manifest.split is not None):
        yield "single", "a bundle without predictors, or of a split model, has no such graph"
    if (manifest.single is None) != (manifest.dense_alone is None) and layers and manifest.split is None:
        yield "dense_alone", "the graphs of one window are there both, or none of them is"


def _threshold_faults(manifest: Manifest) -> Iterator[Fault]:
    expected = set(manifest.skim_layers)
    sets = {"thresholds": manifest.thresholds}
    if manifest.document_thresholds:
        sets["document_thresholds"] = manifest.document_thresholds
    for name, thresholds in sets.items():
        for layer in sorted(thresholds.keys() - expected):
            yield f"{name}: {layer}", f"no predictor follows layer {layer}; some follow {sorted(expected)}"
        for layer in sorted(expected - thresholds.keys()):
            yield name, f"there is none for layer {layer}"
        for layer, value in thresholds.items():
            if not 0 <= value <= 1:
                yield f"{name}: {layer}", f"expected 0 to 1, found {value}"


def _file_faults(manifest: Manifest) -> Iterator[Fault]:
    loaded = {WEIGHTS, TOKENIZER}
    for graph in [*manifest.graphs, *manifest.graphs_alone]:
        loaded |= {graph.file, graph.standard}
    for name in sorted(loaded - manifest.files.keys()):
        yield "files", f"'{name}' is not listed, but the bundle needs it"
    for name, digest in manifest.files.items():
        path = PurePosixPath(name)
        if name not in loaded or path.is_absolute() or ".." in path.parts:
            yield "files", f"'{name[:80]!s}' is no file of a bundle"
        if not _SHA256.fullmatch(digest):
            yield f"files: {name}", "expected a SHA-256 in 64 hexadecimal digits"


def _engine_faults(engines: EngineSet, place: str) -> Iterator[Fault]:
    if engines.backend not in _ENGINE_BACKENDS:
        yield f"{place}: backend", f"expected one of {', '.join(_ENGINE_BACKENDS)}, found '{engines.backend[:40]}'"
    if not _COMPUTE_CAPABILITY.fullmatch(engines.compute_capability):
        yield (
            f"{place}: compute_capability",
            f"expected two numbers like 8.9, found '{engines.compute_capability[:40]}'",
        )
    for name in ("batch_size", "length"):
        values = getattr(engines, name)
        if len(values) != 2 or not 1 <= values[0] <= values[1] <= LARGEST:
            yield f"{place}: {name}", f"expected the usual number and the most, found {_short(values)}"
    for name, digest in engines.files.items():
        if not _ENGINE_FILE.fullmatch(name) or not _SHA256.fullmatch(digest):
            yield f"{place}: files", f"expected the SHA-256 of an engine, by its name, found {_short({name: digest})}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]}..."

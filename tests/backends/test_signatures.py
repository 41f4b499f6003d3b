"""The inputs and outputs of graphs: those in the files are those in the manifest, or the file is refused."""

import shutil
from dataclasses import replace

import onnx
import pytest
from support import SHAPE, make_model, usual
from tokenizers import Tokenizer
from transformers import BertConfig

from bskim_export import export_bundle
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.integrity import hash_file
from bskim_export.bundle.tensors import TensorSpec
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import sample
from bskim_export.errors import BundleError
from bskim_export.export.int8.recipe import Int8Calibration
from bskim_export.export.parity import UNJUDGED

HERE = [name for name, e in CATALOGUE.items() if e.device == "CPU" and e.installed]
DTYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.INT64: "int64",
}
PREDICTORS = {"fp32": "diagonal", "fp16": "question", "bf16": "diagonal", "int8": "question"}
"""The predictor of each precision's bundle: between them, all tensors of the table cross some boundary."""


@pytest.fixture(scope="module", params=usual(PREDICTORS, ["bf16", "fp16"]))
def bundle(request, tiny_bundle, wordpiece, squad, tmp_path_factory) -> Bundle:
    """A bundle of random weights in each precision: first and later stages, predictors and the dense model."""
    predictor = PREDICTORS[request.param]
    if request.param == "fp32":
        return Bundle.open(tiny_bundle("bert", (0, 1, 2), predictor))
    config = BertConfig(**SHAPE | {"num_hidden_layers": 2})
    model = make_model(config, (0,), predictor=predictor)
    checkpoint = Checkpoint(model, Tokenizer.from_str(wordpiece).to_str(), "tiny")
    out = tmp_path_factory.mktemp("signatures") / request.param
    questions = sample(squad, 1)
    export_bundle(
        checkpoint,
        out,
        precision=request.param,
        limits=UNJUDGED,
        int8_calibration=Int8Calibration(questions),
        questions=questions,
    )
    return Bundle.open(out)


def spec_in_file(value: onnx.ValueInfoProto) -> TensorSpec:
    """Return a graph's input or output as the manifest would have it."""
    tensor = value.type.tensor_type
    return TensorSpec(value.name, DTYPES[tensor.elem_type], [axis_in_file(dim) for dim in tensor.shape.dim])


def axis_in_file(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    """Return an axis. The exporter writes products in an order of its own, and those of two dynamic axes in full."""
    if dim.HasField("dim_value"):
        return dim.dim_value
    factors = dim.dim_param.split("*")
    if sorted(factors) == ["width", "windows"]:
        return "cells"
    return " * ".join(sorted(factors, key=str.isdigit))


def test_types_and_shapes_in_every_file_are_those_of_the_manifest(bundle):
    seen = set()
    for graph in bundle.manifest.graphs:
        for file in {graph.file, graph.standard}:
            found = onnx.load(bundle.path(file), load_external_data=False).graph
            assert [spec_in_file(v) for v in found.input] == graph.inputs, file
            assert [spec_in_file(v) for v in found.output] == graph.outputs, file
        seen |= {spec.dtype for spec in graph.inputs + graph.outputs}
    half = {"fp16": {"float16"}, "bf16": {"bfloat16"}}.get(bundle.manifest.precision, set())
    assert seen == {"int64", "float32"} | half


def rename_input(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        node.input[:] = ["padding" if name == "mask" else name for name in node.input]
    (mask,) = [value for value in graph.input if value.name == "mask"]
    mask.name = "padding"


def add_input(graph: onnx.GraphProto) -> None:
    graph.input.append(onnx.helper.make_tensor_value_info("extra", onnx.TensorProto.FLOAT, ["blocks"]))
    graph.node.append(onnx.helper.make_node("Identity", ["extra"], ["unused"]))


def rename_output(graph: onnx.GraphProto) -> None:
    graph.node.append(onnx.helper.make_node("Identity", [graph.output[0].name], ["attended"]))
    graph.output[0].name = "attended"


def add_output(graph: onnx.GraphProto) -> None:
    graph.node.append(onnx.helper.make_node("Identity", ["mask"], ["same_mask"]))
    graph.output.append(onnx.helper.make_tensor_value_info("same_mask", onnx.TensorProto.FLOAT, ["windows", None]))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (rename_input, r"the inputs .*padding.*manifest\.json says .*mask"),
        (add_input, r"the inputs .*extra"),
        (rename_output, r"the outputs attended.*manifest\.json says context"),
        (add_output, r"the outputs .*same_mask"),
    ],
)
@pytest.mark.parametrize("name", HERE)
def test_a_file_of_another_signature_than_the_manifests_is_refused(name, change, fault, tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    graph = Bundle.open(folder).manifest.stages[0].graph
    changed = onnx.load(folder / graph.file, load_external_data=False)
    change(changed.graph)
    onnx.save(changed, folder / graph.file)
    manifest = Bundle.open(folder, verify=False).manifest
    files = {**manifest.files, graph.file: hash_file(folder / graph.file)}
    bundle = Bundle.create(folder, replace(manifest, files=files))  # with its hash: a fault that only a load can see
    with pytest.raises(BundleError, match=rf"stage_00\.onnx' has {fault}.*not of one export"):
        open_backend(name, threads=2).load(bundle, graph)
    assert open_backend(name, threads=2).load(bundle, bundle.manifest.dense) is not None

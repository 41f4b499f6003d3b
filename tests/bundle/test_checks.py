"""Parts of a manifest that do not fit each other are refused by name, whatever their types."""

import copy
import dataclasses

import pytest
from bundle_parts import small_manifest

from bskim_export.bundle import single_graph
from bskim_export.bundle.checks import check_manifest
from bskim_export.bundle.manifest import EngineSet, Graph, Manifest
from bskim_export.bundle.tensors import TensorSpec
from bskim_export.errors import BundleError


def spoiled(how) -> Manifest:
    """Return a manifest that was changed in place; its dataclasses are frozen only on the outside."""
    manifest = copy.deepcopy(small_manifest())
    how(manifest)
    return manifest


def put(owner, **values) -> None:
    for name, value in values.items():
        object.__setattr__(owner, name, value)


def test_a_manifest_whose_parts_fit_passes():
    check_manifest(small_manifest(), "manifest.json")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: put(m.model, num_heads=0), "model: num_heads: expected 1 to"),
        (lambda m: put(m.model, block_size=10**30), "model: block_size: expected 1 to"),
        (lambda m: put(m.model, block_size=400), "model: block_size: 400 is more than max_seq_len 384"),
        (lambda m: put(m.model, pad_token_id=-1), "model: pad_token_id: expected 0 or more, found -1"),
        (lambda m: put(m.model, position_offset=-1), "model: position_offset: expected 0 or more, found -1"),
        (lambda m: put(m.model, pad_position=5), "model: pad_position: expected null or the position before"),
        (lambda m: put(m.model, cls_token_id=-7), "model: cls_token_id: expected 0 to"),
        (lambda m: put(m, precision="fp8"), "precision: expected one of fp32"),
        (lambda m: put(m.defaults, max_seq_len=385), "defaults: max_seq_len: expected 1 to the model's 384, found 385"),
        (lambda m: put(m.defaults, doc_stride=384), "defaults: doc_stride"),
        (lambda m: put(m.defaults, max_answer_len=0), "defaults: max_answer_len: expected at least 1"),
        (lambda m: put(m.defaults, window_scale="x"), "defaults: window_scale: expected one of null, logits, window"),
        (lambda m: m.stages.clear(), "stages: there is none"),
        (lambda m: m.stages.reverse(), r"stages\[0\]"),
        (lambda m: m.stages[0].layers.append(1), r"stages\[0\]: skim_layer: expected the last of layers"),
        (lambda m: m.stages[1].layers.append(1), r"stages: their layers are not 0 to 1"),
        (lambda m: m.stages.extend(m.stages * 10_000), r"stages\[1\]: skim and skim_layer are both needed"),
        (lambda m: put(m.stages[0], skim=None), r"stages\[0\]: skim and skim_layer are both needed"),
        (lambda m: put(m.stages[1], skim_layer=1), r"stages\[1\]: no predictor follows the last stage"),
        (lambda m: put(m.stages[0].graph, file="onnx/stage_01.onnx"), r"stages\[0\]: graph: file: expected"),
        (lambda m: put(m.stages[0].skim, file="../skim_00.onnx"), r"stages\[0\]: skim: file: expected"),
        (lambda m: put(m.dense, file="/etc/passwd"), "dense: file: expected 'onnx/dense.onnx'"),
        (lambda m: put(m.dense, symmetric="onnx/dense.symmetric.onnx"), "dense: symmetric: expected null"),
        (lambda m: m.dense.inputs.reverse(), "dense: inputs: expected some of"),
        (lambda m: m.dense.inputs.clear(), "dense: inputs: expected some of"),
        (lambda m: m.dense.inputs.append(TensorSpec("x", "int64", [])), "dense: inputs: expected some of"),
        (lambda m: m.dense.outputs.pop(), "dense: outputs: expected start_logits, end_logits"),
        (
            lambda m: m.stages[0].graph.outputs.pop(),
            "skim: inputs: the stage before it gives no diagonal",
        ),
        (lambda m: put(m.dense.inputs[0], dtype="int32"), r"dense: inputs\[0\]: 'input_ids' should be int64"),
        (lambda m: put(m.dense.inputs[0], axes=["blocks", 31]), r"should be int64 \['blocks', 32\], found int64"),
        (lambda m: put(m.model, hidden_size=48), r"stages\[0\]: graph: outputs\[1\]: 'residual' should be float32"),
        (lambda m: m.thresholds.update({1: 0.5}), "thresholds: 1: no predictor follows layer 1; some follow"),
        (lambda m: m.thresholds.clear(), "thresholds: there is none for layer 0"),
        (lambda m: m.thresholds.update({0: 1.0000001}), "thresholds: 0: expected 0 to 1"),
        (lambda m: m.thresholds.update({0: float("nan")}), "thresholds: 0: expected 0 to 1, found nan"),
        (lambda m: m.files.clear(), "files: 'onnx/dense.onnx' is not listed, but the bundle needs it"),
        (lambda m: m.files.update({"../../etc/hostname": "0" * 64}), "files: '../../etc/hostname' is no file of a"),
        (lambda m: m.files.update({"onnx/pipe": "0" * 64}), "files: 'onnx/pipe' is no file of a bundle"),
        (lambda m: m.files.update({"tokenizer.json": "0" * 63}), "files: tokenizer.json: expected a SHA-256"),
        (lambda m: m.engines.append(EngineSet("../x", "1", "8.9", [1, 1], [1, 1])), r"engines\[0\]: backend"),
        (
            lambda m: m.engines.append(EngineSet("tensorrt", "1", "x/..", [1, 1], [1, 1])),
            "capability: expected",
        ),
        (lambda m: m.engines.append(EngineSet("tensorrt", "1", "8.9", [2, 1], [1, 1])), "batch_size: expected"),
        (lambda m: m.engines.append(EngineSet("tensorrt", "1", "8.9", [1, 1], [])), "length: expected"),
    ],
)
def test_parts_that_do_not_fit_are_named(spoil, said):
    with pytest.raises(BundleError, match=f"^here/manifest.json: .*{said}"):
        check_manifest(spoiled(spoil), "here/manifest.json")


def test_a_bundle_without_predictors_is_one_stage_that_is_the_dense_graph(tiny_bundle):
    from bskim_export import Bundle

    manifest = Bundle.open(tiny_bundle("bert", ())).manifest
    assert manifest.dense == manifest.stages[0].graph
    assert manifest.dense.file == "onnx/stage_00.onnx"
    other = dataclasses.replace(manifest, dense=Graph("onnx/dense.onnx", manifest.dense.inputs, manifest.dense.outputs))
    with pytest.raises(BundleError, match=r"dense: file: expected 'onnx/stage_00\.onnx'"):
        check_manifest(other, "manifest.json")


def with_graphs_of_one_window() -> Manifest:
    manifest = small_manifest()
    dense = Graph(
        single_graph.DENSE_FILE, single_graph.dense_input_specs(manifest.dense.inputs), manifest.dense.outputs
    )
    single = Graph(single_graph.FILE, single_graph.input_specs(1), single_graph.output_specs(1))
    files = {**manifest.files, dense.file: "0" * 64, single.file: "0" * 64}
    return copy.deepcopy(dataclasses.replace(manifest, dense_alone=dense, single=single, files=files))


def test_graphs_of_one_window_are_checked_as_the_others():
    check_manifest(with_graphs_of_one_window(), "manifest.json")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda m: put(m.single, file="onnx/x.onnx"),
            "single: file: expected 'onnx/skim.onnx' in one form, found 'onnx/x",
        ),
        (
            lambda m: put(m.dense_alone, symmetric="onnx/dense_alone.symmetric.onnx"),
            "dense_alone: file: expected 'onnx/d",
        ),
        (lambda m: m.single.inputs.pop(), "single: inputs: they are not those"),
        (lambda m: m.dense_alone.inputs.reverse(), "dense_alone: inputs: they are not those"),
        (lambda m: put(m.single, outputs=m.dense.outputs), "single: outputs: they are not those"),
        (lambda m: put(m, dense_alone=None), "dense_alone: the graphs of one window are there both, or none"),
        (lambda m: m.files.pop("onnx/skim.onnx"), "files: 'onnx/skim.onnx' is not listed"),
    ],
)
def test_graphs_of_one_window_that_do_not_fit_are_named(spoil, said):
    manifest = with_graphs_of_one_window()
    spoil(manifest)
    with pytest.raises(BundleError, match=f"^here: {said}"):
        check_manifest(manifest, "here")

from collections import Counter

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from bskim_export.bundle.bundle import Bundle
from bskim_export.export.passes.one_window import fit_to_one_window


def run(model, feeds):
    model = ir.external_data.load_to_model(model)
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    return session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})


@pytest.mark.parametrize("part", ["skim_01", "stage_01", "stage_00"])
def test_a_part_computes_the_same_with_fewer_operators(tiny_bundle, part):
    bundle = Bundle.open(tiny_bundle("bert", (0, 1, 2), "question"))
    model, size, blocks = bundle.model, bundle.model.block_size, 4
    random = np.random.default_rng(0)
    wide = (blocks, size, model.hidden_size)
    feeds = {
        "table": np.arange(blocks)[None],
        "back": np.arange(blocks),
        "mask": np.where(np.arange(blocks * size) < 100, 0, -1e4).astype(np.float32)[None],
        "passage": (np.arange(blocks * size) >= 10).astype(np.float32)[None],
        "asked": np.zeros((1, 1), np.int64),
        "question": (np.arange(size) < 10).astype(np.float32)[None],
        "length": np.array([100]),
        "scored": np.arange(1, blocks),
        "keep": np.arange(blocks),
        "keep_cells": np.arange(blocks),
        "input_ids": random.integers(0, 1000, (blocks, size)),
        "token_type_ids": np.zeros((blocks, size), np.int64),
        "position_ids": np.arange(blocks * size).reshape(blocks, size),
    }
    for name in ("context", "residual", "last_context", "last_residual"):
        feeds[name] = random.normal(size=wide).astype(np.float32)
    path = bundle.path(f"onnx/{part}.onnx")
    expected = run(ir.load(path), feeds)
    fitted = ir.load(path)
    before = Counter(node.op_type for node in fitted.graph)
    fit_to_one_window(fitted)
    after = Counter(node.op_type for node in fitted.graph)
    assert after.total() < before.total() - 5
    assert after["Gather"] < before["Gather"]
    assert (after["Attention"], after["Softmax"]) == ((1, 0) if part != "skim_01" else (0, 1))
    for ours, theirs in zip(run(fitted, feeds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_an_attention_whose_map_is_read_stays(tiny_bundle):
    bundle = Bundle.open(tiny_bundle("bert", (1,), "diagonal"))
    fitted = ir.load(bundle.path("onnx/stage_00.onnx"))  # two layers; a predictor reads the map of the second
    fit_to_one_window(fitted)
    kinds = Counter(node.op_type for node in fitted.graph)
    assert (kinds["Attention"], kinds["Softmax"]) == (1, 1)
    assert {"length", "mask", "probe"} <= {value.name for value in fitted.graph.inputs}

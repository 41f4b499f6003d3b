import numpy as np
import pytest
from onnx import helper
from support import model_of, operations, optimised_operations, run_model

from bskim_export.export.passes.layer_norms import split_layer_norms

RNG = np.random.default_rng(0)


def norm_model(width=384, epsilon=1e-12):
    scale, bias = RNG.standard_normal((2, width)).astype(np.float32)
    norms = [
        helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["a"], axis=-1, epsilon=epsilon),
        helper.make_node("LayerNormalization", ["a", "scale", "bias"], ["y"], axis=-1, epsilon=epsilon),
    ]
    return model_of(norms, width, scale=scale, bias=bias)


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("epsilon", [1e-12, 1e-5])
def test_a_split_layer_norm_is_as_near_the_exact_numbers(offset, epsilon):
    model = norm_model(epsilon=epsilon)
    read = RNG.standard_normal((40, 384)).astype(np.float32) + np.float32(offset)
    scale, bias = (model.graph.initializers[name].const_value.numpy().astype(np.float64) for name in ("scale", "bias"))
    exact = read.astype(np.float64)
    for _ in range(2):
        exact = exact - exact.mean(-1, keepdims=True)
        exact = exact / np.sqrt(np.square(exact).mean(-1, keepdims=True) + epsilon) * scale + bias
    rounding = 4e-6 * (1 + offset)
    assert np.abs(run_model(model, read) - exact).max() < rounding
    split_layer_norms(model)
    assert "LayerNormalization" not in operations(model)
    assert np.abs(run_model(model, read) - exact).max() < rounding


def test_onnx_runtime_leaves_a_split_layer_norm_alone(tmp_path):
    model = norm_model()
    split_layer_norms(model)
    assert not [o for o in optimised_operations(model, tmp_path) if "LayerNormalization" in o]


def test_a_graph_without_layer_norms_stays_as_it_is():
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], 8)
    split_layer_norms(model)
    assert operations(model) == ["Relu"]
    assert not model.graph.initializers

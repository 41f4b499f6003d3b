"""Each form computes what the plain one does, and ONNX Runtime does not undo it."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from bskim_export.export.passes.cpu_forms import fuse_products, split_layer_norms
from onnx import helper, numpy_helper

from bskim_export.backends.onnxruntime import session_options, share_pool

RNG = np.random.default_rng(0)


def model_of(nodes, width, **constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", "m"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def run(model, read):
    data = ir.to_proto(model).SerializeToString()
    onnx.checker.check_model(onnx.load_from_string(data))
    session = ort.InferenceSession(data, options(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": read})[0]


def options():
    share_pool(None)  # if another test has made the process's pool, every session must use it
    return session_options()


def operations(model):
    return [node.op_type for node in model.graph]


def optimised(model, tmp_path):
    """Return the operations that ONNX Runtime makes of a model."""
    settings = options()
    settings.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(ir.to_proto(model).SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(settings.optimized_model_filepath).graph.node]


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
    assert np.abs(run(model, read) - exact).max() < (rounding := 4e-6 * (1 + offset))
    split_layer_norms(model)
    assert "LayerNormalization" not in operations(model)
    assert np.abs(run(model, read) - exact).max() < rounding


def test_onnx_runtime_leaves_a_split_layer_norm_alone(tmp_path):
    model = norm_model()
    split_layer_norms(model)
    assert not [o for o in optimised(model, tmp_path) if "LayerNormalization" in o]


def test_a_graph_without_layer_norms_stays_as_it_is():
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], 8)
    split_layer_norms(model)
    assert operations(model) == ["Relu"]
    assert not model.graph.initializers


def product_model(bias=True, twice=False):
    weight, scale = RNG.integers(-127, 128, (8, 4)).astype(np.int8), np.full(4, 0.02, np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"], axis=1),
        helper.make_node("MatMul", ["d", "wd"], ["m" if bias else "y"]),
    ]
    constants = {"s": np.float32(0.05), "z": np.uint8(120), "w": weight, "ws": scale}
    if bias:
        nodes.append(helper.make_node("Add", ["m", "b"], ["p" if twice else "y"]))
        constants["b"] = RNG.standard_normal(4).astype(np.float32)
    if twice:
        nodes.append(helper.make_node("Sub", ["p", "m"], ["y"]))
    return model_of(nodes, 8, **constants)


@pytest.mark.parametrize("bias", [False, True])
def test_a_fused_product_gives_the_same_numbers(bias):
    model, read = product_model(bias), RNG.standard_normal((5, 8)).astype(np.float32)
    before = run(model, read)
    fuse_products(model)
    assert operations(model) == ["QuantizeLinear", "MatMulIntegerToFloat"]
    np.testing.assert_allclose(run(model, read), before, atol=1e-5)


def test_a_product_that_is_read_without_its_bias_keeps_the_addition():
    model, read = product_model(twice=True), RNG.standard_normal((5, 8)).astype(np.float32)
    before = run(model, read)
    fuse_products(model)
    assert operations(model) == ["QuantizeLinear", "MatMulIntegerToFloat", "Add", "Sub"]
    np.testing.assert_allclose(run(model, read), before, atol=1e-5)


def test_a_product_in_fp32_is_left_alone():
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], 8, w=np.ones((8, 4), np.float32))
    fuse_products(model)
    assert operations(model) == ["MatMul"]

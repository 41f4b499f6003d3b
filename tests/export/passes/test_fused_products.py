import numpy as np
import pytest
from onnx import helper
from support import model_of, operations, run_model

from bskim_export.export.passes.fused_products import fuse_products

RNG = np.random.default_rng(0)


def product_model(bias=True, twice=False):
    """Return the graph of a product in INT8.

    Args:
        bias: a vector is added to it
        twice: something reads the product as it is without the bias
    """
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"], axis=1),
        helper.make_node("MatMul", ["d", "wd"], ["m" if bias else "y"]),
    ]
    weight = RNG.integers(-127, 128, (8, 4)).astype(np.int8)
    constants = {"s": np.float32(0.05), "z": np.uint8(120), "w": weight, "ws": np.full(4, 0.02, np.float32)}
    if bias:
        nodes.append(helper.make_node("Add", ["m", "b"], ["p" if twice else "y"]))
        constants["b"] = RNG.standard_normal(4).astype(np.float32)
    if twice:
        nodes.append(helper.make_node("Sub", ["p", "m"], ["y"]))
    return model_of(nodes, 8, **constants)


@pytest.mark.parametrize("bias", [False, True])
def test_a_fused_product_gives_the_same_numbers(bias):
    model = product_model(bias)
    read = RNG.standard_normal((5, 8)).astype(np.float32)
    before = run_model(model, read)
    fuse_products(model)
    assert operations(model) == ["QuantizeLinear", "MatMulIntegerToFloat"]
    np.testing.assert_allclose(run_model(model, read), before, atol=1e-5)


def test_a_product_that_is_read_without_its_bias_keeps_the_addition():
    model = product_model(twice=True)
    read = RNG.standard_normal((5, 8)).astype(np.float32)
    before = run_model(model, read)
    fuse_products(model)
    assert operations(model) == ["QuantizeLinear", "MatMulIntegerToFloat", "Add", "Sub"]
    np.testing.assert_allclose(run_model(model, read), before, atol=1e-5)


def test_a_product_in_fp32_is_left_alone():
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], 8, w=np.ones((8, 4), np.float32))
    fuse_products(model)
    assert operations(model) == ["MatMul"]

import numpy as np
import onnx
from onnx import helper
from support import model_of, operations, run_model, types_in_graph

from bskim_export.export.passes.fp16_products import PRODUCTS, halve_products

RNG = np.random.default_rng(0)


def test_bundles_in_fp16_have_no_products_of_fp32(half):
    kinds = set()
    for graph in half.bundle.manifest.graphs:
        found, types = types_in_graph(half.bundle.path(graph.file))
        kinds |= {types[v] for n in found.node if n.op_type in PRODUCTS for v in [*n.input, *n.output] if v}
    fp32 = onnx.TensorProto.FLOAT
    own = {"fp16": {onnx.TensorProto.FLOAT16}, "bf16": {onnx.TensorProto.BFLOAT16, fp32}}  # a pass for fp16 only
    assert kinds == own[half.precision]


def test_a_halved_product_gives_nearly_the_same_numbers_in_fp32():
    weight = RNG.standard_normal((8, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "w"], ["b"]),
        helper.make_node("Sub", ["a", "b"], ["c"]),
        helper.make_node("Add", ["a", "c"], ["y"]),
    ]
    model = model_of(nodes, 8, w=weight)
    read = RNG.standard_normal((5, 8)).astype(np.float32)
    exact = run_model(model, read)
    halve_products(model)
    assert operations(model).count("Cast") == 4  # x and w once each, and back from both products
    found = run_model(model, read)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 0.02

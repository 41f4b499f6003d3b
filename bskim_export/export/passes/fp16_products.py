"""Matrix products in half precision inside the islands of fp32."""

import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

from bskim_export.export.graph_values import input_of

PRODUCTS = ("Conv", "Gemm", "MatMul")


def halve_products(model: ir.Model) -> None:
    """Let the products of fp32 tensors, those of head and predictors, read and give float16; the rest stays fp32.

    GPUs before Ampere have no fast fp32 products, and TensorRT-RTX none at all there ("FP32 GEMM is not supported", SM
    7.5). Without this no bundle compiles whole for them.
    """
    graph = model.graph
    halves: dict[ir.Value, ir.Value] = {}  # of each tensor that was cast already, because several products may read it
    for product in [n for n in graph if n.op_type in PRODUCTS and input_of(n, 0).dtype == ir.DataType.FLOAT]:
        # Cast what the product reads. An optional input, such as the bias of a Conv, may be missing.
        for i, value in enumerate(product.inputs):
            if value is None:
                continue
            if value not in halves:
                cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT16})
                graph.insert_before(product, cast)
                halves[value] = cast.outputs[0]
                _set_type(halves[value], ir.DataType.FLOAT16, value.shape)
            product.replace_input_with(i, halves[value])
        # Cast back what it gives. The cast reads the product's result itself, which all others read through the cast.
        (result,) = product.outputs
        back = ir.node("Cast", [result], {"to": ir.DataType.FLOAT})
        replace_all_uses_with(result, back.outputs[0], replace_graph_outputs=True)
        back.replace_input_with(0, result)
        graph.insert_after(product, back)
        _set_type(back.outputs[0], ir.DataType.FLOAT, result.shape)
        _set_type(result, ir.DataType.FLOAT16, result.shape)


def _set_type(value: ir.Value, dtype: ir.DataType, shape: ir.Shape | None) -> None:
    value.type = ir.TensorType(dtype)
    value.shape = shape

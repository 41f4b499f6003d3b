"""Matrix products in half precision inside the islands of fp32."""

import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

PRODUCTS = ("Conv", "Gemm", "MatMul")


def halve_products(model: ir.Model) -> None:
    """Let the products of fp32 tensors, those of head and predictors, read and give float16; the rest stays fp32.

    GPUs before Ampere have no fast fp32 products, and TensorRT-RTX none at all there ("FP32 GEMM is not supported", SM
    7.5): without this no bundle compiles whole for them.
    """
    graph, halves = model.graph, {}
    for product in [n for n in graph if n.op_type in PRODUCTS and n.inputs[0].dtype == ir.DataType.FLOAT]:
        for i, value in enumerate(product.inputs):
            if value is None:
                continue
            if value not in halves:
                cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT16})
                graph.insert_before(product, cast)
                halves[value] = cast.outputs[0]
                _type(halves[value], ir.DataType.FLOAT16, value.shape)
            product.replace_input_with(i, halves[value])
        (result,) = product.outputs
        back = ir.node("Cast", [result], {"to": ir.DataType.FLOAT})
        replace_all_uses_with(result, back.outputs[0], replace_graph_outputs=True)
        back.replace_input_with(0, result)
        graph.insert_after(product, back)
        _type(back.outputs[0], ir.DataType.FLOAT, result.shape)
        _type(result, ir.DataType.FLOAT16, result.shape)


def _type(value: ir.Value, dtype: ir.DataType, shape: ir.Shape | None) -> None:
    value.type, value.shape = ir.TensorType(dtype), shape

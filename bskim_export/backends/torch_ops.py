"""ONNX operators in PyTorch: those that bundles contain, at opset 20.

Each takes the node's attributes and its inputs, None for one that is left out. Shapes and other integers that graphs
compute with stay on the host, so that on a GPU nothing waits for them; see `torch.TorchEngine`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bskim_export.errors import BundleError

Operator = Callable[..., Tensor]
Attributes = Mapping[str, Any]

_broadcast_shapes: Callable[..., torch.Size] = torch.broadcast_shapes
"""Torch gives no types for its own."""

DTYPES = {
    1: torch.float32,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    16: torch.bfloat16,
}
"""The element types of onnx.TensorProto that bundles contain."""


def _gather(attributes: Attributes, data: Tensor, index: Tensor) -> Tensor:
    axis = attributes.get("axis", 0) % data.dim()
    index = index.to(data.device)
    # Only the graphs' own scalar constants count from the end; the host's indices never do.
    index = torch.where(index < 0, index + data.shape[axis], index) if index.dim() == 0 else index
    # One axis of chosen entries first, then the axes of the index in its place.
    chosen = data.index_select(axis, index.reshape(-1))
    return chosen.reshape(*data.shape[:axis], *index.shape, *data.shape[axis + 1 :])


def _reshape(attributes: Attributes, data: Tensor, shape: Tensor) -> Tensor:
    sizes = shape.tolist()
    # A size of 0 stands for that of the input.
    if not attributes.get("allowzero", 0):
        sizes = [data.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return data.reshape(sizes)


def _shape(attributes: Attributes, data: Tensor) -> Tensor:
    return torch.tensor(data.shape[attributes.get("start", 0) : attributes.get("end")])


def _squeeze(attributes: Attributes, data: Tensor, axes: Tensor | None = None) -> Tensor:
    return data.squeeze(tuple(axes.tolist())) if axes is not None else data.squeeze()


def _unsqueeze(attributes: Attributes, data: Tensor, axes: Tensor) -> Tensor:
    places = sorted(a % (data.dim() + axes.numel()) for a in axes.tolist())
    for place in places:
        data = data.unsqueeze(place)
    return data


def _slice(
    attributes: Attributes,
    data: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    every_axis = range(len(starts)) if axes is None else axes.tolist()
    every_step = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(every_axis, starts.tolist(), ends.tolist(), every_step, strict=True):
        # Places below 0 count from the end, and those outside the data are moved to its edge.
        size = data.shape[axis]
        start, end = (max(0, min(size, place + size if place < 0 else place)) for place in (start, end))
        data = data.narrow(axis, start, max(0, end - start))
        if step != 1:
            data = data.index_select(axis, torch.arange(0, data.shape[axis], step, device=data.device))
    return data


def _layer_normalization(attributes: Attributes, data: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = attributes.get("axis", -1) % data.dim()
    return F.layer_norm(data, data.shape[axis:], weight, bias, attributes.get("epsilon", 1e-5))


def _gelu(attributes: Attributes, data: Tensor) -> Tensor:
    return F.gelu(data, approximate=attributes.get("approximate", b"none").decode())


def _gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    alpha: float = attributes.get("alpha", 1.0)
    product = alpha * (a @ b)
    return product if c is None else product + attributes.get("beta", 1.0) * c


def _expand(attributes: Attributes, data: Tensor, shape: Tensor) -> Tensor:
    return data.expand(_broadcast_shapes(data.shape, tuple(shape.tolist())))


def _conv(attributes: Attributes, data: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # ONNX gives the padding before every axis, then that after every axis; torch wants pairs, the last axis first.
    pads = attributes.get("pads", [0] * 2 * (data.dim() - 2))
    before = pads[: len(pads) // 2]
    after = pads[len(pads) // 2 :]
    data = F.pad(data, [p for pair in zip(reversed(before), reversed(after), strict=True) for p in pair])
    strides = attributes.get("strides", 1)
    dilations = attributes.get("dilations", 1)
    return F.conv2d(data, weight, bias, strides, 0, dilations, attributes.get("group", 1))


def _average_pool(attributes: Attributes, data: Tensor) -> Tensor:
    if any(attributes.get("pads", [])) or attributes.get("ceil_mode"):
        raise BundleError("The torch backend does not know AveragePool with padding or ceil_mode.")
    return F.avg_pool2d(data, attributes["kernel_shape"], attributes.get("strides", 1))


def _quantize(attributes: Attributes, data: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    limits = torch.iinfo(zero_point.dtype)
    # Rounded half to even, as ONNX says, and cut off at the ends of the type.
    whole = torch.round(data / scale) + zero_point
    return whole.clamp(limits.min, limits.max).to(zero_point.dtype)


def _dequantize(attributes: Attributes, data: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    # A scale for each entry of an axis is laid along it, so that it broadcasts over the axes behind.
    if scale.dim():
        behind = data.dim() - 1 - attributes.get("axis", 1) % data.dim()
        scale = scale.reshape(-1, *[1] * behind)
    return (data.to(scale.dtype) if zero_point is None else data.to(scale.dtype) - zero_point) * scale


def reduction(reduce: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Operator:
    """Return the operator that reduces the axes it gets as an input; all axes without them."""

    def run(attributes: Attributes, data: Tensor, axes: Tensor | None = None) -> Tensor:
        places = tuple(range(data.dim())) if axes is None else tuple(axes.tolist())
        return reduce(data, places, bool(attributes.get("keepdims", 1)))

    return run


def elementwise(function: Callable[..., Tensor]) -> Operator:
    """Return the operator that applies a function and has no attributes."""
    return lambda attributes, *inputs: function(*inputs)


OPERATORS: dict[str, Operator] = {
    "Add": elementwise(torch.add),
    "AveragePool": _average_pool,
    "Cast": lambda attributes, data: data.to(DTYPES[attributes["to"]]),
    "Clip": lambda attributes, data, low=None, high=None: torch.clamp(data, low, high),
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Div": lambda attributes, a, b: a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc"),
    "Equal": elementwise(torch.eq),
    "Erf": elementwise(torch.erf),
    "Expand": _expand,
    "Flatten": lambda attributes, data: data.flatten(attributes.get("axis", 1)),
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "Identity": elementwise(lambda data: data),
    "LayerNormalization": _layer_normalization,
    "MatMul": elementwise(torch.matmul),
    "Max": elementwise(torch.maximum),
    "Mul": elementwise(torch.mul),
    "Not": elementwise(torch.logical_not),
    "Pow": elementwise(torch.pow),
    "QuantizeLinear": _quantize,
    "Range": lambda attributes, start, end, step: torch.arange(start.item(), end.item(), step.item()),
    "ReduceL2": reduction(lambda data, axes, keep: torch.linalg.vector_norm(data, dim=axes, keepdim=keep)),
    "ReduceMax": reduction(lambda data, axes, keep: torch.amax(data, axes, keep)),
    "ReduceMean": reduction(lambda data, axes, keep: torch.mean(data, axes, keep)),
    "ReduceSum": reduction(lambda data, axes, keep: torch.sum(data, axes, keep)),
    "Relu": elementwise(torch.relu),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": elementwise(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda attributes, data: torch.softmax(data, attributes.get("axis", -1)),
    "Sqrt": elementwise(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": elementwise(torch.sub),
    "Tanh": elementwise(torch.tanh),
    "Transpose": lambda attributes, data: data.permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
    "Where": elementwise(torch.where),
}

"""PyTorch, eager: the bundle's own graphs, operator by operator, on the CPU or on an NVIDIA GPU.

On the CPU it is the reference for what the compiling backends make of a graph: no operator is fused, reordered or
computed in another precision than the graph says. On a GPU one kernel stands in for each attention (`plugins/`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import external_data_helper, numpy_helper
from torch import Tensor

from bskim_export.backends.base import check_signature, thread_count
from bskim_export.backends.torch_fusion import Attention, find_attention
from bskim_export.backends.torch_ops import DTYPES, OPERATORS
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph
from bskim_export.errors import BundleError, InputError, missing_extra


class TorchBackend:
    """Graphs that share their weights.

    Args:
        threads: threads for one operator on the CPU; default: the cores this process may use. They are PyTorch's, and
            so those of the whole process.
        device: "cpu" or "cuda"
        fused: compute each attention with the kernel of `plugins/diag_attention`, which needs a GPU or Triton's
            interpreter

    Raises:
        InputError: there is no such device here.
        MissingExtraError: the kernel is wanted, and Triton is not installed.
    """

    name = "torch"
    version = torch.__version__
    precision = "fp32"

    def __init__(self, threads: int | None = None, device: str = "cpu", fused: bool = False):
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("PyTorch finds no NVIDIA GPU here (torch.cuda.is_available() is false).")
        self.threads, self.device = thread_count(threads), torch.device(device)
        torch.set_num_threads(self.threads)
        self._fused = _load_kernel() if fused else None
        self._weights: dict[tuple[str, int, int], Tensor] = {}

    def load(self, bundle: Bundle, graph: Graph) -> "TorchEngine":
        """Read one ONNX file. Raises BundleError if it cannot be read or has an operator that is not known."""
        path = bundle.path(graph.standard)
        try:
            parsed = onnx.load(str(path), load_external_data=False).graph
        except Exception as error:  # protobuf's own, which differs between its versions
            raise BundleError(f"'{path}' is not an ONNX file: {error}") from error
        if unknown := sorted({n.op_type for n in parsed.node} - OPERATORS.keys()):
            raise BundleError(f"The torch backend does not know {', '.join(unknown)} in '{path}'.")
        check_signature(path, graph, [i.name for i in parsed.input], [o.name for o in parsed.output])
        weights = {i.name: self._initializer(i, path.parent, bundle.manifest.files) for i in parsed.initializer}
        return TorchEngine(plan(parsed, weights, self._fused), weights, [o.name for o in parsed.output])

    def to_device(self, array: np.ndarray) -> Tensor:
        """Return an array, copied, as an input that several runs can share."""
        return torch.tensor(array, device=self.device)

    def to_host(self, tensor: Tensor) -> np.ndarray:
        """Return the values of an engine's output."""
        return tensor.float().cpu().numpy()

    def _initializer(self, tensor: onnx.TensorProto, folder: Path, hashes: Mapping[str, str]) -> Tensor:
        """Return a weight, on the device and only once however many graphs have it; integers stay on the host."""
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            raw = np.frombuffer(numpy_helper.to_array(tensor).tobytes(), np.uint8).copy()
            value = torch.from_numpy(raw).view(DTYPES[tensor.data_type]).reshape(tuple(tensor.dims))
            return value.to(self.device) if value.is_floating_point() else value
        place = external_data_helper.ExternalDataInfo(tensor)
        # By content, not by path: a bundle that is exported anew has its weights in the same places
        key = (hashes[f"{folder.name}/{place.location}"], place.offset or 0, place.length)
        if key not in self._weights:
            raw = np.fromfile(folder / place.location, np.uint8, key[2], offset=key[1])
            self._weights[key] = torch.from_numpy(raw).view(DTYPES[tensor.data_type]).to(self.device)
        return self._weights[key].reshape(tuple(tensor.dims))


class TorchCudaBackend(TorchBackend):
    """The same on the first NVIDIA GPU, with the fused kernel."""

    name = "torch-cuda"

    def __init__(self, threads: int | None = None):
        super().__init__(threads, "cuda", fused=True)


@dataclass
class Step:
    """One operator of a graph: what it takes, what it makes, and which values nothing needs after it."""

    run: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: list[str]
    outputs: list[str]
    done: Sequence[str] = ()


def plan(graph: onnx.GraphProto, weights: Mapping[str, Tensor], kernel: Callable | None) -> list[Step]:
    """Return the steps of a graph, in order; with a kernel, in place of each attention that it can compute."""
    fused = {a.context: a for a in find_attention(graph.node)} if kernel else {}
    steps = []
    for node in graph.node:
        if node.output[0] in fused:
            steps.append(_fused_step(fused[node.output[0]], weights, kernel))
        elif not any(node.output[0] == a.diagonal for a in fused.values()):
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            steps.append(Step(partial(OPERATORS[node.op_type], attributes), list(node.input), list(node.output)))
    needed, kept = {o.name for o in graph.output}, []
    for step in reversed(steps):
        if needed.intersection(step.outputs):
            step.done = [name for name in dict.fromkeys(step.inputs) if name and name not in needed]
            needed.update(step.inputs)
            kept.append(step)
    return kept[::-1]


class TorchEngine:
    """One graph."""

    def __init__(self, steps: Sequence[Step], weights: Mapping[str, Tensor], outputs: Sequence[str]):
        self._steps, self._weights, self._outputs = steps, weights, outputs

    @torch.inference_mode()
    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph."""
        values = {**self._weights, **feeds}
        for step in self._steps:
            made = step.run(*(values[name] if name else None for name in step.inputs))
            values.update(zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=True))
            for name in step.done:
                del values[name]
        return {name: values[name] for name in self._outputs}


def _load_kernel() -> Callable:
    try:
        from bskim_export.plugins.diag_attention.torch_op import diag_attention
    except ImportError as error:
        raise missing_extra(error.name or "triton", "torch-cuda", "The torch-cuda backend") from error
    return diag_attention


def _fused_step(attention: Attention, weights: Mapping[str, Tensor], kernel: Callable) -> Step:
    scaling = float(weights[attention.scaling])  # now: on a GPU, asking for it later would wait for all work before it

    def run(query, key, value, table, mask, probe=None):
        context, diagonal = kernel(query, key, value, table, mask, scaling, probe is not None)
        if probe is None:
            return context
        # the cell of a block, from where its first row is in a map: see blocks.diagonal_rows
        size, heads, columns = query.shape[1], query.shape[2], table.shape[1]
        window, row = probe[:, 0, 0] // (heads * columns**2 * size), probe[:, 0, 0] % (heads * columns**2 * size)
        return context, diagonal.index_select(0, window * columns + row // (size * columns + 1))

    return Step(run, [n for n in attention.inputs if n != attention.scaling], attention.outputs)

"""PyTorch, eager: the bundle's own graphs, operator by operator, on the CPU or on an NVIDIA GPU.

On the CPU it is the reference for what the compiling backends make of a graph: no operator is fused, reordered or
computed in another precision than the graph says. On a GPU one kernel stands in for each attention (`plugins/`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from bskim_export.backends.base import check_signature, thread_count
from bskim_export.backends.torch_fusion import Attention, find_attention
from bskim_export.backends.torch_ops import DTYPES, OPERATORS
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph
from bskim_export.errors import BundleError, InputError, missing_extra

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float, bool], tuple[Tensor, Tensor]]
"""`plugins.diag_attention.torch_op.diag_attention`: query, key, value, table, mask, scaling, with_diagonal."""


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
    runs_single = False
    survives_fork = False

    def __init__(self, threads: int | None = None, device: str = "cpu", fused: bool = False):
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("PyTorch finds no NVIDIA GPU here (torch.cuda.is_available() is false).")
        self.threads = thread_count(threads)
        self.device = torch.device(device)
        torch.set_num_threads(self.threads)
        self._fused = _load_kernel() if fused else None
        self._weights: dict[tuple[str, int, int], Tensor] = {}

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> "TorchEngine":
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

    def to_device(self, array: npt.NDArray[Any]) -> Tensor:
        """Return an array, copied, as an input that several runs can share."""
        return torch.tensor(array, device=self.device)

    def to_host(self, tensor: Tensor) -> npt.NDArray[np.float32]:
        """Return the values of an engine's output."""
        values: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
        return values

    def _initializer(self, tensor: onnx.TensorProto, folder: Path, hashes: Mapping[str, str]) -> Tensor:
        """Return a weight, on the device and only once however many graphs have it; integers stay on the host."""
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            raw = np.frombuffer(numpy_helper.to_array(tensor).tobytes(), np.uint8).copy()
            value = torch.from_numpy(raw).view(DTYPES[tensor.data_type]).reshape(tuple(tensor.dims))
            return value.to(self.device) if value.is_floating_point() else value
        place = {entry.key: entry.value for entry in tensor.external_data}
        offset = int(place.get("offset", 0))
        length = int(place["length"])
        # By content, not by path: a bundle that is exported anew has its weights in the same places.
        key = (hashes[f"{folder.name}/{place['location']}"], offset, length)
        if key not in self._weights:
            raw = np.fromfile(folder / place["location"], np.uint8, length, offset=offset)
            self._weights[key] = torch.from_numpy(raw).view(DTYPES[tensor.data_type]).to(self.device)
        return self._weights[key].reshape(tuple(tensor.dims))


class TorchCudaBackend(TorchBackend):
    """The same on the first NVIDIA GPU, with the fused kernel."""

    name = "torch-cuda"

    def __init__(self, threads: int | None = None):
        super().__init__(threads, "cuda", fused=True)


@dataclass
class Step:
    """One operator of a graph.

    inputs, outputs: names of the values that it takes and makes
    done: names of the values that no later step needs
    """

    run: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: list[str]
    outputs: list[str]
    done: Sequence[str] = ()


def plan(graph: onnx.GraphProto, weights: Mapping[str, Tensor], kernel: Kernel | None) -> list[Step]:
    """Return the steps of a graph, in order.

    Args:
        weights: the graph's initializers, by name
        kernel: takes the place of each attention that it can compute; None leaves the graph as it is
    """
    # One step for each node. A kernel's step stands where the context was made, and makes the diagonal as well.
    fused = {} if kernel is None else {a.context: a for a in find_attention(graph.node)}
    steps = []
    for node in graph.node:
        if kernel is not None and node.output[0] in fused:
            steps.append(_fused_step(fused[node.output[0]], weights, kernel))
        elif not any(node.output[0] == a.diagonal for a in fused.values()):
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            steps.append(Step(partial(OPERATORS[node.op_type], attributes), list(node.input), list(node.output)))
    # From the end: keep the steps whose values something needs, and note where each value is needed for the last time.
    needed = {o.name for o in graph.output}
    kept = []
    for step in reversed(steps):
        if needed.intersection(step.outputs):
            step.done = [name for name in dict.fromkeys(step.inputs) if name and name not in needed]
            needed.update(step.inputs)
            kept.append(step)
    return kept[::-1]


class TorchEngine:
    """One graph."""

    def __init__(self, steps: Sequence[Step], weights: Mapping[str, Tensor], outputs: Sequence[str]):
        self._steps = steps
        self._weights = weights
        self._outputs = outputs

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


def _load_kernel() -> Kernel:
    try:
        from bskim_export.plugins.diag_attention.torch_op import diag_attention
    except ImportError as error:
        raise missing_extra(error.name or "triton", "torch-cuda", "The torch-cuda backend") from error
    kernel: Kernel = diag_attention
    return kernel


def _fused_step(attention: Attention, weights: Mapping[str, Tensor], kernel: Kernel) -> Step:
    # Read now: on a GPU, asking for it later would wait for all work before it.
    scaling = float(weights[attention.scaling])

    def run(
        query: Tensor, key: Tensor, value: Tensor, table: Tensor, mask: Tensor, probe: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        context, diagonal = kernel(query, key, value, table, mask, scaling, probe is not None)
        if probe is None:
            return context
        # The cell of a block, from where its first row is in the map: `blocks.diagonal_rows` the other way round.
        _, size, heads, _ = query.shape
        columns = table.shape[1]
        per_window = heads * columns * size * columns
        first_row = probe[:, 0, 0]
        window = first_row // per_window
        block = first_row % per_window // (size * columns + 1)
        return context, diagonal.index_select(0, window * columns + block)

    return Step(run, [n for n in attention.inputs if n != attention.scaling], attention.outputs)

"""PyTorch, eager: the bundle's own graphs, operator by operator, on the CPU or on an NVIDIA GPU.

The reference for what the compiling backends make of a graph: no operator is fused, reordered or computed in another
precision than the graph says.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import external_data_helper, numpy_helper
from torch import Tensor

from bskim_export.backends.base import available_cores
from bskim_export.backends.torch_ops import DTYPES, OPERATORS
from bskim_export.errors import BundleError, InputError


class TorchBackend:
    """Graphs that share their weights.

    Args:
        threads: threads for one operator on the CPU; default: the cores this process may use. They are PyTorch's, and
            so those of the whole process.
        device: "cpu" or "cuda"

    Raises:
        InputError: there is no such device here.
    """

    name = "torch"
    version = torch.__version__
    precision = "fp32"

    def __init__(self, threads: int | None = None, device: str = "cpu"):
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("PyTorch finds no NVIDIA GPU here (torch.cuda.is_available() is false).")
        self.threads, self.device = threads or available_cores(), torch.device(device)
        torch.set_num_threads(self.threads)
        self._weights: dict[tuple[Path, int, int], Tensor] = {}

    def load(self, path: Path) -> "TorchEngine":
        """Read one ONNX file. Raises BundleError if it cannot be read or has an operator that is not known."""
        try:
            graph = onnx.load(str(path), load_external_data=False).graph
        except Exception as error:  # protobuf's own, which differs between its versions
            raise BundleError(f"'{path}' is not an ONNX file: {error}") from error
        if unknown := sorted({n.op_type for n in graph.node} - OPERATORS.keys()):
            raise BundleError(f"The torch backend does not know {', '.join(unknown)} in '{path}'.")
        return TorchEngine(graph, {i.name: self._initializer(i, path.parent) for i in graph.initializer}, self.device)

    def to_device(self, array: np.ndarray) -> Tensor:
        """Return an array, copied, as an input that several runs can share."""
        return torch.tensor(array, device=self.device)

    def to_host(self, tensor: Tensor) -> np.ndarray:
        """Return the values of an engine's output."""
        return tensor.float().cpu().numpy()

    def _initializer(self, tensor: onnx.TensorProto, folder: Path) -> Tensor:
        """Return a weight, on the device and only once however many graphs have it; integers stay on the host."""
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            value = torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
            return value.to(self.device) if value.is_floating_point() else value
        place = external_data_helper.ExternalDataInfo(tensor)
        key = (folder / place.location, place.offset or 0, place.length)
        if key not in self._weights:
            raw = np.fromfile(key[0], np.uint8, key[2], offset=key[1])
            self._weights[key] = torch.from_numpy(raw).view(DTYPES[tensor.data_type]).to(self.device)
        return self._weights[key].reshape(tuple(tensor.dims))


class TorchEngine:
    """One graph."""

    def __init__(self, graph: onnx.GraphProto, weights: Mapping[str, Tensor], device: torch.device):
        self._weights, self._device = weights, device
        self._outputs = [o.name for o in graph.output]
        last = {name: i for i, node in enumerate(graph.node) for name in node.input}
        self._steps = [
            (
                OPERATORS[node.op_type],
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
                list(node.input),
                node.output[0],
                [name for name in set(node.input) - set(self._outputs) if name and last[name] == i],
            )
            for i, node in enumerate(graph.node)
        ]

    @torch.inference_mode()
    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph."""
        values = {**self._weights, **feeds}
        for operator, attributes, inputs, output, done in self._steps:
            values[output] = operator(attributes, *(values[name] if name else None for name in inputs))
            for name in done:
                del values[name]
        return {name: values[name] for name in self._outputs}

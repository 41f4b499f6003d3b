"""OpenVINO on the CPU. In bf16, where the processor has it, the fastest of the backends there."""

from collections.abc import Mapping
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino.preprocess import PrePostProcessor

from bskim_export.backends.base import check_signature, keep_in_children, thread_count
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph
from bskim_export.bundle.tensors import BETWEEN_ENGINES
from bskim_export.errors import BundleError, InputError

HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """Compiled models that share one Core.

    Args:
        threads: threads for one operator; default: the cores this process may use.
        precision: "fp32" or "bf16", the one that is computed in. Left to itself, OpenVINO takes bf16 wherever the
            processor has it; here it has to be asked for.

    Raises:
        InputError: a precision that OpenVINO or this processor does not compute in.
    """

    name = "openvino"
    version: str = ov.__version__
    runs_single = False  # OpenVINO 2026.4 compiles it, and then mixes up memory of its branches: wrong logits
    survives_fork = False  # a child could compile anew, but its own children hang (OpenVINO 2026.4)

    def __init__(self, threads: int | None = None, precision: str = "fp32"):
        self.threads = thread_count(threads)
        self.precision = precision
        self._core = ov.Core()
        keep_in_children(self)
        # Weights in memory of their own: who writes into a mapped file, as `cp` does, kills the process.
        self._core.set_property({"ENABLE_MMAP": False})
        if precision not in HINTS:
            raise InputError(f"The openvino backend computes in {' or '.join(HINTS)}, not in {precision}.")
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise InputError("This processor does not compute in bf16. Use --precision fp32.")
        self._config = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "NUM_STREAMS": 1,  # all threads for one request: latency, as the other backends
            "ENABLE_CPU_PINNING": False,  # engines of one bundle take turns on the same cores
        }

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> "OpenVinoEngine":
        """Compile one graph of a bundle. Raises BundleError if OpenVINO cannot, or is known to err."""
        path = bundle.path(graph.standard)
        if graph.symmetric and bundle.model.embedding_size != bundle.model.hidden_size:
            raise BundleError(
                f"OpenVINO (2026.4 at least) gives wrong numbers for '{path}': where a product in fp32, here the "
                "projection of the embeddings, is both quantised and added to something, it quantises another tensor. "
                "Use the onnxruntime backend, or export in fp32 and compute in bf16."
            )
        try:
            model = self._core.read_model(path)
            outputs = [port.get_any_name() for port in model.outputs]
            check_signature(path, graph, [port.get_any_name() for port in model.inputs], outputs)
            if self.precision == "bf16":
                model = _with_narrow_boundaries(model)
            return OpenVinoEngine(self._core.compile_model(model, "CPU", self._config))
        except RuntimeError as error:
            raise BundleError(f"OpenVINO {self.version} cannot load '{path}': {error}") from error

    def to_device(self, array: npt.NDArray[Any]) -> ov.Tensor:
        """Return an array, copied, as an input that several runs can share."""
        return ov.Tensor(np.ascontiguousarray(array))

    def to_host(self, tensor: ov.Tensor) -> npt.NDArray[np.float32]:
        """Return the values of an engine's output."""
        values: npt.NDArray[np.float32] = tensor.data
        return values


def _with_narrow_boundaries(model: ov.Model) -> ov.Model:
    """Let tensors between engines be bf16, the type that they were computed in."""
    conversion = PrePostProcessor(model)
    for boundary, ports in ((conversion.input, model.inputs), (conversion.output, model.outputs)):
        for port in ports:
            if (name := port.get_any_name()) in BETWEEN_ENGINES:
                boundary(name).tensor().set_element_type(ov.Type.bf16)
    return conversion.build()


class OpenVinoEngine:
    """One compiled model, with an inference request for each thread that runs it."""

    def __init__(self, compiled: ov.CompiledModel):
        self._compiled = compiled
        self._own = local()
        self._outputs = [o.get_any_name() for o in compiled.outputs]
        keep_in_children(self)

    def run(self, feeds: Mapping[str, ov.Tensor]) -> dict[str, ov.Tensor]:
        """Run the graph. Outputs are the request's own memory: the next run of the same thread overwrites them."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        for name, tensor in feeds.items():
            request.set_tensor(name, tensor)
        request.infer()
        return {name: request.get_tensor(name) for name in self._outputs}

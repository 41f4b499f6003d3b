"""ONNX Runtime on an NVIDIA GPU, through its CUDA, TensorRT or TensorRT-RTX execution provider.

Tensors stay in the GPU's memory between engines (IOBinding). Not yet run on a GPU; the tests run the same code on the
CPU's provider.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from bskim_export.backends.base import check_signature, keep_in_children, thread_count
from bskim_export.backends.onnxruntime import input_names, make_session, output_names
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph
from bskim_export.errors import BundleError, InputError


class OnnxRuntimeCudaBackend:
    """Sessions on the GPU.

    Raises:
        InputError: this ONNX Runtime was built without the execution provider.
    """

    name = "onnxruntime-cuda"
    provider = "CUDAExecutionProvider"
    device = "cuda"
    version: str = ort.__version__
    precision = "fp32"
    runs_single = False
    survives_fork = False

    def __init__(self, threads: int | None = None):
        if self.provider not in ort.get_available_providers():
            raise InputError(
                f"The {self.name} backend needs an ONNX Runtime with {self.provider}; this one has "
                f"{', '.join(ort.get_available_providers())}. Install onnxruntime-gpu in place of onnxruntime."
            )
        self.threads = thread_count(threads)

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> "BoundEngine":
        """Compile one graph of a bundle.

        Raises:
            BundleError: ONNX Runtime refuses it, or its GPU libraries do not load, upon which it would quietly take
                the CPU.
        """
        session = make_session(bundle, graph.standard, self.threads, [self.provider])
        if (taken := session.get_providers()[0]) != self.provider:
            raise BundleError(
                f"ONNX Runtime {ort.__version__} cannot use {self.provider} and would take {taken}. Its "
                "messages above say which library does not load; CUDA and cuDNN must be of the versions that it wants."
            )
        check_signature(bundle.path(graph.standard), graph, input_names(session), output_names(session))
        return BoundEngine(session, self.device)

    def to_device(self, array: npt.NDArray[Any]) -> ort.OrtValue:
        """Return an array's copy in the GPU's memory."""
        return ort.OrtValue.ortvalue_from_numpy(array, self.device, 0)

    def to_host(self, tensor: ort.OrtValue) -> npt.NDArray[np.float32]:
        """Return the values of an engine's output."""
        values: npt.NDArray[np.float32] = tensor.numpy()
        return values


class OnnxRuntimeTensorRtBackend(OnnxRuntimeCudaBackend):
    """Sessions that TensorRT compiles when they are loaded."""

    name = "onnxruntime-tensorrt"
    provider = "TensorrtExecutionProvider"


class OnnxRuntimeRtxBackend(OnnxRuntimeCudaBackend):
    """Sessions that TensorRT-RTX compiles when they are loaded."""

    name = "onnxruntime-tensorrt-rtx"
    provider = "NvTensorRTRTXExecutionProvider"


class BoundEngine:
    """One session whose inputs and outputs are in a device's memory."""

    def __init__(self, session: ort.InferenceSession, device: str):
        self._session = session
        self._device = device
        self._outputs = output_names(session)
        keep_in_children(self)

    def run(self, feeds: Mapping[str, ort.OrtValue]) -> dict[str, ort.OrtValue]:
        """Run the graph."""
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding)
        return dict(zip(self._outputs, binding.get_outputs(), strict=True))

"""ONNX Runtime on the CPU: the embedded default."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from bskim_export.backends.base import check_signature, thread_count
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph
from bskim_export.errors import BundleError

_pool_threads: int | None = None
"""Size of the process-wide thread pool, once it exists. ONNX Runtime has one per process and cannot resize it."""


class OnnxRuntimeBackend:
    """Sessions that share one thread pool and one memory arena.

    A session of its own thread pool per stage would be twice as slow as one whole graph, because idle pools spin
    (onnxruntime#17011). Without an arena, every boundary tensor is mapped and faulted in anew, up to 1.4x slower.

    Args:
        threads: threads for one operator; default: the cores this process may use.
    """

    name = "onnxruntime"
    version: str = ort.__version__
    precision = "fp32"

    def __init__(self, threads: int | None = None):
        self.threads = share_pool(threads)

    def load(self, bundle: Bundle, graph: Graph) -> "OnnxRuntimeEngine":
        """Compile one graph of a bundle. Raises BundleError if ONNX Runtime refuses it."""
        path = bundle.path(graph.file)
        try:
            session = ort.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # pybind raises a class per status code, none of them public
            raise BundleError(f"ONNX Runtime {ort.__version__} cannot load '{path}': {error}") from error
        check_signature(path, graph, [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()])
        return OnnxRuntimeEngine(session, path)

    def to_device(self, array: npt.NDArray[Any]) -> ort.OrtValue:
        """Return an array as an input that several runs can share."""
        return ort.OrtValue.ortvalue_from_numpy(array)

    def to_host(self, tensor: ort.OrtValue) -> npt.NDArray[np.float32]:
        """Return the values of an engine's output."""
        values: npt.NDArray[np.float32] = tensor.numpy()
        return values


class OnnxRuntimeEngine:
    """One session. Outputs stay OrtValues, so that passing them to the next engine copies nothing."""

    def __init__(self, session: ort.InferenceSession, path: Path):
        self._session = session
        self._path = path
        self._outputs = [o.name for o in session.get_outputs()]

    def run(self, feeds: Mapping[str, ort.OrtValue]) -> dict[str, ort.OrtValue]:
        """Run the graph. Raises BundleError if ONNX Runtime fails."""
        try:
            outputs = self._session.run_with_ort_values(self._outputs, feeds)
        except Exception as error:  # pybind raises a class per status code, none of them public
            raise BundleError(f"ONNX Runtime {ort.__version__} cannot run '{self._path}': {error}") from error
        return dict(zip(self._outputs, outputs, strict=True))


def session_options() -> ort.SessionOptions:
    """Return the options of a session that uses the pool and arena of `share_pool`."""
    options = ort.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def share_pool(threads: int | None) -> int:
    """Create the process-wide pool and arena at the first call; later calls keep them and say so if they differ."""
    global _pool_threads
    wanted = thread_count(threads)
    if _pool_threads is None:
        try:
            ort.set_global_thread_pool_sizes(wanted, 1)
            ort.create_and_register_allocator(
                ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT),
                ort.OrtArenaCfg({"arena_extend_strategy": 1}),  # grow by what is asked for, not by powers of two
            )
        except Exception as error:  # another library of this process made them first: work with those
            warnings.warn(f"ONNX Runtime's shared pool exists already and is used as it is ({error}).", stacklevel=3)
        _pool_threads = wanted
    elif threads is not None and threads != _pool_threads:
        warnings.warn(
            f"threads={threads} is ignored: ONNX Runtime's pool was created with {_pool_threads} threads earlier in "
            "this process and cannot be resized.",
            stacklevel=3,
        )
    return _pool_threads

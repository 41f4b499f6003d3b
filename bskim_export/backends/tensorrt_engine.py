"""Engines of TensorRT: made ahead of time or at the first load, kept in the bundle, run on its GPU.

Building needs no GPU with TensorRT-RTX, and is tested so. Running needs one, and has not been tried (docs/backends.md).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import local
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.backends.base import thread_count
from bskim_export.backends.engine_cache import EngineKey, find_engine, keep_engine, user_cache
from bskim_export.backends.nvidia import compute_capability
from bskim_export.backends.profiles import Profile, ShapeRange
from bskim_export.backends.tensorrt import FULL, RTX, build_engine, library_version, load_polygraphy
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import EngineSet, Graph
from bskim_export.errors import BundleError, InputError

log = logging.getLogger("bskim_export")


def make_set(longest: int, name: str, capability: tuple[int, int] | None = None, max_batch_size: int = 8) -> EngineSet:
    """Return the description of a bundle's engines for one kind of GPU, for `build_all` to build.

    Args:
        longest: positions of a window at most, see `Manifest.longest`
        name: "tensorrt-rtx" or "tensorrt"
        capability: compute capability of the GPU; default: of the one at hand
        max_batch_size: windows that run together at most

    Raises:
        InputError: there is no GPU at hand; or full TensorRT is to build for another one.
        MissingExtraError: that TensorRT is not installed.
    """
    version = library_version(name)
    here = compute_capability()
    target = capability or here
    if target is None:
        raise InputError(f"There is no NVIDIA GPU here; say for which {name} shall build: --compute-capability 8.9.")
    if name == FULL and target != here:
        raise InputError(f"{FULL} builds for the GPU at hand only. For another one, take {RTX}.")
    device = ".".join(map(str, target))
    profile = Profile.of(longest, max_batch_size)
    return EngineSet(name, version, device, list(profile.batch_size), list(profile.length))


def profile_of(engines: EngineSet) -> Profile:
    """Return the optimization profile of a set of engines."""
    usual_batch, largest_batch = engines.batch_size
    usual_length, largest_length = engines.length
    return Profile((usual_batch, largest_batch), (usual_length, largest_length))


def find_or_build(bundle: Bundle, graph: Graph, engines: EngineSet) -> tuple[bytes, str]:
    """Return a graph's engine, and "", or why it had to be built.

    It is the bundle's, if the manifest lists it; else one that was built before on this machine, or is built now and
    kept in the user's cache. One that cannot be kept is returned all the same.

    Raises:
        BundleError: TensorRT refuses the graph or the target.
    """
    name = Path(graph.file).stem
    key = _key(bundle, graph, engines)
    why = "the bundle lists none"
    if listed := engines.files.get(f"{name}.engine"):
        data, why = find_engine(bundle.path(engines.folder), name, key, listed)
        if data is not None:
            return data, ""
    data, why_not_kept = find_engine(user_cache(key), name, key)
    if data is not None:
        return data, ""
    data = _build(bundle, graph, engines)
    try:
        keep_engine(user_cache(key), name, key, data)
    except OSError as error:
        log.warning("The engine of %s was built but not kept: %s", graph.standard, error)
    return data, why if listed else why_not_kept


def build_all(bundle: Bundle, engines: EngineSet, progress: Callable[[int, int], None]) -> EngineSet:
    """Build all engines of a bundle into it, and return their set with their hashes, for the manifest.

    Args:
        progress: called with the number of graphs that are done and the number of all

    Raises:
        BundleError: TensorRT refuses a graph or the target.
    """
    graphs = bundle.manifest.graphs
    files = {}
    for done, graph in enumerate(graphs):
        progress(done, len(graphs))
        name = Path(graph.file).stem
        data = _build(bundle, graph, engines)
        files[f"{name}.engine"] = keep_engine(bundle.path(engines.folder), name, _key(bundle, graph, engines), data)
    progress(len(graphs), len(graphs))
    return replace(engines, files=files)


def _key(bundle: Bundle, graph: Graph, engines: EngineSet) -> EngineKey:
    return EngineKey(
        graph=bundle.manifest.files[graph.standard],
        weights=bundle.weights_hash,
        runtime=f"{engines.backend} {engines.version}",
        device=engines.compute_capability,
        precision=bundle.manifest.precision,
        profile={"batch_size": engines.batch_size, "length": engines.length},
    )


def _build(bundle: Bundle, graph: Graph, engines: EngineSet) -> bytes:
    major, minor = engines.compute_capability.split(".")
    shapes = profile_of(engines).shapes(graph.input_names, bundle.model)
    return build_engine(bundle.path(graph.standard), shapes, engines.backend, (int(major), int(minor)))


class TensorRtBackend:
    """Runs engines on the GPU at hand: those of the bundle. One that does not fit is built at load; the log says why.

    Raises:
        InputError: there is no GPU, or TensorRT or CUDA does not load.
        MissingExtraError: TensorRT or polygraphy is not installed.
    """

    name = RTX
    precision = "fp32"
    runs_single = False
    survives_fork = False

    def __init__(self, threads: int | None = None):
        self.threads = thread_count(threads)
        self.version = library_version(self.name)
        self._trt = load_polygraphy(self.name)
        capability = compute_capability()
        if capability is None:
            raise InputError(f"The {self.name} backend runs on an NVIDIA GPU, and there is none here.")
        self._capability = ".".join(map(str, capability))
        try:  # now, when another backend can still be chosen, rather than at the first question
            self.to_device(np.zeros(1, np.float32))
        except Exception as error:  # polygraphy's own, or of the library that it loads with ctypes
            raise InputError(f"The {self.name} backend cannot use CUDA on this GPU: {error}") from error

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> "TensorRtEngine":
        """Return a graph's engine. Raises BundleError if TensorRT refuses it."""
        wanted = (self.name, self._capability)
        fitting = [e for e in bundle.manifest.engines if (e.backend, e.compute_capability) == wanted]
        engines = fitting[0] if fitting else make_set(bundle.manifest.longest, self.name)
        engines = replace(engines, version=self.version)
        data, why = find_or_build(bundle, graph, engines)
        if why:
            log.warning("Built the %s engine of %s: %s.", self.name, graph.file, why)
        profile = profile_of(engines)
        return TensorRtEngine(self._trt, data, profile, profile.shapes(graph.input_names, bundle.model))

    def to_device(self, array: npt.NDArray[Any]) -> Any:
        """Return an array's copy in the GPU's memory."""
        from polygraphy.cuda import DeviceArray

        device = DeviceArray(shape=array.shape, dtype=array.dtype)
        return device.copy_from(np.ascontiguousarray(array))

    def to_host(self, tensor: Any) -> npt.NDArray[np.float32]:
        """Return the values of an engine's output."""
        values: npt.NDArray[np.float32] = tensor.numpy()
        return values


class FullTensorRtBackend(TensorRtBackend):
    """The same with full TensorRT."""

    name = FULL


class TensorRtEngine:
    """One engine, with an execution context for each thread that runs it."""

    def __init__(self, trt: ModuleType, data: bytes, profile: Profile, shapes: Mapping[str, ShapeRange]):
        self._trt = trt
        self._profile = profile
        self._shapes = shapes
        self._own = local()
        try:
            self._engine = trt.EngineFromBytes(data)()
        except Exception as error:  # polygraphy's own
            raise BundleError(
                f"TensorRT cannot load an engine: {error} Its messages on standard error, above, say why. The "
                "onnxruntime backend answers without it."
            ) from error

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Run the graph. Outputs are the context's own memory: the next run of the same thread overwrites them.

        Raises:
            InputError: an input is larger than the engine was built for.
        """
        self._profile.check({name: tuple(tensor.shape) for name, tensor in feeds.items()}, self._shapes)
        runner = getattr(self._own, "runner", None)
        if runner is None:
            runner = self._own.runner = self._trt.TrtRunner(self._engine)
            runner.activate()
        return dict(runner.infer(dict(feeds), copy_outputs_to_host=False))

"""ONNX Runtime on the CPU: the embedded default."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from bskim_export.backends.base import check_signature, keep_in_children, thread_count
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.checks import WEIGHTS
from bskim_export.bundle.manifest import Graph
from bskim_export.errors import BundleError

OPTIONS = {"session.intra_op.allow_spinning": "0"}
"""A bundle's sessions take turns: a pool that spins after its turn takes the core of the next one."""


class OnnxRuntimeBackend:
    """Sessions, each with a thread pool of its own: nothing that other sessions of the process share is set.

    A thread pool for the whole process would be a little faster, but every other session of the process would then
    have to ask for it: those of other libraries could no longer be made. docs/decisions.md has the figures.

    Args:
        threads: threads for one operator; default: the cores this process may use.
        mapped: leave weights in their file, mapped into memory, so that processes share them. Whoever then writes
            into that file, as `cp` over it does, kills the process or changes its answers

    Raises:
        InputError: so many threads cannot be had.
    """

    name = "onnxruntime"
    version: str = ort.__version__
    precision = "fp32"
    runs_single = True
    survives_fork = True

    def __init__(self, threads: int | None = None, mapped: bool = False):
        self.threads = thread_count(threads)
        self._mapped = mapped

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> "OnnxRuntimeEngine":
        """Compile one graph of a bundle; see `Backend.load`. Raises BundleError if ONNX Runtime refuses it."""
        return self.compile(bundle, graph, streams)

    def compile(
        self, bundle: Bundle, graph: Graph, streams: int = 1, profile: Path | None = None
    ) -> "OnnxRuntimeEngine":
        """Compile one graph of a bundle, as `load` does.

        Args:
            profile: where the profile of its nodes goes; the file's name gets an ending. Default: none is made
        """
        threads = max(1, self.threads // streams)
        alone = graph in bundle.manifest.graphs_alone
        providers = ["CPUExecutionProvider"]
        session = make_session(bundle, graph.file, threads, providers, self._mapped, arena=alone, profile=profile)
        path = bundle.path(graph.file)
        check_signature(path, graph, input_names(session), output_names(session))
        return OnnxRuntimeEngine(session, str(path))

    def to_device(self, array: npt.NDArray[Any]) -> ort.OrtValue:
        """Return an array as an input that several runs can share."""
        return ort.OrtValue.ortvalue_from_numpy(array)

    def to_host(self, tensor: ort.OrtValue) -> npt.NDArray[np.float32]:
        """Return the values of an engine's output."""
        values: npt.NDArray[np.float32] = tensor.numpy()
        return values


class OnnxRuntimeEngine:
    """One session. Outputs stay OrtValues, so that passing them to the next engine copies nothing."""

    def __init__(self, session: ort.InferenceSession, file: str):
        self._session = session
        self._file = file
        self._outputs = output_names(session)
        keep_in_children(self)

    def run(self, feeds: Mapping[str, ort.OrtValue]) -> dict[str, ort.OrtValue]:
        """Run the graph. Raises BundleError if ONNX Runtime fails."""
        try:
            outputs = self._session.run_with_ort_values(self._outputs, feeds)
        except Exception as error:  # pybind raises a class per status code, none of them public
            raise BundleError(f"ONNX Runtime {ort.__version__} cannot run '{self._file}': {error}") from error
        return dict(zip(self._outputs, outputs, strict=True))

    def end_profile(self) -> Path:
        """Return the profile of the nodes that ran so far, if one is made; none is from now on."""
        return Path(self._session.end_profiling())


def make_session(
    bundle: Bundle,
    file: str,
    threads: int,
    providers: Sequence[str],
    mapped: bool = False,
    arena: bool = False,
    profile: Path | None = None,
) -> ort.InferenceSession:
    """Return a session of one graph of a bundle.

    Graph and weights are read, checked against the manifest's hashes, and handed over in memory: what was checked is
    what runs, whatever happens to the files afterwards.

    Args:
        file: the graph's name in the bundle
        mapped: see OnnxRuntimeBackend
        arena: keep the memory of the largest run for the next. That of one window is little, and to ask the system for
            it again and again takes a twentieth of the time; that of a batch is much
        profile: see `OnnxRuntimeBackend.compile`

    Raises:
        BundleError: a file is not what export wrote, or ONNX Runtime refuses the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = arena
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    for name, value in OPTIONS.items():
        options.add_session_config_entry(name, value)
    path = bundle.path(file)
    try:
        graph: str | bytes = str(path)
        if not mapped:
            weights = bundle.read_weights()
            name = os.path.basename(WEIGHTS)
            options.add_external_initializers_from_files_in_memory([name], [weights], [len(weights)])
            graph = bundle.read(file)
        return ort.InferenceSession(graph, options, providers=list(providers))
    except BundleError:
        raise
    except Exception as error:  # pybind raises a class per status code, none of them public
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot load '{path}': {error}") from error


def input_names(session: ort.InferenceSession) -> list[str]:
    """Return the names of a session's inputs."""
    return [i.name for i in session.get_inputs()]


def output_names(session: ort.InferenceSession) -> list[str]:
    """Return the names of a session's outputs."""
    return [o.name for o in session.get_outputs()]

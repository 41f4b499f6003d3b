"""The protocol of a backend: it loads a graph, runs it on arrays, and brings a result to the host."""

import ctypes
import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.integrity import RECOPY
from bskim_export.bundle.manifest import Graph
from bskim_export.errors import BundleError, InputError


class Engine(Protocol):
    """One compiled graph."""

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Run the graph. Feeds are tensors of the backend: from `to_device`, or another engine's outputs."""


class Backend(Protocol):
    """A library that compiles and runs graphs.

    name: its key in the catalogue
    version: of the library
    precision: the one that it computes in; "fp32" where the graphs alone decide
    threads: threads for one operator
    runs_single: it compiles graphs of which shapes depend on data, as the single graph's
    survives_fork: engines can be made anew in a child of fork; else the child must not run at all
    """

    name: str
    version: str
    precision: str
    threads: int
    runs_single: bool
    survives_fork: bool

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> Engine:
        """Compile one graph of a bundle. Raises BundleError if the library refuses it.

        Args:
            streams: runs at once, each with its share of the threads; above 1 only where `runs_single`
        """

    def to_device(self, array: npt.NDArray[Any]) -> Any:
        """Return a tensor that engines of this backend take without further copying."""

    def to_host(self, tensor: Any) -> npt.NDArray[np.float32]:
        """Return the values of a tensor that an engine returned."""


def check_signature(path: Path, graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Raise BundleError unless an ONNX file has the inputs and outputs that the manifest names.

    Args:
        inputs, outputs: names that a library found in the file, in any order
    """
    for kind, found, expected in (
        ("inputs", inputs, graph.input_names),
        ("outputs", outputs, graph.output_names),
    ):
        if sorted(found) != sorted(expected):
            raise BundleError(
                f"'{path}' has the {kind} {', '.join(sorted(found))}, but manifest.json says "
                f"{', '.join(sorted(expected))}: they are not of one export. {RECOPY}"
            )


_kept: WeakSet[Any] = WeakSet()


def keep_in_children(owner: object) -> None:
    """See to it that a child of fork never destroys what an object holds.

    Libraries that compute have threads, which fork does not copy: their destructors wait for them, and the child would
    hang as it exits.
    """
    _kept.add(owner)


def _never_destroy() -> None:
    # What no Python name holds could still be destroyed with the interpreter: this reference is never given back.
    for owner in list(_kept):
        own = getattr(owner, "_own", None)  # what it holds for this thread, the only one that is left
        for held in (owner, *(vars(own).values() if own is not None else ())):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_never_destroy)

THREADS_PER_CORE = 8
"""No library gains from more threads in one operator; thousands would only take memory, or cannot be had."""


def thread_count(threads: int | None) -> int:
    """Return how many threads to use: those asked for, or the cores this process may use.

    Raises:
        InputError: that is no whole number from 1 to THREADS_PER_CORE for each core of the machine.
    """
    if threads is None:
        return available_cores()
    most = THREADS_PER_CORE * (os.cpu_count() or 1)
    if isinstance(threads, bool) or not isinstance(threads, Integral) or not 1 <= threads <= most:
        raise InputError(f"threads must be a whole number from 1 to {most} on this machine, got {threads!r}.")
    return int(threads)


def available_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the cores this process may use: its scheduler affinity, capped by the container's CPU quota.

    Libraries that size thread pools to the host's cores run many times slower inside a container with a small quota.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota = _cgroup_quota(cgroup)
    return max(1, min(cores, round(quota) if quota else cores))


def _cgroup_quota(cgroup: Path) -> float | None:
    """Return the cores that a container may use, or None where nothing limits them."""
    try:  # cgroup v2: "max 100000" or "200000 100000"
        quota, period = (cgroup / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:  # cgroup v1; -1 is no limit
        limit = int((cgroup / "cpu/cpu.cfs_quota_us").read_text())
        return limit / int((cgroup / "cpu/cpu.cfs_period_us").read_text()) if limit > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None

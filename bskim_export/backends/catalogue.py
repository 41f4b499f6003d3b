"""Every backend by name: its requirements, whether they are installed, and how to get them. Imports none of them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from bskim_export.backends.base import Backend
from bskim_export.errors import InputError, missing_extra


@dataclass(frozen=True)
class Entry:
    """A backend that bskim-export knows.

    name: the value of --backend
    module, factory: where its class is
    package: the library that it imports
    distributions: the names that the library may have been installed under, first choice first
    extra: the extra of bskim-export that brings it; None if every installation has it
    device: the hardware that it runs on
    precisions: those that it computes in
    provider: the execution provider of ONNX Runtime that it needs, which not every build has
    """

    name: str
    module: str
    factory: str
    package: str
    distributions: tuple[str, ...]
    extra: str | None
    device: str
    precisions: tuple[str, ...] = ("fp32",)
    provider: str | None = None

    @property
    def how(self) -> str:
        """Return how to install it."""
        if self.provider:
            return "pip install onnxruntime-gpu, in place of onnxruntime"
        return f"pip install 'bskim-export[{self.extra}]'"

    @property
    def installed(self) -> str | None:
        """Return the version that is installed, or None."""
        if find_spec(self.package) is None or (self.provider and self.provider not in _providers()):
            return None
        for name in self.distributions:
            try:
                return version(name)
            except PackageNotFoundError:
                continue
        return "unknown version"


CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(
            name="onnxruntime",
            module="bskim_export.backends.onnxruntime",
            factory="OnnxRuntimeBackend",
            package="onnxruntime",
            distributions=("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
            extra=None,
            device="CPU",
        ),
        Entry(
            name="openvino",
            module="bskim_export.backends.openvino",
            factory="OpenVinoBackend",
            package="openvino",
            distributions=("openvino",),
            extra="openvino",
            device="CPU",
            precisions=("fp32", "bf16"),
        ),
        Entry(
            name="torch",
            module="bskim_export.backends.torch",
            factory="TorchBackend",
            package="torch",
            distributions=("torch",),
            extra="export",
            device="CPU",
        ),
        Entry(
            name="torch-cuda",
            module="bskim_export.backends.torch",
            factory="TorchCudaBackend",
            package="torch",
            distributions=("torch",),
            extra="torch-cuda",
            device="NVIDIA GPU",
        ),
        Entry(
            name="tensorrt-rtx",
            module="bskim_export.backends.tensorrt_engine",
            factory="TensorRtBackend",
            package="tensorrt_rtx",
            distributions=("tensorrt-rtx",),
            extra="tensorrt-rtx",
            device="NVIDIA GPU",
        ),
        Entry(
            name="tensorrt",
            module="bskim_export.backends.tensorrt_engine",
            factory="FullTensorRtBackend",
            package="tensorrt",
            distributions=("tensorrt",),
            extra="tensorrt",
            device="NVIDIA GPU",
        ),
        *(
            Entry(
                name=f"onnxruntime-{kind}",
                module="bskim_export.backends.onnxruntime_gpu",
                factory=factory,
                package="onnxruntime",
                distributions=("onnxruntime-gpu", "onnxruntime"),
                extra=None,
                device="NVIDIA GPU",
                provider=provider,
            )
            for kind, factory, provider in (
                ("cuda", "OnnxRuntimeCudaBackend", "CUDAExecutionProvider"),
                ("tensorrt", "OnnxRuntimeTensorRtBackend", "TensorrtExecutionProvider"),
                ("tensorrt-rtx", "OnnxRuntimeRtxBackend", "NvTensorRTRTXExecutionProvider"),
            )
        ),
    )
}
DEFAULT = "onnxruntime"


def _providers() -> list[str]:
    """Return the execution providers of the ONNX Runtime that is installed."""
    try:
        import onnxruntime
    except (ImportError, OSError):  # a build for a GPU whose libraries are missing: the list says so of the others
        return []
    found: list[str] = onnxruntime.get_available_providers()
    return found


def find_entry(name: str, precision: str) -> Entry:
    """Return the entry of a backend, which is not loaded.

    Raises:
        InputError: there is no such backend, or it does not compute in that precision.
    """
    entry = CATALOGUE.get(name)
    if entry is None:
        raise InputError(f"There is no backend '{name}'. Choose one of: {', '.join(CATALOGUE)}.")
    if precision not in entry.precisions:
        raise InputError(f"The {name} backend computes in {' or '.join(entry.precisions)}, not in {precision}.")
    return entry


def open_backend(name: str = DEFAULT, threads: int | None = None, precision: str = "fp32") -> Backend:
    """Return a backend.

    Args:
        name: a key of CATALOGUE
        threads: threads for one operator; default: the cores this process may use
        precision: the one to compute in, one of its `Entry.precisions`

    Raises:
        InputError: there is no such backend, or it does not compute in that precision.
        MissingExtraError: it is not installed; says which extra brings it.

    Example:
        >>> open_backend("onnxruntime").name
        'onnxruntime'
    """
    entry = find_entry(name, precision)
    try:
        factory: Callable[..., Backend] = getattr(importlib.import_module(entry.module), entry.factory)
    except (ImportError, OSError) as error:  # OSError: from ctypes, as torch looks for CUDA's libraries
        if find_spec(entry.package) is not None:  # installed, but it does not load: a library that it needs is missing
            raise InputError(f"The {name} backend is installed but does not load: {error}") from error
        raise missing_extra(entry.package, entry.extra or "", f"The {name} backend") from error
    return factory(threads, precision) if len(entry.precisions) > 1 else factory(threads)

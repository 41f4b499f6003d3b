"""TensorRT, full and RTX: engines from the bundle's graphs, through polygraphy.

TensorRT-RTX compiles for a compute capability that it is told, on any machine; full TensorRT for the GPU at hand. Both
are strongly typed here: every tensor has the precision that the graph gives it, so there is nothing to fall back to.
"""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from bskim_export.backends.profiles import ShapeRange
from bskim_export.errors import BskimError, BundleError, InputError, missing_extra

RTX = "tensorrt-rtx"
FULL = "tensorrt"


def load_polygraphy(name: str) -> ModuleType:
    """Return polygraphy's TensorRT backend, over TensorRT-RTX or full TensorRT, whichever is asked for.

    Raises:
        MissingExtraError: polygraphy or that TensorRT is not installed.
        InputError: it is installed but does not load; or this process has loaded the other one: polygraphy drives one
            of them in a process.
    """
    try:
        import polygraphy.config

        library_version(name)
        if "polygraphy.backend.trt" not in sys.modules:  # it reads the switch when it is imported, and only then
            polygraphy.config.USE_TENSORRT_RTX = name == RTX
        from polygraphy.backend import trt
        from polygraphy.logger import G_LOGGER
    except ImportError as error:
        raise _does_not_import(error, name) from error
    if (name == RTX) != polygraphy.config.USE_TENSORRT_RTX:
        raise InputError(f"polygraphy drives the other TensorRT in this process already; use {name} in one of its own.")
    G_LOGGER.module_severity = G_LOGGER.ERROR
    backend: ModuleType = trt
    return backend


def library_version(name: str) -> str:
    """Return the version of TensorRT-RTX or full TensorRT.

    Raises:
        MissingExtraError: it is not installed.
        InputError: it is installed but does not load.
    """
    try:
        return str(importlib.import_module("tensorrt_rtx" if name == RTX else "tensorrt").__version__)
    except (ImportError, OSError) as error:  # OSError: from ctypes, of a library that it needs
        raise _does_not_import(error, name) from error


def _does_not_import(error: ImportError | OSError, name: str) -> BskimError:
    if isinstance(error, ModuleNotFoundError):
        return missing_extra(error.name or name, name, f"The {name} backend")
    return InputError(f"The {name} backend is installed but does not load: {error}")


def build_engine(
    path: Path,
    shapes: Mapping[str, ShapeRange],
    name: str = RTX,
    compute_capability: tuple[int, int] | None = None,
) -> bytes:
    """Compile one ONNX file.

    Args:
        path: strongly typed: its own precisions are the engine's
        shapes: least, usual and largest shape of each input, see `Profile.shapes`
        name: "tensorrt-rtx" or "tensorrt"
        compute_capability: of the GPU that will run it, for TensorRT-RTX; default: of the GPU at hand

    Raises:
        BundleError: TensorRT refuses the graph or the target; its own words are on standard error.
        InputError, MissingExtraError: see `load_polygraphy`.
    """
    trt = load_polygraphy(name)
    from polygraphy.exception import PolygraphyException

    profile = trt.Profile()
    for tensor, (least, usual, most) in shapes.items():
        profile.add(tensor, least, usual, most)
    try:
        if name == RTX:
            from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

            targets = {"compute_capabilities": [compute_capability]} if compute_capability else {"use_gpu": True}
            config = CreateConfigRTX(profiles=[profile], **targets)
        else:
            config = trt.CreateConfig(profiles=[profile])
        network = trt.NetworkFromOnnxPath(str(path), strongly_typed=True)
        return bytes(trt.EngineBytesFromNetwork(network, config)())
    except PolygraphyException as error:
        raise BundleError(
            f"{name} cannot compile '{path}': {error} Its messages on standard error, above, say why."
        ) from error

"""The machine that figures were measured on."""

import platform
from typing import Any

from bskim_export.backends.base import Backend
from bskim_export.backends.nvidia import describe_gpu
from bskim_export.backends.processor import processor_name


def describe_machine(backend: Backend) -> dict[str, Any]:
    """Return all that timings depend on: processor, GPU if there is one, threads, versions."""
    return {
        "cpu": processor_name(),
        "gpu": describe_gpu(),
        "threads": backend.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend": backend.name,
        "backend_version": backend.version,
        "precision": backend.precision,
    }

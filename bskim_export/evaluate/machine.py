"""The machine that figures were measured on."""

import platform
from pathlib import Path
from typing import Any

from bskim_export.backends.base import Backend
from bskim_export.backends.nvidia import describe_gpu


def describe_machine(backend: Backend) -> dict[str, Any]:
    """Return all that timings depend on: processor, GPU if there is one, threads, versions."""
    return {
        "cpu": _cpu_name(),
        "gpu": describe_gpu(),
        "threads": backend.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend": backend.name,
        "backend_version": backend.version,
        "precision": backend.precision,
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"

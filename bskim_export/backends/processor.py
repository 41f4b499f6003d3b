"""The processor of this machine, and which of its features make products of matrices fast."""

import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

FASTEST = {
    "fp32": (),
    "bf16": ("amx_bf16", "avx512_bf16", "bf16"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp"),
}
"""By precision, what Linux calls the features that compute in it, fastest first; x86 before Arm. Any processor is made
for fp32."""
_NAMES = frozenset(name for names in FASTEST.values() for name in names)


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return what the processor calls itself."""
    return _fields(cpuinfo).get("model name") or platform.processor() or "unknown"


@cache
def features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return those of FASTEST that this processor has; none where the system is not Linux."""
    fields = _fields(cpuinfo)
    return _NAMES & set((fields.get("flags") or fields.get("Features") or "").split())


def needed(precisions: Sequence[str], here: frozenset[str] | None = None) -> list[str]:
    """Return the features that make computing in some precisions as fast as it is here: the best of each.

    Args:
        here: those to choose from; default: this processor's

    Example:
        >>> needed(["fp32", "bf16"], frozenset(["amx_bf16", "avx512_bf16"]))
        ['amx_bf16']
    """
    here = features() if here is None else here
    best = (next((name for name in FASTEST[one] if name in here), None) for one in precisions)
    return sorted({name for name in best if name is not None})


def _fields(cpuinfo: Path) -> dict[str, str]:
    """Return what Linux says of the first core; nothing on other systems."""
    try:
        lines = cpuinfo.read_text(errors="replace").split("\n\n", 1)[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}

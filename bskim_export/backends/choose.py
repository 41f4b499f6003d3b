"""Chooses the backend that runs a bundle on this machine, and says why."""

from bskim_export.backends.base import Backend
from bskim_export.backends.catalogue import CATALOGUE, DEFAULT, open_backend
from bskim_export.backends.nvidia import compute_capability
from bskim_export.bundle.manifest import Manifest


def choose_backend(manifest: Manifest, threads: int | None = None) -> tuple[Backend, str]:
    """Return the backend that a bundle has engines for, if it runs here, else ONNX Runtime; and why, in one sentence.

    Args:
        threads: threads for one operator; default: the cores this process may use
    """
    against = []
    for engines in manifest.engines:
        device = f"compute capability {engines.compute_capability}"
        why_not = _why_not(engines.backend, engines.compute_capability)
        if not why_not:
            try:
                return open_backend(engines.backend, threads), f"the bundle has engines for {device}, as this GPU has"
            except Exception as error:  # a GPU library raises what it likes; the bundle answers all the same
                why_not = str(error)
        against.append(f"the bundle's engines are for {engines.backend} on {device}, and {why_not}")
    return open_backend(DEFAULT, threads), "; ".join(against) or "the bundle holds no engines for a GPU"


def _why_not(name: str, capability: str) -> str:
    """Return why engines of a backend for a compute capability do not run here, or ""."""
    here = compute_capability()
    if here is None:
        return "this machine has no NVIDIA GPU"
    if (found := ".".join(map(str, here))) != capability:
        return f"this GPU has {found}"
    if name not in CATALOGUE or CATALOGUE[name].installed is None:
        return f"{name} is not installed"
    return ""

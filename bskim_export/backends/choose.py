"""Chooses what runs a bundle on this machine, and says why."""

from bskim_export.backends.base import Backend
from bskim_export.backends.catalogue import CATALOGUE, DEFAULT, open_backend
from bskim_export.backends.nvidia import compute_capability
from bskim_export.backends.processor import features
from bskim_export.bundle.manifest import CpuWay, Manifest


def choose_backend(manifest: Manifest, threads: int | None = None) -> tuple[Backend, str]:
    """Return the backend that runs a bundle best here, and why, in one sentence.

    It is the one that the bundle has engines for, if their GPU is here; else the first of the ways that
    `bskim-export --for cpu` measured, if this processor has what made it fast; else ONNX Runtime.

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
    for way in manifest.cpu.ways if manifest.cpu else []:
        why_not = _why_not_way(way)
        if not why_not:
            try:
                opened = open_backend(way.backend, threads, way.precision)
                return opened, "; ".join([*against, "it is the fastest that was measured of what this processor has"])
            except Exception as error:  # whatever a library lacks here, the next one may have
                why_not = str(error)
        against.append(f"{way.backend} in {way.precision} was measured to be faster, but {why_not}")
    return open_backend(DEFAULT, threads), "; ".join(against) or "the bundle holds no engines for a GPU"


def measured_way(manifest: Manifest, backend: Backend) -> CpuWay | None:
    """Return how a backend was measured to run a bundle best, if it was, at the thresholds that the bundle has and on a
    processor like this one."""
    choice = manifest.cpu
    if choice is None:
        return None
    singles, documents = thresholds_in_order(manifest)
    if (choice.thresholds, choice.document_thresholds) != (singles, documents):
        return None
    same = (way for way in choice.ways if (way.backend, way.precision) == (backend.name, backend.precision))
    return next((way for way in same if features().issuperset(way.needs)), None)


def thresholds_in_order(manifest: Manifest) -> tuple[list[float], list[float]]:
    """Return a bundle's thresholds for questions of one window and of several, in the order of its skim layers."""
    documents = manifest.document_thresholds or manifest.thresholds
    return [manifest.thresholds[i] for i in manifest.skim_layers], [documents[i] for i in manifest.skim_layers]


def _why_not(name: str, capability: str) -> str:
    """Return why engines of a backend for a compute capability do not run here, or ""."""
    here = compute_capability()
    if here is None:
        return "this machine has no NVIDIA GPU"
    if (found := ".".join(map(str, here))) != capability:
        return f"this GPU has {found}"
    return _why_not_installed(name)


def _why_not_way(way: CpuWay) -> str:
    """Return why a way to run on a CPU is not taken here, or ""."""
    missing = sorted(set(way.needs) - features())
    if missing:
        return f"this processor has no {' or '.join(missing)}"
    return _why_not_installed(way.backend)


def _why_not_installed(name: str) -> str:
    return f"{name} is not installed" if name not in CATALOGUE or CATALOGUE[name].installed is None else ""

"""Whether what a manifest says of CPUs fits the rest of it. Standard library only."""

import math
import re
from collections.abc import Iterator

from bskim_export.bundle.manifest import CpuWay, Manifest

_NAME = re.compile(r"[a-z0-9_-]{1,40}", re.ASCII)


def cpu_faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the field that is wrong and what is wrong with it, of `Manifest.cpu`."""
    choice = manifest.cpu
    if choice is None:
        return
    if not choice.ways:
        yield "cpu: ways", "there is none"
    if not 1 <= choice.threads < 1 << 20:
        yield "cpu: threads", "expected 1 or more"
    for name in ("thresholds", "document_thresholds"):
        found = getattr(choice, name)
        if len(found) != len(manifest.skim_layers) or not all(0 <= value <= 1 for value in found):
            yield f"cpu: {name}", f"expected one from 0 to 1 for each of the layers {manifest.skim_layers}"
    for i, way in enumerate(choice.ways):
        yield from _way_faults(manifest, way, f"cpu: ways[{i}]")


def _way_faults(manifest: Manifest, way: CpuWay, place: str) -> Iterator[tuple[str, str]]:
    for name, values in (("backend", [way.backend]), ("precision", [way.precision]), ("needs", way.needs)):
        if not all(_NAME.fullmatch(value) for value in values):
            yield f"{place}: {name}", "expected names in lower case"
    for name in ("skim_layers", "document_skim_layers"):
        found = getattr(way, name)
        if found != [layer for layer in manifest.skim_layers if layer in found]:
            yield f"{place}: {name}", f"expected some of the layers {manifest.skim_layers}, in order"
    if not (way.seconds > 0 and math.isfinite(way.seconds)):
        yield f"{place}: seconds", "expected a number above 0"

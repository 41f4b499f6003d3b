"""What of a bundle decides answers: two bundles with the same identity answer alike. Standard library only."""

from dataclasses import asdict
from hashlib import sha256
from json import dumps
from typing import Any

from bskim_export.bundle.bundle import Bundle


def identity_of(bundle: Bundle) -> dict[str, Any]:
    """Return what of a bundle decides answers, as JSON has it."""
    manifest = bundle.manifest
    cpu = None if manifest.cpu is None else asdict(manifest.cpu)
    return {
        "files": sha256(dumps(sorted(manifest.files.items())).encode()).hexdigest(),
        "thresholds": [bundle.thresholds.get(i) for i in bundle.skim_layers],
        "document thresholds": [bundle.document_thresholds.get(i) for i in bundle.skim_layers],
        "defaults": asdict(manifest.defaults),
        "measured ways": sha256(dumps(cpu, sort_keys=True, default=str).encode()).hexdigest(),
    }

"""Whether a directory is a bundle and nothing else, so that it may be replaced. Standard library only."""

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

from bskim_export.bundle.integrity import read_small
from bskim_export.bundle.manifest_file import LARGEST_MANIFEST, MANIFEST
from bskim_export.errors import BundleError

FIELDS = {"format_version": int, "model": dict, "stages": list, "thresholds": dict, "files": dict, "versions": dict}
"""What a manifest of any version has, and other people's have not."""

MAY_HOLD = re.compile(
    r"manifest\.json|report\.json|tokenizer\.json"
    r"|onnx(/[^/]+\.(onnx|ort|bin|data))?"
    r"|engines(/[^/]+)?(/[^/]+\.(engine|json|cache))?"
    r"|(.*/)?\.[^/]+\.tmp-[0-9a-f]{16}"  # what a killed write left
    r"|\.(manifest|report)\.json\.[0-9]+",  # the same, of earlier releases
    re.DOTALL,
)
"""The paths in a bundle that its manifest does not list."""


def find_foreign(folder: Path, aside: Collection[str]) -> str | None:
    """Return what shows that a directory is not a bundle alone, as the end of a sentence; None if it is one.

    Args:
        aside: names in it that are not looked at
    """
    if not os.path.lexists(folder / MANIFEST):
        return "exists and is not a bundle"
    manifest = _read(folder / MANIFEST)
    if manifest is None:
        return f"has a {MANIFEST} that no bundle has"
    for name in _paths(folder, aside):
        if name not in manifest["files"] and not MAY_HOLD.fullmatch(name) and not _is_above(name, manifest["files"]):
            return f"also holds '{name}', which is not of the bundle"
    return None


def has_only_remains(folder: Path, aside: Collection[str]) -> bool:
    """Return whether a directory without a manifest holds but parts of a bundle, beside what was set aside: that is
    what an export leaves that was killed while it filled a mount point."""
    if not aside or os.path.lexists(folder / MANIFEST):
        return False
    known = {name for old in aside for name in (_read(folder / old / MANIFEST) or {"files": {}})["files"]}
    return all(n in known or MAY_HOLD.fullmatch(n) or _is_above(n, known) for n in _paths(folder, aside))


def is_mount_point(path: Path) -> bool:
    """Return whether a file system, or a part of one, is mounted at `path`, which has no links in it."""
    if os.path.ismount(path):
        return True
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    # Of a mount of the same file system, nothing but this tells. Blanks are written as \040.
    points = (re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), line.split()[4]) for line in mounts)
    return os.fsencode(path) in points


def _read(path: Path) -> dict[str, dict[str, object]] | None:
    try:
        raw = json.loads(read_small(path, LARGEST_MANIFEST))
    except (OSError, BundleError, ValueError, RecursionError):
        return None
    fits = isinstance(raw, dict) and all(type(raw.get(name)) is kind for name, kind in FIELDS.items())
    return raw if fits else None


def _paths(folder: Path, aside: Collection[str]) -> list[str]:
    """Return all that is in a directory, folders too, links as they are."""
    found = []
    for place, folders, names in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in aside]
            names = [name for name in names if name not in aside]
        found += [os.path.relpath(os.path.join(place, name), folder) for name in (*folders, *names)]
    return sorted(found)


def _is_above(folder: str, files: Collection[str]) -> bool:
    return any(name.startswith(f"{folder}/") for name in files)

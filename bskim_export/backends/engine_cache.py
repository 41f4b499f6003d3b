"""Compiled engines: one that does not fit is rebuilt, never trusted. Standard library only.

An engine is two files, `<name>.engine` and `<name>.json` with its key: the hashes of its graph and weights, the library
that compiled it, its device, precision and profile. The graphs are the truth; deleting engines loses nothing.

An engine is native code. From a bundle, only those are loaded whose hashes its manifest lists: export compiled them.
What is compiled later is kept in the user's own cache, where a bundle of somebody else cannot plant any.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bskim_export.atomic import write_atomic, write_json


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on.

    graph, weights: SHA-256 of the ONNX file and of the weights that it points to
    runtime: name and version of the library that compiled it
    device: compute capability, or the name of a processor
    precision: "fp32", "fp16", ...
    profile: see `Profile`, as a dict
    """

    graph: str
    weights: str
    runtime: str
    device: str
    precision: str
    profile: Mapping[str, Sequence[int]]


def user_cache_home() -> Path:
    """Return the folder of all that this package keeps for the user. Raises RuntimeError if there is no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bskim-export"


def user_cache(key: EngineKey) -> Path:
    """Return the folder of the user's engines for a model on a device."""
    return user_cache_home() / "engines" / f"{key.weights[:16]}-{key.runtime.split()[0]}-{key.device}"


def find_engine(folder: Path, name: str, key: EngineKey, listed: str | None = None) -> tuple[bytes | None, str]:
    """Return an engine's bytes and "", or None and in a few words why there is none that fits.

    Args:
        listed: its SHA-256 by the bundle's manifest; None trusts its label, as in a cache that only the user writes to

    Example:
        >>> find_engine(Path("nowhere"), "stage_00", EngineKey("a", "b", "rtx 1.7", "8.9", "fp16", {}))
        (None, 'it was not built yet')
    """
    try:
        found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        data = (folder / f"{name}.engine").read_bytes()
    except FileNotFoundError:
        return None, "it was not built yet"
    except (OSError, ValueError) as error:
        return None, f"it cannot be read ({error})"
    if not isinstance(found, dict) or not isinstance(found.get("key"), dict):
        return None, "its label is damaged"
    # Compared as JSON has it, which knows no tuples.
    wanted = json.loads(json.dumps(dataclasses.asdict(key)))
    if changed := [field for field, value in wanted.items() if found["key"].get(field) != value]:
        differences = ", ".join(f"{field} was {found['key'].get(field)}, is {wanted[field]}" for field in changed)
        return None, f"it is stale: {differences}"
    if hashlib.sha256(data).hexdigest() != (listed or found.get("sha256")):
        return None, "it is damaged: its SHA-256 is not the one it was written with"
    return data, ""


def keep_engine(folder: Path, name: str, key: EngineKey, data: bytes) -> str:
    """Write an engine and its label, each whole or not at all, and return its SHA-256.

    Killed between the two, the engine counts as damaged.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256(data).hexdigest()
    label = {"key": dataclasses.asdict(key), "sha256": digest}
    write_atomic(folder / f"{name}.engine", lambda stream: stream.write(data))
    write_json(folder / f"{name}.json", label)
    return digest

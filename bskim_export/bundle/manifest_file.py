"""manifest.json as bytes: written, sealed, and read back with its types checked. Standard library only.

Reading is total: whatever stands in the file, the result is a Manifest or a BundleError that names file and field.
`checks` then sees to it that the fields fit each other. `bundle.Bundle` alone writes the file.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from bskim_export.bundle.manifest import FORMAT_VERSION, Manifest
from bskim_export.errors import BundleError

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1 << 24
"""Bytes; that of a BERT-large has 70 thousand."""
REBUILD = "Export the model again with this version of bskim-export."
EDITABLE = ("thresholds", "document_thresholds")
"""The fields that the seal leaves out: they are the user's to edit."""
EDITED = (
    "Only 'thresholds' and 'document_thresholds' may be edited by hand. Copy the file again, or export the model again."
)


def encode(manifest: Manifest) -> bytes:
    """Return manifest.json: the fields, and a seal over all that nobody may edit."""
    raw = dataclasses.asdict(manifest)
    for name in EDITABLE:
        raw[name] = {str(layer): value for layer, value in raw[name].items()}
    if not manifest.document_thresholds:
        del raw["document_thresholds"]  # so that earlier releases read the bundle
    for name in ("single", "dense_alone", "cpu", "split"):
        if raw[name] is None:
            del raw[name]
    return (json.dumps({**raw, "seal": seal(raw)}, indent=2) + "\n").encode()


def decode(content: bytes, where: str) -> Manifest:
    """Return the manifest that `encode` wrote, its types checked.

    Args:
        where: the file's name, for errors

    Raises:
        BundleError: it is not JSON, of another format version, or a field is missing, unknown in type, or was edited.
    """
    try:
        raw = json.loads(content, object_pairs_hook=_without_duplicates, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"'{where}' is not valid JSON ({error}). {REBUILD}") from None
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if type(version) is not int or version != FORMAT_VERSION:
        shown = str(version)[:40] if version is not None else "missing"
        raise BundleError(f"'{where}': format_version is {shown}; this release reads {FORMAT_VERSION}. {REBUILD}")
    return typing.cast(Manifest, _parse(Manifest, raw, where))


def require_seal(content: bytes, where: str) -> None:
    """Raise BundleError unless all but the thresholds is as export wrote it. `content` has been decoded before."""
    raw = json.loads(content)
    if raw.get("seal") != seal(raw):
        raise BundleError(f"'{where}' was changed after export: its seal does not fit its fields. {EDITED}")


def seal(raw: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's fields as JSON, without those of EDITABLE.

    It is no signature, and protects from accidents only: a field of the right type and range that an editor or a bad
    copy changed would give wrong answers in silence.
    """
    sealed = {name: value for name, value in raw.items() if name not in (*EDITABLE, "seal")}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:40]!r} stands twice in one object")
        found[name] = value
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _parse(kind: Any, value: Any, where: str) -> Any:
    """Build a value of the annotated type `kind` from parsed JSON, naming the place of the first misfit."""
    origin = typing.get_origin(kind)
    args = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _parse_object(typing.cast(type, kind), value, where)
    if origin is types.UnionType:
        if value is None and types.NoneType in args:
            return None
        matching = [one for one in args if type(value) is one]
        return _parse(matching[0] if matching else args[0], value, where)
    if origin is list:
        return [_parse(args[0], v, f"{where}[{i}]") for i, v in enumerate(_expect(list, value, where))]
    if origin is dict:
        entries = _expect(dict, value, where).items()
        return {_key(args[0], k, where): _parse(args[1], v, f"{where}.{k[:40]}") for k, v in entries}
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise BundleError(f"{where}: expected float, found a number that is too large. {REBUILD}") from None
    return _expect(kind, value, where)


def _parse_object(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise BundleError(f"{where}: expected an object, found {type(value).__name__}. {REBUILD}")
    hints = typing.get_type_hints(kind)
    optional = {f.name for f in dataclasses.fields(kind) if _has_default(f)}
    if missing := hints.keys() - value.keys() - optional:
        raise BundleError(f"{where}: missing {', '.join(sorted(missing))}. {REBUILD}")
    return kind(**{k: _parse(hints[k], v, f"{where}: {k}") for k, v in value.items() if k in hints})


def _key(kind: type, key: str, where: str) -> Any:
    if kind is not int:
        return key
    if not (key.isascii() and key.isdigit() and len(key) < 7 and str(int(key)) == key):
        raise BundleError(f"{where}: '{key[:40]}' is not the number of a layer. {REBUILD}")
    return int(key)


def _expect(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:  # not isinstance: JSON's true is no number
        raise BundleError(f"{where}: expected {kind.__name__}, found {_shown(value)}. {REBUILD}")
    return value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python turns into text
        return "a number that is too large"
    return text if len(text) <= 80 else f"{text[:80]}..."


def _has_default(f: "dataclasses.Field[Any]") -> bool:
    return f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING

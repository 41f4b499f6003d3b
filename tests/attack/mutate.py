"""Mutations of JSON documents and of bytes, drawn at random."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

ODD_VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 31, 33, 512, 65_537, 2**31, 2**62, 2**63, 10**30, -(2**40), 0.5, -0.1, 1.5,
    1e308, 1e-320, "", "0", "x", "onnx/dense.onnx", "../x", "/dev/zero", "a\x00b", "\ud800", "é" * 5000, [],
    [None], [0], [[]], {}, {"file": "onnx/dense.onnx"},
)  # fmt: skip
"""What no field, or some field, expects."""

Path = tuple[str | int, ...]


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """Yield the way to every value inside a parsed JSON document."""
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, inner in entries:
        yield (*here, key)
        yield from paths(inner, (*here, key))


def at(value: Any, path: Path) -> Any:
    """Return the value at the end of a path."""
    for key in path:
        value = value[key]
    return value


def mutate_json(document: Any, random: Random) -> tuple[Any, str]:
    """Return a changed copy of a parsed JSON document, and in words what was changed."""
    changed = copy.deepcopy(document)
    ways = [path for path in paths(changed) if path[0] != "seal"]
    path = random.choice(ways)
    parent, key = at(changed, path[:-1]), path[-1]
    place = ".".join(map(str, path))
    kind = random.choice(("drop", "retype", "rename", "number", "swap", "stages", "repeat", "reorder", "text"))
    if kind == "drop":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[random.choice((f"{key}x", str(key).upper(), ""))] = parent.pop(key)
    elif kind == "number" and isinstance(parent[key], (int, float)):
        parent[key] = random.choice((parent[key] + 1, parent[key] - 1, parent[key] * 2, -parent[key], parent[key] // 2))
    elif kind == "swap":
        other = random.choice([p for p in ways if p[: len(path)] != path and path[: len(p)] != p] or [path])
        mine, theirs = at(changed, path), at(changed, other)
        parent[key] = theirs
        at(changed, other[:-1])[other[-1]] = mine
        place += f" with {'.'.join(map(str, other))}"
    elif kind == "stages":
        first, second = random.sample(range(len(changed["stages"])), 2)
        field = random.choice(("graph", "skim", "layers", "skim_layer", None))
        stages = changed["stages"]
        if field is None:
            stages[first], stages[second] = stages[second], stages[first]
        else:
            stages[first][field], stages[second][field] = stages[second].get(field), stages[first].get(field)
        place = f"stages {first} and {second}: {field or 'all'}"
    elif kind == "repeat" and isinstance(parent, list):
        parent.insert(random.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
    elif kind == "reorder" and isinstance(parent, list):
        random.shuffle(parent)
    elif kind == "text" and isinstance(parent[key], str) and parent[key]:
        text = parent[key]
        spot = random.randrange(len(text))
        parent[key] = random.choice((text[:spot] + text[spot + 1 :], text[:spot] + "0" + text[spot:], text + "/../x"))
    else:
        kind, parent[key] = "retype", random.choice(ODD_VALUES)
    return changed, f"{kind} {place}"


def mutate_bytes(content: bytes, random: Random) -> tuple[bytes, str]:
    """Return changed bytes, and in words what was changed."""
    kind = random.choice(("cut", "flip", "insert", "nest", "empty", "bom", "utf8", "double", "digits"))
    spot = random.randrange(len(content))
    if kind == "cut":
        return content[:spot], f"cut at {spot}"
    if kind == "flip":
        flipped = content[spot] ^ (1 << random.randrange(8))
        return content[:spot] + bytes([flipped]) + content[spot + 1 :], f"bit at {spot}"
    if kind == "insert":
        return content[:spot] + random.randbytes(3) + content[spot:], f"3 bytes at {spot}"
    if kind == "nest":
        depth = random.choice((100, 5_000, 200_000))
        return content.rstrip()[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}", f"nested {depth} deep"
    if kind == "bom":
        return b"\xef\xbb\xbf" + content, "a byte order mark"
    if kind == "utf8":
        return content[:spot] + b"\xff" + content[spot:], f"no UTF-8 at {spot}"
    if kind == "double":
        name = random.choice((b'"files": {}', b'"thresholds": {}', b'"precision": "fp16"'))
        return content.rstrip()[:-1] + b"," + name + b"}", f"a second {name.decode()}"
    if kind == "digits":
        number = random.choice((b"1" + b"0" * 5000, b"NaN", b"Infinity", b"1e999", b"-0"))
        return content.replace(b'"max_seq_len": ', b'"max_seq_len": ' + number + b', "was": ', 1), number[:8].decode()
    return b"", "empty"


def as_bytes(document: Any) -> bytes:
    """Return a document as JSON; lone surrogates are escaped."""
    return json.dumps(document, indent=2).encode()

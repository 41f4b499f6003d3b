"""Exported graphs in the user's cache, so that a model of a known structure is not traced again by the next process.

A file is an ONNX graph whose weights are inputs, with two notes in its metadata: where its weights come from, and in
what order its initializers stood. What is damaged or cannot be written costs no more than another tracing.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnx
import onnx_ir as ir

import bskim_export
from bskim_export.atomic import write_atomic
from bskim_export.backends.engine_cache import user_cache_home
from bskim_export.errors import BskimError
from bskim_export.export.graph_values import name_of
from bskim_export.export.onnx_graph import GraphTemplate

LIBRARIES = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript")
"""What traces, and so what a graph depends on."""
KEPT_FILES = 256
"""Of 10 to 300 KB; the least recently written are removed."""
_ORIGINS = "bskim_origins"
_ORDER = "bskim_initializers"


def encode(template: GraphTemplate) -> bytes:
    """Return a template as a file has it. The template itself stays as it is."""
    model = template.model.clone()
    graph = model.graph
    model.metadata_props[_ORDER] = json.dumps(list(graph.initializers))
    model.metadata_props[_ORIGINS] = json.dumps(template.origins)
    for name in template.origins:
        graph.inputs.append(graph.initializers.pop(name))
    return ir.to_proto(model).SerializeToString(deterministic=True)


def decode(content: bytes) -> GraphTemplate:
    """Return the template that `encode` was given.

    Raises:
        Exception: of many kinds; the content is something else.
    """
    proto = onnx.ModelProto()
    proto.ParseFromString(content)
    model = ir.from_proto(proto)
    graph = model.graph
    found = json.loads(model.metadata_props.pop(_ORIGINS))
    origins = {name: (str(parameter), bool(transposed)) for name, (parameter, transposed) in found.items()}
    weights = {name_of(v): v for v in graph.inputs if name_of(v) in origins}
    for value in weights.values():
        graph.inputs.remove(value)
    constants = {name: graph.initializers.pop(name) for name in list(graph.initializers)}
    order: Sequence[str] = json.loads(model.metadata_props.pop(_ORDER))
    for name in order:
        graph.initializers[name] = weights[name] if name in weights else constants[name]
    return GraphTemplate(model, origins)


def read_template(key: bytes) -> GraphTemplate | None:
    """Return the template of a structure, if the cache has it."""
    try:
        content = _path(key).read_bytes()
        digest, rest = content[:32], content[32:]
        return decode(rest) if hashlib.sha256(rest).digest() == digest else None
    except Exception:  # a damaged file, a home directory that cannot be read, ...: it is traced again
        return None


def write_template(key: bytes, content: bytes) -> None:
    """Put a template into the cache, if it can be written to."""
    with suppress(OSError, RuntimeError, BskimError):
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, lambda stream: stream.write(hashlib.sha256(content).digest() + content))
        old = sorted(path.parent.glob("*.template"), key=lambda p: p.stat().st_mtime_ns)
        for extra in old[:-KEPT_FILES]:
            extra.unlink(missing_ok=True)


def _path(key: bytes) -> Path:
    whole = hashlib.sha256(key + _made_by()).hexdigest()
    return user_cache_home() / "templates" / f"{whole[:40]}.template"


@cache
def _made_by() -> bytes:
    """Return a hash of all code that has a say in a graph: this package's, and the versions of the libraries."""
    digest = hashlib.sha256()
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            digest.update(f"{name} {version(name)};".encode())
    root = Path(bskim_export.__file__).parent
    for path in sorted([*root.glob("model/**/*.py"), *root.glob("export/**/*.py"), *root.glob("*.py"),
                        root / "bundle" / "tensors.py"]):  # fmt: skip
        digest.update(path.read_bytes())
    return digest.digest()

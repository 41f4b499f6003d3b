"""The bundle: the directory that export writes and the runtime reads. Standard library only.

manifest.json       what is in it: model, stages, shapes, thresholds, hashes, versions
onnx/               stage_00.onnx ... skim_00.onnx ... dense.onnx, and weights.bin, which they all share
tokenizer.json      the fast tokenizer
report.json         the evidence that the graphs do what PyTorch does
engines/            what was compiled from the graphs ahead of time; a cache, to be deleted at will
"""

import dataclasses
import hashlib
import json
import os
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

from bskim_export.errors import BundleError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
REPORT = "report.json"
REBUILD = "Export the model again with this version of bskim-export."
RECOPY = "Copy the whole directory again, or export the model again."
Stamps = dict[str, tuple[int, ...]]
"""Of each file of a bundle, what changes when another takes its place: device, inode, size, time of the last write."""


@dataclass(frozen=True)
class Graph:
    """One ONNX file of the bundle and the names of its inputs and outputs, in order.

    file: what ONNX Runtime runs on the CPU
    symmetric: of an INT8 graph, the file of the same in standard ONNX and with int8 activations of zero point 0, which
        is all that TensorRT takes; `file` has operators of ONNX Runtime's own, and activations in uint8
    """

    file: str
    inputs: list[str]
    outputs: list[str]
    symmetric: str | None = None

    @property
    def standard(self) -> str:
        """Return the file that any runtime can read."""
        return self.symmetric or self.file


@dataclass(frozen=True)
class Stage:
    """The work between two skim points.

    layers: the transformer layers whose attention this stage computes, first to last
    skim_layer: the layer whose predictor follows the stage; None for the last stage
    skim: that predictor's graph
    """

    graph: Graph
    layers: list[int]
    skim_layer: int | None = None
    skim: Graph | None = None


@dataclass(frozen=True)
class Model:
    """What the runtime must know of the model: shapes, special positions, identity.

    predictor_macs: multiply-accumulates of a predictor for one passage block; 0 without predictors
    predictor_question_macs: the same for one question block; 0 if it does not look at them
    predictor: the kind of the predictors
    position_offset: position id of a window's first token (0 for BERT, 2 for RoBERTa)
    pad_position: position id of a padding token, or None if padding counts on
    """

    family: str
    source: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    head_size: int
    embedding_size: int
    type_vocab_size: int
    block_size: int
    max_seq_len: int
    pad_token_id: int
    cls_token_id: int | None
    predictor_macs: int
    position_offset: int = 0
    pad_position: int | None = None
    predictor: str = "diagonal"
    predictor_question_macs: int = 0


@dataclass(frozen=True)
class EngineSet:
    """The compiled engines of all graphs for one kind of GPU.

    backend, version: what compiled them
    compute_capability: of the GPU, like "8.9"
    batch_size: windows that run together: the usual number and the most
    length: positions of a window: the usual number and the most
    """

    backend: str
    version: str
    compute_capability: str
    batch_size: list[int]
    length: list[int]

    @property
    def folder(self) -> str:
        """Return where in the bundle they are."""
        return f"engines/{self.backend}-{self.compute_capability}"


@dataclass(frozen=True)
class Manifest:
    """The contents of manifest.json.

    thresholds: maps a layer number (as JSON has it, a string) to its threshold
    files: the SHA-256 of each; engines are not among them, since each has a label of its own
    """

    model: Model
    dense: Graph
    stages: list[Stage]
    thresholds: dict[str, float]
    precision: str
    files: dict[str, str]
    versions: dict[str, str]
    engines: list[EngineSet] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    @property
    def skim_layers(self) -> list[int]:
        """Return the layers that have a predictor."""
        return [s.skim_layer for s in self.stages if s.skim_layer is not None]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json into `folder`."""
    (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(manifest), indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json.

    Raises:
        BundleError: there is no bundle, or it is of another format version, or a field is missing or of a wrong type.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"'{folder}' is not a bundle: it has no {MANIFEST}. Create one with: bskim-export MODEL --out {folder}"
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"'{path}' is not valid JSON ({error}). {REBUILD}") from None
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(f"'{path}' has format version {version}; this release reads {FORMAT_VERSION}. {REBUILD}")
    return _parse(Manifest, raw, str(path))


def verify_files(folder: Path, manifest: Manifest) -> Stamps:
    """Check every file that the manifest lists against its SHA-256, and return their stamps for `check_unchanged`.

    Raises:
        BundleError: a file is missing, or its content is not what export wrote.
    """
    stamps = _stamps(folder, manifest)  # before they are read: a file that changes meanwhile shows
    for name, digest in manifest.files.items():
        path, fault = Path(folder) / name, None
        try:
            if hash_file(path) != digest:
                fault = f"'{path}' is damaged: its SHA-256 differs from the manifest's."
        except FileNotFoundError:
            fault = f"The bundle '{folder}' is incomplete: '{name}' is missing."
        except OSError as error:
            fault = f"'{path}' cannot be read ({error.strerror})."
        if fault:
            check_current(folder, manifest)
            raise BundleError(f"{fault} {RECOPY}")
    return stamps


def check_unchanged(folder: Path, manifest: Manifest, stamps: Stamps) -> None:
    """Check that the files are still those that `verify_files` read, without reading them.

    Raises:
        BundleError: they are not. What was loaded before and after is of two bundles.
    """
    if _stamps(folder, manifest) != stamps:
        raise BundleError(_replaced(folder))


def check_current(folder: Path, manifest: Manifest) -> None:
    """Raise BundleError if another bundle has taken the place of this one since its manifest was read, or none has."""
    if read_manifest(folder).files != manifest.files:
        raise BundleError(_replaced(folder))


def _stamps(folder: Path, manifest: Manifest) -> Stamps:
    stamps = {}
    for name in manifest.files:
        try:
            found = os.stat(Path(folder) / name)
        except OSError:  # `verify_files` says which and why
            continue
        stamps[name] = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return stamps


def _replaced(folder: Path) -> str:
    return f"The bundle '{folder}' was replaced or changed after it was opened. Start again with what is there."


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parse(kind, value, where: str):
    """Build a value of the annotated type `kind` from parsed JSON, naming the place of the first misfit."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise BundleError(f"{where}: expected an object, found {type(value).__name__}. {REBUILD}")
        hints = typing.get_type_hints(kind)
        optional = {f.name for f in dataclasses.fields(kind) if _has_default(f)}
        if missing := hints.keys() - value.keys() - optional:
            raise BundleError(f"{where}: missing {', '.join(sorted(missing))}. {REBUILD}")
        return kind(**{k: _parse(hints[k], v, f"{where}: {k}") for k, v in value.items() if k in hints})
    if origin is types.UnionType:
        return None if value is None else _parse(args[0], value, where)
    if origin is list:
        return [_parse(args[0], v, f"{where}[{i}]") for i, v in enumerate(_expect(list, value, where))]
    if origin is dict:
        return {k: _parse(args[1], v, f"{where}.{k}") for k, v in _expect(dict, value, where).items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _expect(kind, value, where)


def _expect(kind, value, where: str):
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BundleError(f"{where}: expected {kind.__name__}, found {value!r}. {REBUILD}")
    return value


def _has_default(f: dataclasses.Field) -> bool:
    return f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING

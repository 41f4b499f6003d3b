"""manifest.json: its fields, and how they are read and written. Standard library only.

Reading is total: whatever stands in the file, the result is a Manifest whose parts fit each other, or a BundleError
that names file and field. What parts must fit is in `checks`; who may write the file is `bundle.Bundle` alone.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bskim_export.bundle.tensors import TensorSpec
from bskim_export.errors import BundleError

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
REBUILD = "Export the model again with this version of bskim-export."
EDITED = "Only 'thresholds' may be edited by hand. Copy the file again, or export the model again."
DOC_STRIDE = 128
MAX_ANSWER_LEN = 30
"""Tokens of an answer at most, as SQuAD systems are evaluated."""


@dataclass(frozen=True)
class Graph:
    """One ONNX file of the bundle and its inputs and outputs, in order.

    file: what ONNX Runtime runs on the CPU
    symmetric: of an INT8 graph, the file of the same in standard ONNX and with int8 activations of zero point 0, which
        is all that TensorRT takes; `file` has operators of ONNX Runtime's own, and activations in uint8
    """

    file: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    symmetric: str | None = None

    @property
    def input_names(self) -> list[str]:
        """Return the names of the inputs."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Return the names of the outputs."""
        return [tensor.name for tensor in self.outputs]

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
class RunDefaults:
    """How a bundle's questions are run unless a call says otherwise; see `runtime.options.RunOptions`.

    max_seq_len: positions of a window, question and special tokens included
    doc_stride: passage tokens that neighbouring windows share
    max_answer_len: tokens of an answer at most
    """

    max_seq_len: int
    doc_stride: int
    max_answer_len: int = MAX_ANSWER_LEN

    @classmethod
    def of_length(cls, max_seq_len: int) -> "RunDefaults":
        """Return the defaults of windows of so many positions: they share DOC_STRIDE tokens, or half of a short one.

        Example:
            >>> RunDefaults.of_length(384).doc_stride, RunDefaults.of_length(100).doc_stride
            (128, 50)
        """
        return cls(max_seq_len, min(DOC_STRIDE, max_seq_len // 2))


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

    thresholds: of each layer that has a predictor, the keep probability from which a block stays
    defaults: how questions are run unless a call says otherwise
    files: the SHA-256 of each; engines are not among them, since each has a label of its own
    """

    model: Model
    dense: Graph
    stages: list[Stage]
    thresholds: dict[int, float]
    defaults: RunDefaults
    precision: str
    files: dict[str, str]
    versions: dict[str, str]
    engines: list[EngineSet] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    @property
    def skim_layers(self) -> list[int]:
        """Return the layers that have a predictor."""
        return [s.skim_layer for s in self.stages if s.skim_layer is not None]

    @property
    def graphs(self) -> list[Graph]:
        """Return all graphs: stages and predictors in the order in which they run, then the dense one if it is not
        among them."""
        found = [g for s in self.stages for g in (s.graph, s.skim) if g is not None]
        return found if self.dense in found else [*found, self.dense]


def encode(manifest: Manifest) -> bytes:
    """Return manifest.json: the fields, and a seal over all that nobody may edit."""
    raw = dataclasses.asdict(manifest)
    raw["thresholds"] = {str(layer): value for layer, value in manifest.thresholds.items()}
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
    """Return the SHA-256 of a manifest's fields as JSON, thresholds left out: those are the user's to edit.

    It is no signature, and protects from accidents only: a field of the right type and range that an editor or a bad
    copy changed would give wrong answers in silence.
    """
    sealed = {name: value for name, value in raw.items() if name not in ("thresholds", "seal")}
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

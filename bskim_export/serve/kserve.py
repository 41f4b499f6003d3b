"""KServe's Open Inference Protocol, version 2, over HTTP, with Triton's extension for binary tensors.

A model is a bundle. Its inputs are `question` and `context`, its outputs `answer`, `score`, `start` and `end`: of shape
[n] for n questions, or [n, top_k] if the parameter top_k is above 1, where missing answers are empty with score 0.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from bskim_export.serve.front import StatusError

INPUTS = ("question", "context")
OUTPUTS = {"answer": "BYTES", "score": "FP32", "start": "INT64", "end": "INT64"}
HEADER = "Inference-Header-Content-Length"
OF_THE_PROTOCOL = ("binary_data_output", "priority", "timeout", "sequence_id", "sequence_start", "sequence_end")
"""Parameters of a request that are not for the bundle."""


def describe(name: str, version: str) -> dict[str, Any]:
    """Return a model's metadata."""
    return {
        "name": name,
        "versions": [version],
        "platform": "bskim",
        "inputs": [{"name": one, "datatype": "BYTES", "shape": [-1]} for one in INPUTS],
        "outputs": [{"name": one, "datatype": kind, "shape": [-1]} for one, kind in OUTPUTS.items()],
    }


def split_body(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    """Return the JSON of a request, and the binary tensors behind it.

    Args:
        length: of the JSON, as the header `HEADER` tells; None for all

    Raises:
        StatusError: the header is no length of the body.
    """
    if length is None:
        return body, b""
    if not (length.isascii() and length.isdecimal()) or int(length) > len(body):
        raise StatusError(400, f"{HEADER} must be a number up to the body's {len(body)} bytes, got '{length:.30}'.")
    return body[: int(length)], body[int(length) :]


def read_request(request: Mapping[str, Any], binary: bytes) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Return the questions of a request, and the parameters that are for the bundle.

    Args:
        request: its JSON
        binary: tensors behind it

    Raises:
        StatusError: it is no request of this protocol for this model.

    Example:
        >>> tensor = {"shape": [1], "datatype": "BYTES"}
        >>> inputs = [{**tensor, "name": "question", "data": ["Who?"]}, {**tensor, "name": "context", "data": ["Ada."]}]
        >>> read_request({"inputs": inputs, "parameters": {"top_k": 2}}, b"")
        ([{'question': 'Who?', 'context': 'Ada.'}], {'top_k': 2})
    """
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, Mapping) for one in inputs):
        raise StatusError(400, "`inputs` must be a list of tensors.")
    found: dict[str, list[str]] = {}
    for one in inputs:
        name = one.get("name")
        if name not in INPUTS or name in found:
            raise StatusError(400, f"The inputs of this model are {' and '.join(INPUTS)}, each once, got {name!r:.60}.")
        found[name], binary = _read_texts(name, one, binary)
    missing = [name for name in INPUTS if name not in found]
    if missing:
        raise StatusError(400, f"There is no input '{missing[0]}'.")
    if len(found["question"]) != len(found["context"]):
        raise StatusError(
            400, f"There are {len(found['question'])} questions, but {len(found['context'])} contexts: pass as many."
        )
    parameters = request.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise StatusError(400, "`parameters` must be an object.")
    own = {name: value for name, value in parameters.items() if name not in OF_THE_PROTOCOL}
    pairs = zip(found["question"], found["context"], strict=True)
    return [{"question": question, "context": context} for question, context in pairs], own


def _read_texts(name: str, tensor: Mapping[str, Any], binary: bytes) -> tuple[list[str], bytes]:
    """Return the strings of a tensor, and the binary data behind its own."""
    shape = tensor.get("shape")
    if tensor.get("datatype") != "BYTES":
        raise StatusError(400, f"The input '{name}' must be of datatype BYTES, got {tensor.get('datatype')!r:.30}.")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise StatusError(400, f"The input '{name}' has no shape: a list of sizes.")
    own = tensor.get("parameters")
    size = own.get("binary_data_size") if isinstance(own, Mapping) else None
    if size is None:
        texts = _flat(tensor.get("data"))
        if not all(isinstance(text, str) for text in texts):
            raise StatusError(400, f"The data of '{name}' must be strings.")
    else:
        if type(size) is not int or not 0 <= size <= len(binary):
            raise StatusError(400, f"The binary data of '{name}' is shorter than its binary_data_size, {size!r:.30}.")
        texts = _unpack(name, binary[:size])
        binary = binary[size:]
    if len(texts) != prod(shape):
        raise StatusError(400, f"The input '{name}' has {len(texts)} strings, but the shape {shape!s:.60}.")
    return texts, binary


def _flat(data: Any) -> list[Any]:
    """Return what nested lists hold, in order, which the protocol allows beside flat ones."""
    if not isinstance(data, list):
        return [None]
    waiting = data
    while any(isinstance(one, list) for one in waiting):
        waiting = [inner for one in waiting for inner in (one if isinstance(one, list) else [one])]
    return waiting


def _unpack(name: str, data: bytes) -> list[str]:
    texts = []
    place = 0
    while place < len(data):
        end = place + 4
        if end <= len(data):
            end += struct.unpack_from("<I", data, place)[0]
        if place + 4 > len(data) or end > len(data):
            raise StatusError(400, f"The binary data of '{name}' ends within a string.")
        try:
            texts.append(data[place + 4 : end].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise StatusError(400, f"String {len(texts)} of '{name}' is not UTF-8: {error}") from None
        place = end
    return texts


def write_response(
    name: str, version: str, request: Mapping[str, Any], results: Sequence[Sequence[Mapping[str, Any]]], top_k: int
) -> tuple[bytes, int | None]:
    """Return the body of a response, and the length of its JSON if tensors follow it.

    Args:
        request: the JSON of the request, which says what is wanted and how
        results: of each question its answers, best first

    Raises:
        StatusError: an output is wanted that the model has not.
    """
    all_binary = _wants_binary(request, "binary_data_output", False)
    wanted = request.get("outputs") or [{"name": one} for one in OUTPUTS]
    if not isinstance(wanted, list) or not all(isinstance(o, Mapping) and o.get("name") in OUTPUTS for o in wanted):
        raise StatusError(400, f"`outputs` must be a list of tensors that the model has: {', '.join(OUTPUTS)}.")
    none = {"answer": "", "score": 0.0, "start": 0, "end": 0}
    rows = [[*answers, *[none] * (top_k - len(answers))] for answers in results]
    shape = [len(rows)] if top_k == 1 else [len(rows), top_k]
    outputs = []
    binary = b""
    for one in wanted:
        values = [answer[one["name"]] for row in rows for answer in row]
        output: dict[str, Any] = {"name": one["name"], "datatype": OUTPUTS[one["name"]], "shape": shape}
        if _wants_binary(one, "binary_data", all_binary):
            packed = _pack(output["datatype"], values)
            output["parameters"] = {"binary_data_size": len(packed)}
            binary += packed
        else:
            output["data"] = values
        outputs.append(output)
    response = {"model_name": name, "model_version": version, "outputs": outputs}
    if isinstance(request.get("id"), str):
        response["id"] = request["id"]
    header = json.dumps(response, separators=(",", ":")).encode("ascii")
    return header + binary, len(header) if binary else None


def _wants_binary(what: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    """Return a parameter of a request or of an output."""
    parameters = what.get("parameters")
    return bool(parameters.get(name, otherwise)) if isinstance(parameters, Mapping) else otherwise


def _pack(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [text.encode("utf-8", "replace") for text in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.array(values, {"FP32": "<f4", "INT64": "<i8"}[datatype]).tobytes()

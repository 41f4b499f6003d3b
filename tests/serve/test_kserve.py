"""The Open Inference Protocol, as tritonclient writes and reads it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferInput, InferRequestedOutput, InferResult
from tritonclient.http._utils import _get_inference_request

from bskim_export.serve import kserve
from bskim_export.serve.front import StatusError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4)
ANSWERS = st.fixed_dictionaries(
    {"answer": TEXTS, "score": st.floats(0, 1, width=32), "start": st.integers(0, 2**40), "end": st.integers(0, 2**40)}
)


def tensor(name, texts, binary, shape=None):
    made = InferInput(name, shape or [len(texts)], "BYTES")
    array = np.array([text.encode() for text in texts], dtype=object).reshape(shape or [-1])
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def written_by_the_client(inputs, outputs=None, parameters=None):
    """Return the body that tritonclient sends, and the length of its JSON."""
    return _get_inference_request(
        inputs=inputs, request_id="7", outputs=outputs, sequence_id=0, sequence_start=False, sequence_end=False,
        priority=0, timeout=None, custom_parameters=parameters,
    )  # fmt: skip


@given(pairs=PAIRS, binary=st.tuples(st.booleans(), st.booleans()))
def test_what_the_client_writes_is_read(pairs, binary):
    inputs = [tensor(name, [p[i] for p in pairs], binary[i]) for i, name in enumerate(kserve.INPUTS)]
    body, length = written_by_the_client(inputs, parameters={"top_k": 2})
    text, rest = kserve.split_body(body, None if length is None else str(length))
    questions, parameters = kserve.read_request(json.loads(text), rest)
    assert questions == [{"question": q, "context": c} for q, c in pairs]
    assert parameters == {"top_k": 2}


@given(rows=st.lists(st.lists(ANSWERS, min_size=1, max_size=2), min_size=1, max_size=3), binary=st.booleans())
def test_what_is_written_the_client_reads(rows, binary):
    outputs = [InferRequestedOutput(name, binary_data=binary) for name in kserve.OUTPUTS]
    body, length = written_by_the_client([tensor(name, ["a"], False) for name in kserve.INPUTS], outputs)
    asked = json.loads(body if length is None else body[:length])
    content, length = kserve.write_response("qa", "1", asked, rows, 2)
    result = InferResult.from_response_body(content, header_length=length)
    assert result.get_response()["id"] == "7"
    for name in kserve.OUTPUTS:
        found = result.as_numpy(name)
        assert found.shape == (len(rows), 2)
        for row, expected in zip(found.tolist(), rows, strict=True):
            for value, one in zip(row, expected, strict=False):
                assert (value.decode() if isinstance(value, bytes) else value) == one[name]


def test_tensors_of_more_dimensions_and_nested_data():
    shaped = [tensor(name, ["a", "b"], False, [2, 1]) for name in kserve.INPUTS]
    body, _ = written_by_the_client(shaped)
    assert len(kserve.read_request(json.loads(body), b"")[0]) == 2
    nested = [{"name": n, "shape": [2, 1], "datatype": "BYTES", "data": [["a"], ["b"]]} for n in kserve.INPUTS]
    assert len(kserve.read_request({"inputs": nested}, b"")[0]) == 2


GOOD = {"shape": [1], "datatype": "BYTES", "data": ["a"]}


def request(**changes):
    return {"inputs": [{"name": "question", **GOOD}, {"name": "context", **GOOD, **changes}]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "must be a list of tensors"),
        ({"inputs": [5]}, "must be a list of tensors"),
        ({"inputs": []}, "There is no input 'question'"),
        ({"inputs": [{"name": "question", **GOOD}] * 2}, "each once"),
        ({"inputs": [{"name": ["question"], **GOOD}]}, "each once"),
        (request(name="passages"), "each once"),
        (request(datatype="FP32"), "datatype BYTES"),
        (request(shape=None), "has no shape"),
        (request(shape=[True]), "has no shape"),
        (request(shape=[-1]), "has no shape"),
        (request(shape=[2]), "has 1 strings, but the shape [2]"),
        (request(data="a"), "must be strings"),
        (request(data=[5]), "must be strings"),
        (request(data=["a", "b"], shape=[2]), "1 questions, but 2 contexts"),
        (request(parameters={"binary_data_size": 9}), "shorter than its binary_data_size"),
        (request(parameters={"binary_data_size": "9"}), "shorter than its binary_data_size"),
        (request(parameters={"binary_data_size": 3}), "ends within a string"),
        (request(parameters={"binary_data_size": 5}), "ends within a string"),
        ({**request(), "parameters": [1]}, "must be an object"),
    ],
)
def test_what_is_no_request_is_refused(asked, message):
    with pytest.raises(StatusError) as refusal:
        kserve.read_request(asked, b"\x09\0\0\0a")
    assert message in str(refusal.value)
    assert refusal.value.status == 400


@pytest.mark.parametrize("length", ["", "-1", "99", "5.0", "٣"])
def test_the_length_of_the_json_must_be_one(length):
    with pytest.raises(StatusError, match="must be a number up to"):
        kserve.split_body(b"{}", length)


@pytest.mark.parametrize("outputs", [[{"name": "logits"}], [5], {"name": "answer"}])
def test_outputs_that_are_not_there_are_refused(outputs):
    with pytest.raises(StatusError, match="`outputs` must be a list"):
        kserve.write_response("qa", "1", {"outputs": outputs}, [], 1)

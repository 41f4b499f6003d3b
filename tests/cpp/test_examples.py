"""The examples in C and C++ run as their users run them; the service gives what its twin in Python gives."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from bskim_export.data.question import sample

EXAMPLES = Path(__file__).parents[2] / "examples"
ADA = {"question": "Who wrote it?", "context": "Ünï: it was written by Ada Lovelace in 1843."}
MOST = 1e-5
LONGEST = 1 << 20


@contextmanager
def serving(command: list[str]) -> Iterator[int]:
    """Run a service on a free port, and yield that. In the end it is told to stop, and must end well."""
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
            assert found, line + process.stderr.read()
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == ""


@pytest.fixture(scope="module")
def services(cpp_tool, minilm_bundle) -> Iterator[tuple[int, int]]:
    """The ports of the service in C++ and in Python."""
    with (
        serving([str(cpp_tool("examples/http_service")), str(minilm_bundle)]) as own,
        serving([sys.executable, str(EXAMPLES / "serve.py"), str(minilm_bundle)]) as python,
    ):
        yield own, python


def request(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.load(response)
    finally:
        connection.close()


def post(port: int, asked: Any) -> tuple[int, Any]:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    return request(port, "POST", "/answer", body)


def assert_same(services, asked: Any) -> list[dict[str, Any]]:
    """Ask both, and compare all but the last digits of scores. Returns the answers."""
    (status, own), (other, python) = (post(port, asked) for port in services)
    assert (status, other) == (200, 200), (own, python)
    for one, two in zip(own["answers"], python["answers"], strict=True):
        assert abs(one["score"] - two["score"]) <= MOST
    scores = [[{**one, "score": None} for one in found["answers"]] for found in (own, python)]
    assert scores[0] == scores[1]
    assert own.keys() == python.keys() == {"answers"}
    return own["answers"]


def test_the_example_in_c_prints_an_answer_or_the_error(cpp_tool, minilm_bundle, minilm_qa, tmp_path):
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(cpp_tool("examples/answer")), *map(str, arguments)], capture_output=True, text=True, timeout=60
        )

    done = run(minilm_bundle, ADA["question"], ADA["context"])
    expected = minilm_qa(**ADA)
    assert (done.returncode, done.stderr) == (0, "")
    text, places = done.stdout.splitlines()
    assert text == expected["answer"] == "Ada Lovelace"
    assert places == f"characters 23 to 35, bytes 25 to 37, score {expected['score']:.3f}"
    assert (expected["start"], expected["end"]) == (23, 35)
    for arguments, message in (
        ((minilm_bundle, "", "Ada."), "Error 1: `question` cannot be empty.\n"),
        ((tmp_path, "Who?", "Ada."), f"Error 2: '{tmp_path}' is not a bundle"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(message)
    done = run(minilm_bundle)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_the_example_in_c_is_c99(tmp_path):
    root = Path(__file__).parents[2] / "cpp"
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", f"-I{root / 'include'}"]
    subprocess.run([*command, str(root / "examples" / "answer.c"), "-o", str(tmp_path / "answer.o")], check=True)


def test_both_services_give_the_same_answers(services, squad):
    for q in sample(squad, 10, seed=3):
        answers = assert_same(services, {"question": q.question, "context": q.context, "top_k": 2})
        raw = q.context.encode()
        assert all(raw[one["start_byte"] : one["end_byte"]].decode() == one["answer"] for one in answers)
    [answer] = assert_same(services, ADA | {"top_k": None, "max_answer_len": 10, "window_scale": "logits"})
    assert (answer["start"], answer["start_byte"], answer["answer"]) == (23, 25, "Ada Lovelace")


def test_passages_and_no_answer_too(services):
    passages = ["Ünï.", {"title": "Ädä", "text": ADA["context"]}, {"text": "Bo wrote it.", "id": 7}]
    asked = {"question": "Who wrote it?", "passages": passages, "top_k": 3}
    assert {one["passage"] for one in assert_same(services, asked)} == {1, 2}
    [answer] = assert_same(
        services, {"question": "Why?", "passages": ["No."], "handle_impossible_answer": True, "top_k": 1}
    )
    assert {"passage", "start_byte"} <= answer.keys()
    answers = assert_same(
        services, {"question": "Why?", "passages": ["No."], "handle_impossible_answer": True, "top_k": 5}
    )
    assert None in [one["passage"] for one in answers]


@pytest.mark.parametrize(
    "asked",
    [
        ADA | {"question": ""},
        ADA | {"context": " \n"},
        ADA | {"top_k": 0},
        ADA | {"window_scale": "other"},
        ADA | {"passages": ["Ada."]},
        {"question": "Who?"},
        {"question": "Who?", "passages": []},
        {"question": "Who?", "passages": ["", "\n"]},
        {"question": "who " * 400, "context": "Ada."},
    ],
    ids=lambda asked: str(asked)[:60],
)
def test_what_the_pipeline_refuses_is_400_with_the_same_text(services, asked):
    own, python = (post(port, asked) for port in services)
    assert own == python
    assert own[0] == 400
    assert own[1].keys() == {"error"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Who?",
        b'{"question": "Who?", "context": "Ada."',
        b"[]",
        b'"Who?"',
        b"null",
        b"[" * 100_000,
        b'{"question": "Who?", "context": "\xff"}',
        b'{"question": "Who?", "context": "\\ud800"}',
        b'{"context": "Ada."}',
        b'{"question": 1, "context": "Ada."}',
        b'{"question": "Who?", "context": ["Ada."]}',
        b'{"question": "Who?", "passages": "Ada."}',
        b'{"question": "Who?", "passages": [{"title": "Ada"}]}',
        b'{"question": "Who?", "passages": [{"text": "Ada", "title": 1}]}',
        b'{"question": "Who?", "context": "Ada.", "top_k": "2"}',
        b'{"question": "Who?", "context": "Ada.", "top_k": 1.5}',
        b'{"question": "Who?", "context": "Ada.", "top_k": 1e999}',
        b'{"question": "Who?", "context": "Ada.", "top_k": 4294967297}',
        b'{"question": "Who?", "context": "Ada.", "top_k": 18446744073709551615}',
        b'{"question": "Who?", "context": "Ada.", "handle_impossible_answer": 1}',
        b'{"question": "Who?", "context": "Ada.", "topk": 1}',
        b'{"question": "Who?", "context": "Ada.", "\\u0000": 1}',
    ],
    ids=lambda body: body[:70].decode(errors="replace"),
)
def test_what_is_no_request_is_400(services, body):
    for port in services:
        status, answer = post(port, body)
        assert status == 400, answer
        assert answer.keys() == {"error"}
        assert answer["error"]


def test_a_request_has_a_size_limit_and_other_paths_are_not_there(services):
    large = ADA | {"context": "Ada. " * (LONGEST // 5)}
    for port in services:
        assert post(port, large)[0] == 413
        assert post(port, ADA)[0] == 200
        status, answer = request(port, "GET", "/nowhere")
        assert status == 404
        assert answer.keys() == {"error"}
        assert request(port, "GET", "/healthz") == (200, {"backend": "onnxruntime"})


def test_many_at_once_get_what_each_gets_alone(services, squad):
    asked = [{"question": q.question, "context": q.context} for q in sample(squad, 16, seed=4)]
    for port in services:
        expected = [post(port, one) for one in asked]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda one, port=port: post(port, one), asked * 2)) == expected * 2


def test_a_service_ends_at_ctrl_c_and_says_what_it_lacks(cpp_tool, minilm_bundle, tmp_path):
    tool = str(cpp_tool("examples/http_service"))
    for command in ([tool], [sys.executable, str(EXAMPLES / "serve.py")]):
        run = [*command, str(minilm_bundle), "--port", "0"]
        with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline().startswith("listening on ")
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0
        done = subprocess.run([*command, str(tmp_path), "--port", "0"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "is not a bundle" in done.stderr


def test_the_service_in_python_needs_no_torch(minilm_bundle):
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import serve; serve.QAPipeline(sys.argv[2]); print(*sys.modules)"
    )
    command = [sys.executable, "-c", program, str(EXAMPLES), str(minilm_bundle)]
    loaded = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert "fastapi" in loaded
    assert not {"torch", "transformers"} & set(loaded)

"""A service as its clients meet it."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http
from huggingface_hub import InferenceClient
from serve.conftest import eventually

from bskim_export import QAPipeline
from bskim_export.data.question import sample

ADA = {"question": "Who wrote it?", "context": "It was written by Ada Lovelace in 1843."}
ASK = {"inputs": ADA}


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return tiny_bundle("bert")


@pytest.fixture(scope="module")
def service(serving, bundle):
    with serving(f"qa={bundle}", f"other={bundle}", "--max-body", 0.2, "--max-windows", 64) as running:
        yield running


@pytest.fixture(scope="module")
def qa(bundle):
    return QAPipeline(bundle)


def test_huggingface_hub_is_a_client(service, qa, squad):
    client = InferenceClient(base_url=service.url)
    for one in sample(squad, 5, seed=1):
        for options in ({}, {"top_k": 3, "max_answer_len": 8, "handle_impossible_answer": True}):
            found = client.question_answering(question=one.question, context=one.context, **options)
            expected = qa.run(one.question, one.context, **options)
            expected = expected if isinstance(expected, list) else [expected]
            assert [{k: getattr(a, k) for k in ("score", "start", "end", "answer")} for a in found] == expected


@pytest.mark.parametrize("binary", [False, True])
def test_tritonclient_is_a_client(service, qa, squad, binary):
    client = tritonclient.http.InferenceServerClient(f"{service.host}:{service.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("qa")
    metadata = client.get_model_metadata("qa")
    assert {one["name"] for one in metadata["inputs"]} == {"question", "context"}
    questions = sample(squad, 4, seed=2)
    inputs = []
    for name in ("question", "context"):
        texts = np.array([getattr(one, name).encode() for one in questions], dtype=object)
        inputs.append(tritonclient.http.InferInput(name, [len(texts)], "BYTES"))
        inputs[-1].set_data_from_numpy(texts, binary_data=binary)
    outputs = [tritonclient.http.InferRequestedOutput(one["name"], binary_data=binary) for one in metadata["outputs"]]
    found = client.infer("qa", inputs, model_version=metadata["versions"][0], outputs=outputs, parameters={"top_k": 2})
    expected = qa.run(data=[{"question": q.question, "context": q.context} for q in questions], top_k=2)
    answers = found.as_numpy("answer").tolist()
    assert [[t.decode() if binary else t for t in row] for row in answers] == [
        [a["answer"] for a in e] for e in expected
    ]
    assert found.as_numpy("start").tolist() == [[a["start"] for a in e] for e in expected]
    assert found.as_numpy("score") == pytest.approx(np.array([[a["score"] for a in e] for e in expected]))


def test_the_other_bundle_and_the_other_task(service, qa):
    assert service.call("/models/other", ASK)[2] == [qa.run(data=ADA)]
    passages = {"question": "Who?", "passages": ["Ada wrote it. It rained.", "Nobody did."]}
    expected = qa.highlight("Who?", passages["passages"], keep=0.5)
    for path in ("/highlight", "/models/other/highlight"):
        assert service.call(path, {"inputs": passages, "parameters": {"keep": 0.5}})[2] == expected
    assert service.call("/", {"inputs": [ADA, passages]})[2] == [[a] for a in qa.run(data=[ADA, passages])]


def test_texts_come_back_as_they_went(service, qa):
    text = "\x00 Ünïcode \ud800 😀 \u202eabc\u202c ﬁne wrote Ada"
    expected = qa.run("wrote?", text, top_k=5)
    assert service.ask("wrote?", text, top_k=5) == expected


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/", b"{", 400, "is not JSON"),
        ("/", b"[" * 100_000, 400, "is not JSON"),
        ("/", b'{"inputs": ' + b"9" * 9999 + b"}", 400, "is not JSON"),
        ("/", b"\xff\xfe", 400, "is not JSON"),
        ("/", b"[]", 422, "must be a JSON object"),
        ("/", {}, 422, "with 'inputs'"),
        ("/", {"inputs": ADA, "wait": 1}, 422, "'wait'"),
        ("/", {"inputs": {"question": "Who?"}}, 422, "has no 'context'"),
        ("/", {"inputs": ADA, "parameters": {"top_k": "3"}}, 422, "top_k"),
        ("/", {"inputs": [ADA] * 129}, 413, "takes 128"),
        ("/", {"inputs": {"question": "Who?", "context": "a b c d " * 10_000}}, 422, "max_windows 64"),
        ("/models/none", ASK, 404, "There is no bundle 'none' here, but qa, other"),
        ("/v2/models/none/infer", {}, 404, "no bundle"),
        ("/v2/models/qa/infer", {}, 400, "list of tensors"),
        ("/v2/models/qa/versions/9/infer", {}, 404, "not '9'"),
        ("/nowhere", {}, 404, "Not Found"),
        ("/metrics", {}, 405, "Method Not Allowed"),
    ],
)
def test_refusals_say_what_is_wrong(service, path, body, status, message):
    found = service.call(path, body)
    assert found[0] == status
    assert message in found[2]["error"]


def test_a_body_that_is_too_large_is_refused(service):
    status, headers, found = service.call("/", b"x" * 200_001)
    assert (status, headers["connection"]) == (413, "close")
    assert "larger than 200000 bytes" in found["error"]
    with service.connect() as connection:  # without a word on its size
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(30):
                connection.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        except OSError:
            pass  # it hung up, as it said
        assert b" 413 " in connection.recv(1000)


def test_what_is_watched(service):
    before = service.metric("bskim_requests_total", bundle="qa", code="200", task="answer")
    text = " ".join(["Ada wrote it."] * 400)
    service.ask("Who wrote it?", text)
    assert service.metric("bskim_requests_total", bundle="qa", code="200", task="answer") == before + 1
    assert service.metric("bskim_windows_total", bundle="qa") >= 4
    assert service.metric("bskim_blocks_dropped_total", bundle="qa") > 0
    assert service.metric("bskim_workers", bundle="qa") == 1
    info = service.call("/info")[2]
    assert info["bundles"]["qa"]["backend"] == "onnxruntime"
    assert info["limits"]["max_windows"] == 64
    assert service.call("/healthz")[0] == service.call("/readyz")[0] == 200


def test_the_log_is_json_without_texts(service):
    service.ask("Who wrote the secret?", "A secret was written by Ada.")
    eventually(lambda: any(line.get("windows") == 1 for line in service.log()))
    assert "secret" not in json.dumps(service.log())
    assert {"time", "level", "message", "status", "seconds"} <= set(service.log()[-1])


def test_many_callers_get_the_pipelines_answers(service, qa, squad):
    questions = sample(squad, 60, seed=7)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda q: service.ask(q.question, q.context), questions))
    assert found == [[one] for one in qa.run(data=[{"question": q.question, "context": q.context} for q in questions])]


def test_a_caller_that_hangs_up_costs_nothing_further(service, squad):
    text = " ".join(q.context for q in sample(squad, 60, seed=3))
    body = json.dumps({"inputs": {"question": "Who?", "context": text}}).encode()
    windows = service.metric("bskim_windows_total", bundle="qa")
    with service.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.05)
    eventually(lambda: service.metric("bskim_requests_total", bundle="qa", code="499") >= 1)
    assert service.metric("bskim_waiting", bundle="qa") == 0
    assert service.metric("bskim_windows_total", bundle="qa") == windows


def test_the_token_is_asked_for(serving, bundle, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with serving(bundle, "--token-file", token) as service:
        assert service.call("/", ASK)[0] == 401
        assert service.call("/", ASK, headers={"Authorization": "Bearer no"})[0] == 401
        assert service.call("/metrics")[0] == 401
        assert service.call("/healthz")[0] == service.call("/v2/health/ready")[0] == 200
        assert service.call("/", ASK, headers={"Authorization": "Bearer s3cret"})[0] == 200
        client = InferenceClient(base_url=service.url, token="s3cret")
        assert client.question_answering(**ADA)


def test_too_much_to_do_and_too_late(serving, bundle, squad):
    text = " ".join(q.context for q in sample(squad, 400, seed=3))
    with serving(bundle, "--timeout", 0.5, "--max-wait", 0.02, "--max-requests", 3) as service:
        service.call("/", ASK)
        long = {"inputs": {"question": "Who?", "context": text}}
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda _: service.call("/", long), range(12)))
        statuses = {status for status, _, _ in found}
        assert statuses <= {200, 429, 504}
        assert 429 in statuses
        for status, headers, content in found:
            if status == 429:
                assert int(headers["retry-after"]) >= 1
                assert "busy" in content["error"]
        eventually(lambda: service.call("/", ASK)[0] == 200)  # what was late is gone


def test_a_deadline_ends_a_request(serving, bundle, squad):
    text = " ".join(q.context for q in sample(squad, 300, seed=3))
    with serving(bundle, "--timeout", 0.05, "--max-wait", 100) as service:
        status, _, found = service.call("/", {"inputs": {"question": "Who?", "context": text}})
        assert status == 504
        assert "within 0.05 seconds" in found["error"]
        eventually(lambda: service.metric("bskim_waiting") == 0)


def test_sigterm_lets_those_who_wait_have_their_answers(serving, bundle, qa, squad):
    text = " ".join(q.context for q in sample(squad, 200, seed=3))
    with serving(bundle) as service:
        found = []
        asking = threading.Thread(target=lambda: found.append(service.ask("Who?", text)))
        asking.start()
        eventually(lambda: service.metric("bskim_waiting") == 1)
        assert service.stop() == 0
        asking.join()
        assert found == [[qa.run("Who?", text)]]
        assert not service.workers()


def test_what_cannot_be_served_is_one_line(tmp_path, bundle):
    from commands.cli import run

    done = run("serve", tmp_path)
    assert done.exit_code == 1
    assert "is not a bundle" in done.output
    assert "Two bundles are named 'qa'" in run("serve", f"qa={bundle}", f"qa={bundle}").output
    assert "There is no token" in run("serve", bundle, "--token-file", "/dev/null").output
    assert "cannot be had" in run("serve", bundle, "--host", "256.0.0.1").output


def test_a_damaged_bundle_is_one_line(tmp_path, bundle):
    import shutil

    from commands.cli import run

    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    with open(broken / "onnx" / "weights.bin", "r+b") as file:
        file.write(b"changed")
    done = run("serve", broken, "--port", 0)
    assert done.exit_code == 1
    assert "is damaged" in done.output

"""Each example runs as its users run it: as a program, on a bundle or a model that is passed to it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bskim_export import Bundle, save_checkpoint

EXAMPLES = Path(__file__).parents[1] / "examples"
ADA = {"question": "Who wrote it?", "context": "It was written by Ada Lovelace in 1843."}


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """Run the service on a free port, and yield its address."""
    command = [sys.executable, str(EXAMPLES / "embed_in_a_service.py"), str(bundle), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            log = ""
            while (found := re.search(r"running on (http://[0-9.:]+)", log)) is None:
                line = process.stderr.readline()
                assert line, log
                log += line
            yield found[1]
        finally:
            process.terminate()
            _, rest = process.communicate(timeout=60)
    assert "Application shutdown complete" in rest
    assert "Traceback" not in log + rest


def post(address: str, body: bytes) -> tuple[int, dict]:
    request = Request(f"{address}/answer", body, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


def test_the_service_answers_many_at_once_refuses_what_it_cannot_run_and_stops_when_told(minilm_bundle):
    with serving(minilm_bundle) as address:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda _: post(address, json.dumps(ADA).encode()), range(12)))
        assert {(status, answer["answer"]) for status, answer in found} == {(200, "Ada Lovelace")}
        assert all(a == found[0][1] for _, a in found)
        status, answers = post(address, json.dumps(ADA | {"top_k": 3, "return_skim": True}).encode())
        assert status == 200
        assert len(answers) == 3
        assert "skipped" in answers[0]
        for body, expected, message in (
            (b"Who?", 422, "JSON"),
            (b"[]", 422, "dictionary"),
            (b'{"question": "Who?"}', 422, "context"),
            (json.dumps(ADA | {"top_k": 0}).encode(), 422, "top_k"),
            (json.dumps(ADA | {"topk": 1}).encode(), 422, "topk"),
            (json.dumps(ADA | {"context": " \n"}).encode(), 400, "`context` cannot be empty"),
            (json.dumps(ADA | {"question": "who " * 400}).encode(), 400, "Shorten the question"),
            (json.dumps(ADA | {"context": "a" * ((1 << 20) + 1)}).encode(), 422, "at most"),
        ):
            status, answer = post(address, body)
            assert status == expected, answer
            assert message in json.dumps(answer)
        with urlopen(f"{address}/healthz", timeout=60) as response:
            assert "backend='onnxruntime'" in json.load(response)["pipeline"]


def test_a_file_is_answered_in_order_and_a_bad_line_costs_only_itself(minilm_bundle, minilm_qa, squad, tmp_path):
    questions = squad[:70]  # more than go into one call
    lines = [json.dumps({"id": q.id, "question": q.question, "context": q.context}) for q in questions]
    lines[3:3] = ["", json.dumps({"id": "no context", "question": "Who?"}), "Who?", "[1]"]
    source = tmp_path / "questions.jsonl"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = run("batch_over_a_file.py", minilm_bundle, source, tmp_path / "answers.jsonl")
    found = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    bad = found[3:6]
    assert [one["id"] for one in bad] == ["no context", None, None]
    assert all("question" in one["error"] or "context" in one["error"] for one in bad)
    good = found[:3] + found[6:]
    assert [one["id"] for one in good] == [q.id for q in questions]
    expected = minilm_qa.run(question=[q.question for q in questions], context=[q.context for q in questions])
    assert [one["answer"] for one in good] == [one["answer"] for one in expected]
    assert "73/73" in done.stderr or "100%" in done.stderr


def test_a_model_gets_predictors_and_keeps_its_weights(tiny, tmp_path):
    given = tiny("bert")
    save_checkpoint(given.model, tmp_path / "mine.pt", given.tokenizer)
    out = tmp_path / "retrofitted"
    done = run("retrofit_your_model.py", tmp_path / "mine.pt", "--limit", 60, "--held-out", 20, "--epochs", 1,
               "--max-f1-drop", 5, "--out", out)  # fmt: skip
    assert "Predictors after layers [0, 1, 2]; the model's own 55 tensors are the same to the bit." in done.stdout
    assert "fewer multiply-accumulates, on 20 held-out questions." in done.stdout
    bundle = Bundle.open(out / "bundle")
    assert bundle.model.predictor == "question"
    by_evidence = bundle.read_report()["calibration"]["thresholds"]
    assert bundle.thresholds == {int(layer): value for layer, value in by_evidence.items()}

"""Bundles and checkpoints on the Hub, by its own library against a server on this machine."""

import json
import os
import subprocess
import sys

import pytest
from bundle.hub_server import Hub, sha

from bskim_export import QAPipeline
from bskim_export.bundle.hub import is_hub_name

ADA = ("Who wrote it?", "It was written by Ada Lovelace in 1843.")
ASK = f"""
import json, pickle, sys
from bskim_export import QAPipeline
qa = QAPipeline(sys.argv[1], revision=sys.argv[2] if len(sys.argv) > 2 else None)
assert pickle.loads(pickle.dumps(qa)).run(*{ADA}) == qa.run(*{ADA})
print(json.dumps(qa.run(*{ADA})))
"""


@pytest.fixture
def hub():
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def run(hub, tmp_path):
    """Return a function that runs Python with a Hub and a cache of its own."""

    def start(*arguments, **env):
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_test", "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | own | env, cwd=tmp_path)

    return start


def commands(*arguments):
    return ("-m", "bskim_export.commands", *arguments)


def test_a_bundle_is_opened_by_its_name_and_comes_from_the_cache_after_that(hub, run, tiny_bundle):
    hub.add("user/repo", tiny_bundle("bert"))
    done = run("-c", ASK, "user/repo")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == QAPipeline(tiny_bundle("bert")).run(*ADA)
    before = len(hub.asked)
    again = run("-c", ASK, "user/repo", HF_HUB_OFFLINE="1")
    assert again.stdout == done.stdout
    assert len(hub.asked) == before


def test_a_revision_is_another_bundle(hub, run, tiny_bundle):
    hub.add("user/repo", tiny_bundle("bert"))
    hub.add("user/repo", tiny_bundle("distilbert"))
    old = run("-c", ASK, "user/repo", sha("user/repo", 0))
    new = run("-c", ASK, "user/repo")
    assert json.loads(old.stdout) == QAPipeline(tiny_bundle("bert")).run(*ADA)
    assert json.loads(new.stdout) == QAPipeline(tiny_bundle("distilbert")).run(*ADA)
    assert "at revision 'none'" in run("-c", ASK, "user/repo", "none").stderr


def test_every_command_takes_a_name(hub, run, tiny_bundle):
    hub.add("user/repo", tiny_bundle("bert"))
    done = run(*commands("ask", "user/repo", "--question", ADA[0], "--context", ADA[1]))
    assert "Answer" in done.stdout, done.stderr


def test_what_comes_damaged_is_refused_as_any_bundle_is(hub, run, tiny_bundle):
    hub.add("user/repo", tiny_bundle("bert"))
    weights = hub.commits["user/repo"][0]["onnx/weights.bin"]
    hub.commits["user/repo"][0]["onnx/weights.bin"] = weights[:-1] + bytes([weights[-1] ^ 1])
    assert "weights.bin' is damaged" in run("-c", ASK, "user/repo").stderr


def test_nothing_but_a_bundles_files_is_fetched(hub, run, tiny_bundle):
    hub.add("user/repo", tiny_bundle("bert"))
    hub.commits["user/repo"][0] |= {"setup.py": b"raise SystemExit", "handler.py": b"", "engines/a.engine": b"x"}
    assert run("-c", ASK, "user/repo").returncode == 0
    fetched = [path for path in hub.asked if "/resolve/" in path]
    assert fetched
    assert not [path for path in fetched if path.endswith((".py", ".engine"))]


def test_a_name_that_is_nowhere_is_one_clear_error(hub, run):
    done = run(*commands("ask", "user/none", "--question", "a", "--context", "b"))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: 'user/none' is no directory here, and the Hugging Face Hub did not give it (")
    offline = run(*commands("ask", "user/none", "--question", "a", "--context", "b"), HF_ENDPOINT="http://127.0.0.1:9")
    assert "Traceback" not in offline.stderr
    assert "did not give it" in offline.stderr


def test_a_bundle_is_pushed_with_its_evidence_and_opened_again(hub, run, minilm_bundle):
    done = run(*commands("publish", minilm_bundle, "--push", "user/mine", "--private"))
    assert done.returncode == 0, done.stderr
    files = hub.commits["user/mine"][-1]
    assert files["manifest.json"] == (minilm_bundle / "manifest.json").read_bytes()
    card = files["README.md"].decode()
    assert "pipeline_tag: question-answering" in card
    assert 'QAPipeline("user/mine")' in card
    parity = json.loads((minilm_bundle / "report.json").read_text())["parity"]
    assert f"| questions | {parity['questions']} |" in card
    assert f"| different_blocks | {parity['different_blocks']} |" in card
    assert json.loads(run("-c", ASK, "user/mine").stdout) == QAPipeline(minilm_bundle).run(*ADA)


def test_a_card_that_is_there_stays(hub, run, tiny_bundle):
    hub.commits["user/mine"] = [{"README.md": b"Mine."}]
    assert run(*commands("publish", tiny_bundle("bert"), "--push", "user/mine")).returncode == 0
    assert hub.commits["user/mine"][-1]["README.md"] == b"Mine."


@pytest.mark.slow
def test_a_checkpoint_is_pushed_and_exported_by_its_name(hub, run, tiny, tmp_path):
    from bskim_export import save_checkpoint

    checkpoint = tiny("bert")
    save_checkpoint(checkpoint.model, tmp_path / "model.pt", checkpoint.tokenizer)
    done = run(*commands("publish", tmp_path / "model.pt", "--push", "user/model"))
    assert done.returncode == 0, done.stderr
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(hub.commits["user/model"][-1])
    done = run(*commands("export", "user/model", "--out", tmp_path / "engines", "--verify", 2))
    assert done.returncode == 0, done.stderr
    assert QAPipeline(tmp_path / "engines").run(*ADA)


def test_what_cannot_be_published_is_said(run, tiny_bundle):
    assert "Name a FOLDER" in run(*commands("publish", "model.pt")).stderr
    assert "is a bundle" in run(*commands("publish", tiny_bundle("bert"), "out")).stderr
    refused = run(*commands("publish", tiny_bundle("bert"), "--push", "user/mine"), HF_ENDPOINT="http://127.0.0.1:9")
    assert "did not take 'user/mine'" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("text", ["engines", "./user/repo", "/user/repo", "a/b/c", "-a/b", "a/", "a b/c", "~/x"])
def test_paths_are_no_names(text):
    assert not is_hub_name(text)

import copy
import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from support import EXAMPLE, FAMILIES, windows_of
from tokenizers import Tokenizer
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, BertTokenizer

from bskim_export import load_checkpoint
from bskim_export.bundle.bundle import Bundle
from bskim_export.checkpoint import model_folder
from bskim_export.checkpoint.loading import save_checkpoint
from bskim_export.checkpoint.model_folder import FILES
from bskim_export.checkpoint.publishing import publish
from bskim_export.checkpoint.tokenizer_files import tokenizer_json
from bskim_export.commands import main as group
from bskim_export.data.question import sample
from bskim_export.errors import CheckpointError, OutputError
from bskim_export.export.torch_reference import torch_inputs


def logits(model, window):
    ids, mask, types, question = (t[None] for t in torch_inputs(window))
    with torch.no_grad():
        return model(ids, mask, types, question)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_published_loads_as_the_same_model(tiny, squad, tmp_path, family):
    checkpoint = tiny(family)
    publish(checkpoint, tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.model.skim == checkpoint.model.skim
    assert loaded.tokenizer == tokenizer_json(checkpoint.tokenizer)
    (window, *_) = windows_of(checkpoint, sample(squad, 1))
    before = logits(checkpoint.model, window)
    after = logits(loaded.model, window)
    assert torch.equal(before.start_logits, after.start_logits)
    assert all(torch.equal(before.skim_logits[i], after.skim_logits[i]) for i in checkpoint.model.skim.layers)


def test_thresholds_for_documents_travel_with_the_model(tiny, tmp_path):
    checkpoint = tiny("bert")
    layers = checkpoint.model.skim.layers
    passages = dict.fromkeys(layers, 0.25)
    publish(checkpoint, tmp_path / "both", thresholds=passages, document_thresholds=dict.fromkeys(layers, 0.75))
    found = load_checkpoint(tmp_path / "both").model.skim
    assert (set(found.thresholds), set(found.document_thresholds)) == ({0.25}, {0.75})
    publish(load_checkpoint(tmp_path / "both"), tmp_path / "same")
    assert load_checkpoint(tmp_path / "same").model.skim == found
    publish(load_checkpoint(tmp_path / "both"), tmp_path / "one", thresholds=passages)
    assert load_checkpoint(tmp_path / "one").model.skim.document_thresholds == ()
    with pytest.raises(CheckpointError, match="no predictor for layers"):
        publish(checkpoint, tmp_path / "wrong", thresholds=passages, document_thresholds={99: 0.5})


def test_transformers_loads_it_as_a_plain_model(tmp_path, squad):
    checkpoint = load_checkpoint(EXAMPLE)
    publish(checkpoint, tmp_path)
    plain = AutoModelForQuestionAnswering.from_pretrained(tmp_path, dtype="auto").eval()
    assert plain.dtype == torch.float32
    (question,) = sample(squad, 1)
    encoded = AutoTokenizer.from_pretrained(tmp_path)(question.question, question.context, return_tensors="pt")
    (window,) = windows_of(checkpoint, [question])
    assert encoded["input_ids"][0].tolist() == window.input_ids.tolist()[: window.length]
    with torch.no_grad():
        expected = logits(checkpoint.model, window).start_logits[0, : window.length]
        torch.testing.assert_close(plain(**encoded).start_logits[0], expected, atol=1e-4, rtol=0)


def test_half_precision_is_half_the_size_and_nearly_the_same(tiny, squad, tmp_path):
    checkpoint = tiny("bert")
    publish(checkpoint, tmp_path / "full")
    publish(checkpoint, tmp_path / "half", half=True)
    sizes = [(tmp_path / kind / "model.safetensors").stat().st_size for kind in ("full", "half")]
    assert 0.49 < sizes[1] / sizes[0] < 0.6
    (window, *_) = windows_of(checkpoint, sample(squad, 1))
    loaded = load_checkpoint(tmp_path / "half").model
    assert loaded.predictors["0"].bn1.running_var.dtype == torch.float32
    before = logits(checkpoint.model, window)
    after = logits(loaded, window)
    torch.testing.assert_close(before.start_logits, after.start_logits, atol=0.1, rtol=0)
    assert not torch.equal(before.start_logits, after.start_logits)


def test_weights_that_do_not_fit_are_refused_and_lose_nothing(tiny, tmp_path):
    checkpoint = copy.deepcopy(tiny("bert"))
    publish(checkpoint, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with torch.no_grad():
        checkpoint.model.backbone.qa_outputs.bias[0] = 1e6
    with pytest.raises(CheckpointError, match=r"qa_outputs\.bias.*full precision"):
        publish(checkpoint, tmp_path, half=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_thresholds_come_from_a_bundle(tiny, tiny_bundle, tmp_path):
    publish(tiny("bert"), tmp_path / "model")
    bundle = tiny_bundle("bert", (1,))
    done = CliRunner().invoke(
        group, ["publish", str(tmp_path / "model"), str(tmp_path / "out"), "--thresholds", str(bundle)]
    )
    assert done.exit_code == 0, done.output
    chosen = Bundle.open(bundle).thresholds[1]
    assert load_checkpoint(tmp_path / "out").model.skim.thresholds == (0, chosen, 0)


def test_a_threshold_needs_a_predictor(tiny, tmp_path):
    with pytest.raises(CheckpointError, match=r"no predictor for layers \[2\]"):
        publish(tiny("bert", (1,)), tmp_path, thresholds={2: 0.5})


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_cased_tokenizer_stays_cased_in_transformers_too(tiny, tmp_path):
    """Without a tokenizer_config.json, BERT's class would lower-case it."""
    plain = tiny("bert")
    vocabulary = Tokenizer.from_str(plain.tokenizer).get_vocab()
    cased = tokenizer_json(BertTokenizer(vocabulary, do_lower_case=False))
    publish(type(plain)(plain.model, cased, "cased"), tmp_path)
    for text in ("Ada Lovelace", "ada lovelace", "Où ?"):
        expected = Tokenizer.from_str(cased).encode(text).ids
        assert Tokenizer.from_str(load_checkpoint(tmp_path).tokenizer).encode(text).ids == expected
        assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == expected


@pytest.mark.parametrize("family", ["albert", "bert", "distilbert", "electra", "roberta"])
def test_transformers_gives_its_model_what_the_tokenizer_gives(tiny, tmp_path, family):
    publish(tiny(family), tmp_path)
    encoded = AutoTokenizer.from_pretrained(tmp_path)("Who?", "It is Ada.", return_tensors="pt")
    plain = AutoModelForQuestionAnswering.from_pretrained(tmp_path)
    with torch.no_grad():
        assert plain(**encoded).start_logits.shape == encoded["input_ids"].shape


def another_model(folder):
    """The example as somebody else would have saved it."""
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((EXAMPLE / name).read_bytes())
    save_file(load_file(EXAMPLE / "model.safetensors"), folder / "model.safetensors", metadata={"format": "pt"})


def saved_by_transformers(folder):
    AutoModelForQuestionAnswering.from_pretrained(EXAMPLE).save_pretrained(folder)


def foreign_files(folder):
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("print()")
    (folder / "manifest.json").write_text("{}")


def only_a_config(folder):
    folder.mkdir()
    (folder / "config.json").write_text("{}")


def a_link_as_weights(folder):
    folder.mkdir()
    (folder.parent / "precious").write_text("x")
    (folder / "model.safetensors").symlink_to("../precious")


@pytest.mark.parametrize(
    "make", [another_model, saved_by_transformers, foreign_files, only_a_config, a_link_as_weights]
)
def test_what_publish_did_not_write_is_never_written_over(tiny, tmp_path, make):
    folder = tmp_path / "folder"
    make(folder)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"holds something that bskim publish did not write .* nothing was changed"):
        publish(tiny("bert"), folder)
    assert contents(tmp_path) == before


def test_a_bundle_is_never_written_over(tiny, tiny_bundle):
    before = contents(tiny_bundle())
    with pytest.raises(OutputError, match="did not write"):
        publish(tiny("bert"), tiny_bundle())
    assert contents(tiny_bundle()) == before


def test_a_published_model_is_replaced_and_files_beside_it_stay(tiny, tmp_path):
    publish(tiny("bert"), tmp_path / "a")
    publish(tiny("roberta"), tmp_path / "a")
    assert load_checkpoint(tmp_path / "a").model.config.model_type == "roberta"
    (tmp_path / "a" / "README.md").write_text("mine")
    (tmp_path / "a" / "notes").mkdir()
    (tmp_path / "a" / "notes" / "x").write_text("mine too")
    publish(tiny("bert"), tmp_path / "a")
    assert load_checkpoint(tmp_path / "a").model.config.model_type == "bert"
    assert sorted(contents(tmp_path)) == sorted([f"a/{name}" for name in FILES] + ["a/README.md", "a/notes/x"])


def test_a_clone_of_a_new_repository_is_published_into(tiny, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (tmp_path / ".gitattributes").write_text("*.safetensors filter=lfs")
    publish(tiny("bert"), tmp_path)
    assert sorted(contents(tmp_path)) == sorted([*FILES, ".git/HEAD", ".gitattributes"])


@pytest.mark.parametrize(("beside", "stop"), [*((True, i) for i in range(8)), *((False, i) for i in range(4))])
def test_an_interruption_at_any_file_changes_nothing(tiny, tmp_path, monkeypatch, beside, stop):
    folder = tmp_path / "a"
    publish(tiny("bert"), folder)
    if beside:  # then the files are renamed one by one
        (folder / "LICENSE").write_text("free")
    before = contents(tmp_path)
    calls = count()

    def interrupted(real):
        def call(*args, **kwargs):
            if next(calls) == stop:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(model_folder.os, "replace", interrupted(os.replace))
    monkeypatch.setattr(model_folder, "open", interrupted(open), raising=False)
    with pytest.raises(KeyboardInterrupt):
        publish(tiny("roberta"), folder)
    assert contents(tmp_path) == before


KILLED = """
import sys
from bskim_export import load_checkpoint
from bskim_export.checkpoint.publishing import publish
models = [load_checkpoint(path) for path in sys.argv[2:]]
print("ready", flush=True)
while True:
    for model in models:
        publish(model, sys.argv[1])
"""


def test_after_a_kill_at_any_moment_one_whole_model_is_there(tiny, tmp_path):
    models = {}
    for family in ("bert", "distilbert"):
        save_checkpoint(tiny(family).model, tmp_path / f"{family}.pt", tiny(family).tokenizer)
        publish(tiny(family), tmp_path / family)
        models[family] = contents(tmp_path / family)
    out = tmp_path / "out"
    argv = [sys.executable, "-c", KILLED, str(out), str(tmp_path / "bert.pt"), str(tmp_path / "distilbert.pt")]
    for wait in (0.0, 0.03, 0.11):
        running = subprocess.Popen(argv, stdout=subprocess.PIPE)
        running.stdout.readline()
        time.sleep(wait)
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.stdout.close()
        if out.exists():
            found = contents(out)
            assert models[json.loads(found["config.json"])["model_type"]] == found
    publish(tiny("bert"), out)
    assert contents(out) == models["bert"]
    assert sorted(os.listdir(tmp_path)) == ["bert", "bert.pt", "distilbert", "distilbert.pt", "out"]  # no leftovers


def test_publishing_does_not_change_the_model(tiny, tmp_path):
    checkpoint = tiny("bert", (1,))
    before = checkpoint.model.config.to_dict()
    publish(checkpoint, tmp_path, thresholds={1: 0.125})
    assert checkpoint.model.config.to_dict() == before


def test_the_command_refuses_before_it_loads_the_model(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    done = CliRunner().invoke(group, ["publish", str(tmp_path / "no model"), str(tmp_path)])
    assert done.exit_code == 1
    assert "did not write" in " ".join(done.output.split())

"""Training as a user meets it: joint, frozen, killed and resumed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import SHAPE, make_model
from transformers import BertConfig

from bskim_export.checkpoint.loading import Checkpoint, load_checkpoint, released_names, save_checkpoint
from bskim_export.data.question import hold_out, sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError
from bskim_export.training.cache import ViewCache
from bskim_export.training.run import run_folder, train
from bskim_export.training.settings import TrainSettings

SETTINGS = TrainSettings(
    "tiny",
    "squad",
    predictor="question",
    epochs=2,
    batch_size=4,
    learning_rate=1e-3,
    max_seq_len=128,
    doc_stride=32,
    trainer={"logging_steps": 8},
)


@pytest.fixture(scope="module")
def data(squad):
    """48 questions to learn from, and some to be held out."""
    return hold_out(sample(squad, 60, seed=12), 8)


@pytest.fixture
def fresh(wordpiece):
    """Return a function that makes the same random model each time."""

    def make() -> Checkpoint:
        return Checkpoint(make_model(BertConfig(**SHAPE | {"num_hidden_layers": 2}), ()), wordpiece, "tiny")

    return make


def weights(path) -> dict[str, torch.Tensor]:
    return released_names(load_checkpoint(path).model)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("predictor", ["question", pytest.param("diagonal", marks=pytest.mark.slow)])
def test_joint_training_learns_and_repeats_itself(predictor, fresh, data, tmp_path):
    settings = replace(SETTINGS, predictor=predictor)
    report = train(fresh(), *data, settings, tmp_path / "a.pt")
    assert report["questions"] == len(data[0])
    assert report["steps"] == 2 * -(-report["windows"] // 4)
    losses = [row["loss"] for row in report["log"] if "loss" in row]
    assert losses[-1] < losses[0]
    assert {"em", "f1"} <= report["held_out"].keys()
    assert report["held_out"]["predictors"].keys() == {0, 1}
    assert sorted(load_squad(tmp_path / "a.training" / "held_out.json"), key=lambda q: q.id) == sorted(
        data[1], key=lambda q: q.id
    )
    assert any("layer_0_recall" in row for row in report["log"])
    train(fresh(), *data, settings, tmp_path / "b.pt")
    assert same(weights(tmp_path / "a.pt"), weights(tmp_path / "b.pt"))
    model = load_checkpoint(tmp_path / "a.pt").model
    assert (model.skim.predictor, model.skim.layers, model.skim.max_seq_len) == (predictor, (0, 1), 128)


def test_questions_that_cannot_be_run_are_left_out_and_told(fresh, data, tmp_path):
    """They are not counted either, and calibration on the held-out questions does not meet them again."""
    long = replace(data[0][0], id="long", question="why " * 200)
    longer = replace(data[0][0], id="longer", question="why " * 300)
    notes = []
    settings = replace(SETTINGS, epochs=0.1)
    report = train(
        fresh(), [long, *data[0][:8], longer], [*data[1], longer], settings, tmp_path / "m.pt", on_note=notes.append
    )
    assert [note.split(":")[:2] for note in notes] == [
        ["Questions left out that cannot be run", " 2, the first at id 'long'"],
        ["Questions left out that cannot be run", " 1, the first at id 'longer'"],
    ]
    assert (report["questions"], report["held_out"]["questions"]) == (8, len(data[1]))
    held_out = {q.id for q in load_squad(tmp_path / "m.training" / "held_out.json")}
    assert held_out == {q.id for q in data[1]}
    with pytest.raises(
        InputError, match="None of the 1 questions can be run, the first with the id 'long': The question"
    ):
        train(fresh(), [long], data[1], settings, tmp_path / "n.pt", on_note=pytest.fail)


@pytest.mark.parametrize("predictor", ["question", pytest.param("diagonal", marks=pytest.mark.slow)])
def test_frozen_training_changes_no_weight_of_the_model_and_needs_no_cache(
    predictor, fresh, data, tmp_path, monkeypatch
):
    settings = replace(SETTINGS, freeze=True, predictor=predictor)
    train(fresh(), *data, settings, tmp_path / "cached.pt")
    trained = weights(tmp_path / "cached.pt")
    before = fresh().model.backbone.state_dict()
    assert all(torch.equal(trained[name], value) for name, value in before.items())
    assert not (run_folder(tmp_path / "cached.pt") / "cache").exists()

    monkeypatch.setattr(ViewCache, "fits", False)
    train(fresh(), *data, settings, tmp_path / "plain.pt")
    for name, value in weights(tmp_path / "plain.pt").items():  # the cache keeps float16
        torch.testing.assert_close(value, trained[name], rtol=0.05, atol=0.02)


@pytest.mark.parametrize("change", [{"skim_training": True},
                                    {"layers": (1,), "alpha": 1.0, "layer_weights": (2.0,)},
                                    {"block_size": 1, "predictor": "diagonal", "epochs": 0.3}, {"alpha": 0.0},
                                    {"block_size": 64, "epochs": 0.3}, {"documents": 3, "windows": 1},
                                    {"documents": 3, "freeze": True}])  # fmt: skip
def test_variants_train(change, fresh, data, tmp_path):
    report = train(fresh(), *data, replace(SETTINGS, **{"epochs": 0.5} | change), tmp_path / "m.pt")
    assert report["steps"] > 0
    assert report["held_out"]["predictors"].keys() == (
        set() if change.get("alpha") == 0 else {0, 1} & set(change.get("layers", (0, 1)))
    )
    assert load_checkpoint(tmp_path / "m.pt").model.skim.block_size == change.get("block_size", 32)


def test_documents_train_and_repeat_themselves_and_say_what_their_scores_mean(fresh, data, tmp_path):
    settings = replace(SETTINGS, documents=3, windows=2, epochs=1)
    report = train(fresh(), *data, settings, tmp_path / "a.pt")
    train(fresh(), *data, settings, tmp_path / "b.pt")
    assert same(weights(tmp_path / "a.pt"), weights(tmp_path / "b.pt"))
    assert report["windows"] == len(data[0])  # documents: their windows are drawn when they are needed
    assert load_checkpoint(tmp_path / "a.pt").model.skim.window_scale == "null"
    with pytest.raises(InputError, match="do it in a run before"):
        replace(settings, prune_heads=0.5)


def test_predictors_of_the_wanted_kind_are_trained_on_and_others_replaced(fresh, data, tmp_path):
    train(fresh(), *data, SETTINGS, tmp_path / "first.pt")
    still = {"epochs": 0.1, "learning_rate": 0.0, "predictor_learning_rate": 0.0}
    train(load_checkpoint(tmp_path / "first.pt"), *data, replace(SETTINGS, **still), tmp_path / "second.pt")
    assert same(weights(tmp_path / "first.pt"), weights(tmp_path / "second.pt"))
    other = replace(SETTINGS, **still, predictor="diagonal")
    train(load_checkpoint(tmp_path / "first.pt"), *data, other, tmp_path / "third.pt")
    assert load_checkpoint(tmp_path / "third.pt").model.skim.predictor == "diagonal"


@pytest.mark.parametrize("change", [{"freeze": True}, {"alpha": 0.0}])
def test_settings_that_exclude_each_other_are_refused(change):
    with pytest.raises(InputError, match="skim_training"):
        replace(SETTINGS, skim_training=True, **change)


def test_a_finished_run_is_not_overwritten_and_an_unfinished_one_keeps_its_settings(fresh, data, tmp_path):
    out = tmp_path / "m.pt"
    folder = run_folder(out)
    folder.mkdir()
    SETTINGS.write(folder)
    with pytest.raises(InputError, match=r"other settings \(alpha was 0.1, is 0.2\)"):
        train(fresh(), *data, replace(SETTINGS, alpha=0.2), out)
    (folder / "report.json").write_text("{}")
    with pytest.raises(InputError, match="is finished"):
        train(fresh(), *data, SETTINGS, out)


def test_training_stops_early_with_the_best_weights(fresh, data, tmp_path):
    settings = replace(SETTINGS, early_stopping=1, epochs=4, learning_rate=0.0, predictor_learning_rate=0.0)
    report = train(fresh(), *data, settings, tmp_path / "m.pt")  # nothing is learnt, so nothing gets better
    assert report["steps"] == 2 * -(-report["windows"] // 4)


def test_evidence_needs_supporting_facts(fresh, data, tmp_path):
    with pytest.raises(InputError, match="No question has supporting facts"):
        train(fresh(), *data, replace(SETTINGS, evidence=True), tmp_path / "m.pt")


def as_squad(questions) -> str:
    """Return questions as a SQuAD-format file."""
    paragraphs = []
    for q in questions:
        answers = [{"text": a, "answer_start": s} for a, s in zip(q.answers, q.starts, strict=True)]
        paragraphs.append({"context": q.context, "qas": [{"id": q.id, "question": q.question, "answers": answers}]})
    return json.dumps({"data": [{"paragraphs": paragraphs}]})


def test_the_program_in_the_documentation_runs(fresh, squad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = fresh()
    save_checkpoint(checkpoint.model, "my-qa-model", checkpoint.tokenizer)
    (tmp_path / "train.json").write_text(as_squad(sample(squad, 40, seed=13)))
    page = Path(__file__).parents[2] / "docs" / "training.md"
    (program,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    small = program.replace("500", "8").replace('["predictors"][2]', '["predictors"][1]')
    exec(small, {})
    assert load_checkpoint("model.pt").model.skim.layers == (0, 1)


@pytest.mark.parametrize("kind", ["joint", "split", pytest.param("frozen", marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(kind, fresh, squad, tmp_path):
    """The real command in a real process, killed without warning wherever it happens to be."""
    checkpoint = fresh()
    save_checkpoint(checkpoint.model, tmp_path / "tiny.pt", checkpoint.tokenizer)
    (tmp_path / "data.json").write_text(as_squad(sample(squad, 30, seed=12)))
    (tmp_path / "more.json").write_text(as_squad(sample(squad, 30, seed=13)))

    options = {
        "joint": ["--batch-size", "4"],
        "frozen": ["--batch-size", "4", "--freeze"],
        "split": ["--batch-size", "1", "--split", "1", "--teacher", str(tmp_path / "tiny.pt")],
    }

    def command(out):
        return [
            sys.executable, "-m", "bskim_export.commands", "train", "--model", str(tmp_path / "tiny.pt"),
            "--dataset", str(tmp_path / "data.json"), "--dataset", str(tmp_path / "more.json"), "--out", str(out),
            "--max-seq-len", "128", "--doc-stride", "32", "--epochs", "3", "--dropout", "0.1",
            "--eval-dataset", str(tmp_path / "data.json"), "--training-arg", "save_steps=7", *options[kind],
        ]  # fmt: skip

    whole = subprocess.run(command(tmp_path / "whole.pt"), capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    assert "held-out questions" in whole.stdout
    report = json.loads((tmp_path / "whole.training" / "report.json").read_text())
    assert 50 <= report["questions"] <= 60
    process = subprocess.Popen(
        command(tmp_path / "killed.pt"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("killed.training/checkpoint-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed.pt").exists()
    again = subprocess.run(command(tmp_path / "killed.pt"), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert same(weights(tmp_path / "whole.pt"), weights(tmp_path / "killed.pt"))

"""Training of split models: from a teacher, and from where an earlier run ended."""

import copy
from dataclasses import replace

import pytest
import torch
from support import SHAPE, make_model
from transformers import BertConfig

from bskim_export.checkpoint.loading import Checkpoint, load_checkpoint, released_names, save_checkpoint
from bskim_export.data.question import hold_out
from bskim_export.errors import CheckpointError, InputError
from bskim_export.training.importance import head_importance
from bskim_export.training.run import run_folder, train
from bskim_export.training.settings import TrainSettings
from bskim_export.training.split_run import in_order, load_teacher


@pytest.fixture(scope="module")
def data(squad):
    """Questions about some paragraphs of one article, and about others to be held out."""
    return hold_out(squad[:80], 15)


def model_of(layers: int = 3, **config) -> "Checkpoint":
    return make_model(BertConfig(**SHAPE | {"num_hidden_layers": layers} | config), (), max_seq_len=128)


@pytest.fixture
def fresh(wordpiece):
    """Return a function that makes the same random model each time."""
    return lambda: Checkpoint(model_of(), wordpiece, "tiny")


@pytest.fixture(scope="module")
def teacher(wordpiece, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    save_checkpoint(model_of(), path, wordpiece)
    return str(path)


@pytest.fixture(scope="module")
def settings(teacher) -> TrainSettings:
    return TrainSettings(
        "tiny", "squad", predictor="question", split=1, teacher=teacher, epochs=1, batch_size=1, beta=5.0,
        learning_rate=1e-3, max_seq_len=128, trainer={"logging_steps": 2},
    )  # fmt: skip


STILL = {"epochs": 0.1, "learning_rate": 0.0, "predictor_learning_rate": 0.0}


def weights(path) -> dict[str, torch.Tensor]:
    return released_names(load_checkpoint(path).model)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_it_learns_and_repeats_itself_and_reports_what_it_found(fresh, data, settings, tmp_path):
    report = train(fresh(), *data, settings, tmp_path / "a.pt", on_note=pytest.fail)
    rows = [row for row in report["log"] if "loss" in row]
    assert rows[-1]["loss"] < rows[0]["loss"]
    parts = {f"{part}_loss" for part in ("answer", "retrieval", "logits", "states", "blocks")}
    assert parts | {"qa_loss", "layer_1_recall"} <= rows[0].keys()
    assert rows[0]["answer_loss"] == pytest.approx(rows[0]["qa_loss"])
    evaluated = [row for row in report["log"] if "eval_f1" in row]
    assert len(evaluated) == 1
    assert {"eval_em", "eval_retrieved_4", "eval_retrieved_16", "eval_layer_1_kept"} <= evaluated[0].keys()
    held_out = report["held_out"]
    assert held_out["predictors"].keys() == {1}  # of three layers the last has nothing to save
    assert 0 <= held_out["retrieved"][4] <= held_out["retrieved"][16] <= 1
    assert report["steps"] == report["windows"] > 4

    train(fresh(), *data, settings, tmp_path / "b.pt")
    assert same(weights(tmp_path / "a.pt"), weights(tmp_path / "b.pt"))
    skim = load_checkpoint(tmp_path / "a.pt").model.skim
    assert (skim.split_layer, skim.layers, skim.predictor, skim.max_seq_len) == (1, (1,), "question", 128)


def test_retrieval_learns_at_the_rate_of_the_predictors(fresh, data, settings, tmp_path):
    own = replace(settings, epochs=0.3, learning_rate=0.0)
    train(fresh(), *data, own, tmp_path / "m.pt")
    trained = weights(tmp_path / "m.pt")
    before = fresh().model.backbone.state_dict()
    assert all(torch.equal(trained[name], value) for name, value in before.items())
    train(fresh(), *data, replace(own, **STILL), tmp_path / "still.pt")
    still = weights(tmp_path / "still.pt")
    new = [name for name in still if name not in before]
    moved = [name for name in new if not torch.equal(still[name], trained[name])]
    assert {"skim_retrieval.scale", "skim_retrieval.passage.0.weight", "skim_retrieval.weight.weight"} <= {*moved}
    assert any("skim_predictor" in name for name in moved)


def test_a_split_model_goes_on_with_what_it_has(fresh, data, settings, tmp_path):
    train(fresh(), *data, replace(settings, epochs=0.3), tmp_path / "first.pt")
    first = weights(tmp_path / "first.pt")
    train(load_checkpoint(tmp_path / "first.pt"), *data, replace(settings, **STILL), tmp_path / "second.pt")
    assert same(first, weights(tmp_path / "second.pt"))

    # Other skim predictors begin anew, and only they; at another layer the retrieval predictor too.
    other = replace(settings, **STILL, layers=(1, 2), predictor="diagonal")
    train(load_checkpoint(tmp_path / "first.pt"), *data, other, tmp_path / "third.pt")
    third = weights(tmp_path / "third.pt")
    assert all(torch.equal(third[name], first[name]) for name in first if "skim_predictor" not in name)
    assert load_checkpoint(tmp_path / "third.pt").model.skim.layers == (1, 2)
    moved = replace(settings, **STILL, split=2)
    train(load_checkpoint(tmp_path / "first.pt"), *data, moved, tmp_path / "fourth.pt")
    name = "skim_retrieval.passage.0.weight"
    assert not torch.equal(weights(tmp_path / "fourth.pt")[name], first[name])
    assert load_checkpoint(tmp_path / "fourth.pt").model.skim.layers == (2,)


@pytest.mark.parametrize("change", [{"teacher": None, "early_stopping": 1}, {"alpha": 0.0}, {"block_size": 16},
                                    {"predictor": "diagonal", "layers": (1, 2), "layer_weights": (2.0, 1.0)},
                                    {"bf16": True}])  # fmt: skip
def test_variants_train(change, fresh, data, settings, tmp_path):
    notes = []
    own = replace(settings, **{"epochs": 0.3} | change)
    report = train(fresh(), *data, own, tmp_path / "m.pt", on_note=notes.append)
    layers = () if change.get("alpha") == 0 else change.get("layers", (1,))
    assert report["held_out"]["predictors"].keys() == {*layers}
    assert load_checkpoint(tmp_path / "m.pt").model.skim.block_size == change.get("block_size", 32)
    assert len(notes) == ("teacher" in change)
    assert all("learns from answers alone" in note for note in notes)


@pytest.mark.parametrize("change", [{"freeze": True}, {"prune_heads": 0.5}, {"skim_training": True}, {"evidence": True},
                                    {"documents": 5}, {"predictor": "map"}])  # fmt: skip
def test_what_does_not_go_with_a_split_is_refused(change, settings):
    (name,) = change
    with pytest.raises(InputError, match=name if name != "predictor" else "kind map"):
        replace(settings, **change)


def test_a_teacher_without_a_split_is_refused(settings):
    with pytest.raises(InputError, match="A teacher is for split models only"):
        replace(settings, split=None)


@pytest.mark.parametrize(("change", "message"), [
    ({"split": 3}, "A model of 3 layers can be split at the layers 1 to 2"),
    ({"layers": (0, 1)}, r"nothing for the predictors of layers \[0\] to judge"),
    ({"block_size": 30}, "multiple of 4 positions"),
    ({"teacher": "nowhere.pt"}, "'nowhere.pt' does not exist"),
])  # fmt: skip
def test_what_cannot_be_made_is_refused_before_anything_is_written(change, message, fresh, data, settings, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        train(fresh(), *data, replace(settings, **change), tmp_path / "m.pt")
    assert not run_folder(tmp_path / "m.pt").exists()


def test_a_teacher_must_fit(fresh, wordpiece, byte_level, tmp_path):
    split = model_of()
    split.split(1)
    few = model_of(max_position_embeddings=96)
    for number, (model, tokenizer, message) in enumerate([
        (split, wordpiece, "is split itself, at layer 1"),
        (model_of(vocab_size=2000), byte_level, "has other tokens than the model"),
        (model_of(layers=2), wordpiece, "has num_hidden_layers 2, the model 3"),
        (model_of(hidden_size=64), wordpiece, "has hidden_size 64, the model 32"),
        (few, wordpiece, "has 96 positions, windows have 128"),
    ]):  # fmt: skip
        path = tmp_path / f"{number}.pt"
        save_checkpoint(model, path, wordpiece if tokenizer == wordpiece else byte_level)
        with pytest.raises(CheckpointError, match=message):
            load_teacher(str(path), fresh())


@pytest.mark.parametrize("change", [{}, {"freeze": True}, {"prune_heads": 0.5}, {"documents": 3}])
def test_a_split_model_is_not_trained_as_a_whole_one(change, fresh, data, settings, tmp_path):
    checkpoint = fresh()
    checkpoint.model.split(1, (1,))
    with pytest.raises(CheckpointError, match=r"split at layer 1.*To train it: bskim-train --split 1"):
        train(checkpoint, *data, replace(settings, split=None, teacher=None, **change), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="split at layer 1"):
        head_importance(checkpoint.model, [])


def test_questions_drawn_at_random_stand_in_the_order_of_their_file(squad):
    drawn = copy.copy(squad[:40])[::-3]
    assert [q.context for q in in_order(drawn, squad)] == sorted(
        (q.context for q in drawn), key=[q.context for q in squad].index
    )
    assert in_order(drawn, []) == drawn

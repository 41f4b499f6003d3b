"""bskim-train, where it ends before it trains."""

import json

import pytest
from commands.cli import in_one_line, run

from bskim_export.training import run as training

MODEL = ("train", "--model", "nowhere.pt", "--dataset", "nowhere.json")


@pytest.mark.parametrize(("options", "message"), [
    (("--split", 3, "--documents", 20), "split and documents exclude each other"),
    (("--split", 3, "--freeze"), "split and freeze exclude each other"),
    (("--split", 3, "--prune-heads", 0.5), "split and prune_heads exclude each other"),
    (("--split", 3, "--skim-training"), "split and skim_training exclude each other"),
    (("--split", 3, "--evidence"), "split and evidence exclude each other"),
    (("--split", 3, "--predictor", "map"), "a split model has none"),
    (("--teacher", "model.pt"), "A teacher is for split models only"),
])  # fmt: skip
def test_options_that_exclude_each_other_are_refused_before_anything_is_loaded(options, message):
    done = run(*MODEL, *options)
    assert done.exit_code == 1
    assert message in in_one_line(done)


def test_a_layer_below_the_first_is_no_split():
    assert "0 is not in the range x>=1" in in_one_line(run(*MODEL, "--split", 0))


@pytest.mark.parametrize(("options", "expected"), [
    ((), (20, 16, None)), (("--split", 1), (5.0, 2, 1)), (("--split", 1, "--beta", 7, "--batch-size", 3), (7, 3, 1)),
])  # fmt: skip
def test_a_split_model_has_defaults_of_its_own(options, expected, tiny, squad, tmp_path, monkeypatch):
    from bskim_export.checkpoint.loading import save_checkpoint

    checkpoint = tiny("bert", (), "question")
    save_checkpoint(checkpoint.model, tmp_path / "tiny.pt", checkpoint.tokenizer)
    article = {"title": "A", "paragraphs": [{"context": c, "qas": [{"id": c, "question": "Who?", "answers": []}]}
                                            for c in ("Ada wrote.", "Bob read.")]}  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps({"data": [article]}))
    met = []

    def train(checkpoint, questions, held_out, settings, *more):
        met.append(settings)
        return {"settings": {"split": settings.split}, "held_out": {"questions": 1, "em": 50.0, "f1": 60.0,
                "predictors": {1: dict.fromkeys(("precision", "recall", "kept"), 0.5)},
                "retrieved": {4: 0.5, 16: 0.75}}}  # fmt: skip

    monkeypatch.setattr(training, "train", train)
    done = run("train", "--model", tmp_path / "tiny.pt", "--dataset", tmp_path / "data.json", "--eval-questions", 1,
               "--out", tmp_path / "out.pt", *options)  # fmt: skip
    assert done.exit_code == 0, done.output
    (settings,) = met
    assert (settings.beta, settings.batch_size, settings.split) == expected
    text = in_one_line(done)
    assert "best blocks: the best 4: 50.0%, the best 16: 75.0%" in text
    assert ("bskim-calibrate" in text) == (settings.split is None)

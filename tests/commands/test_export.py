import re

import pytest
from commands.cli import in_one_line, run, succeed

from bskim_export.bundle.bundle import Bundle
from bskim_export.checkpoint.loading import save_checkpoint


@pytest.fixture
def model(tiny, tmp_path):
    save_checkpoint(tiny().model, tmp_path / "model.pt", tiny().tokenizer)
    return tmp_path / "model.pt"


def test_a_model_becomes_a_bundle_in_parity_with_pytorch(model, tmp_path):
    out = tmp_path / "bundle"
    wanted = ("--skim-layers", "1", "--threshold", 0.25, "--max-seq-len", 128, "--verify", 2)
    shown = succeed("export", model, "--out", out, *wanted)
    bundle = Bundle.open(out)
    assert bundle.thresholds == {1: 0.25}
    assert bundle.model.max_seq_len == bundle.manifest.defaults.max_seq_len == 128
    assert bundle.manifest.defaults.doc_stride == 64
    assert bundle.read_report()["parity"]["questions"] == 2
    assert "2 stages, predictors after layers [1]," in shown
    assert "Against PyTorch on 2 questions: 0 answers and 0 of" in shown


def test_a_dense_model_is_said_to_be_dense(tiny, tmp_path):
    checkpoint = tiny("bert", ())
    save_checkpoint(checkpoint.model, tmp_path / "dense.pt", checkpoint.tokenizer)
    shown = succeed("export", tmp_path / "dense.pt", "--out", tmp_path / "bundle", "--parity-questions", 1)
    assert "1 stages, no predictors" in shown
    assert "To add predictors without touching the model's weights: bskim-train --freeze" in shown
    done = run("export", tmp_path / "dense.pt", "--out", tmp_path / "other", "--threshold", 0.5)
    assert done.exit_code == 1
    assert "--threshold has no meaning for this model" in in_one_line(done)
    assert not (tmp_path / "other").exists()


def test_int8_looks_at_the_questions_of_a_recipe(model, tmp_path):
    (tmp_path / "few.toml").write_text('sample = 3\nmethod = "minmax"\n')
    anything_goes = ("--max-answer-change", 1, "--max-block-change", 1, "--max-f1-drop", 100)  # the weights are random
    wanted = ("--precision", "int8", "--recipe", tmp_path / "few.toml", "--parity-questions", 2, *anything_goes)
    shown = succeed("export", model, "--out", tmp_path / "bundle", *wanted)
    assert Bundle.open(tmp_path / "bundle").manifest.precision == "int8"
    assert "in int8" in shown
    (tmp_path / "few.toml").write_text("samples = 3\n")
    done = run("export", model, "--out", tmp_path / "other", *wanted)
    assert done.exit_code == 1
    assert "has an unknown key 'samples'" in in_one_line(done)


def test_for_cpu_prints_what_was_tried_and_notes_the_fastest(model, tmp_path):
    wanted = ("--for", "cpu", "--precision", "fp32", "--limit", 2, "--parity-questions", 2)
    shown = succeed("export", model, "--out", tmp_path / "bundle", *wanted)
    ways = Bundle.open(tmp_path / "bundle").manifest.cpu.ways
    table = re.findall(r"fp32 (\w+) (fp32|bf16) (\d+\.\d) (\d+\.\d) ", shown)
    assert [row[:2] for row in table] == [(way.backend, way.precision) for way in ways]
    assert all(float(best) <= float(dense) for _, _, dense, best in table)  # none at all is one of the sets
    asked = ("--question", "Who wrote it?", "--context", "Ada wrote it in 1843.")
    assert f"Runs on {ways[0].backend}: it is the fastest" in run("ask", tmp_path / "bundle", *asked).output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dataset", "squad"), "--dataset and --limit choose the questions of --for"),
        (("--limit", 3), "--dataset and --limit choose the questions of --for"),
        (("--for", "cpu", "--layout", "single"), "pass no --layout single"),
        (("--for", "cpu", "--backend", "tensorrt-rtx"), "export for one thing at a time"),
        (("--for", "cpu", "--precision", "fp16"), "tries graphs in fp32 and int8, not in fp16"),
        (("--for", "cpu", "--precision", "fp32", "--recipe", "int8"), "--recipe is for INT8"),
        (("--for", "cpu", "--dataset", "nowhere.json"), "nowhere.json"),
    ],
)
def test_options_of_for_that_do_not_fit_are_refused(options, said, model, tmp_path):
    done = run("export", model, "--out", tmp_path / "bundle", *options)
    assert done.exit_code == 1
    assert said in in_one_line(done)
    assert not (tmp_path / "bundle").exists()

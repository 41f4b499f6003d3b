"""A model is exported, tried and kept with what was measured: real graphs, real backends, random weights."""

import json
import shutil
from dataclasses import replace

import pytest

from bskim_export import QAPipeline
from bskim_export.backends import choose
from bskim_export.backends.catalogue import CATALOGUE
from bskim_export.backends.processor import features
from bskim_export.bundle.bundle import Bundle
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError, ParityError
from bskim_export.export.cpu import fastest, trial
from bskim_export.export.cpu.fastest import export_fastest
from bskim_export.export.cpu.trial import Timed, Trial
from bskim_export.export.int8.recipe import Int8Calibration
from bskim_export.export.parity import UNJUDGED


@pytest.fixture(scope="module")
def questions(squad):
    return sample(squad, 2, seed=5)


def few(squad) -> Int8Calibration:
    return Int8Calibration(sample(squad, 4), "minmax")


@pytest.fixture(scope="module")
def found(tiny, squad, questions, tmp_path_factory):
    """Return the folder, the manifest and the trials of one export for this CPU."""
    out = tmp_path_factory.mktemp("fastest") / "bundle"
    steps = []
    manifest, trials = export_fastest(
        tiny(),
        out,
        questions,
        coarse=UNJUDGED,
        int8_calibration=few(squad),
        questions=sample(squad, 3),
        progress=lambda what, done, total: steps.append((what, done, total)),
    )
    done = [(done, total) for what, done, total in steps if what == fastest.MEASURING]
    assert done == [(n, done[-1][1]) for n in range(done[-1][1] + 1)]
    return out, manifest, trials


def test_everything_that_is_installed_was_tried_in_both_precisions(found):
    _, _, trials = found
    tried = {(one.graphs, one.backend, one.precision) for one in trials}
    names = ["onnxruntime", *(["openvino"] if CATALOGUE["openvino"].installed else [])]
    assert tried == {
        (graphs, name, precision)
        for graphs in ("fp32", "int8")
        for name in names
        for precision in CATALOGUE[name].precisions
    }


def test_trials_are_ordered_by_time_and_the_refused_stand_last(found):
    _, _, trials = found
    running = [one for one in trials if one.pipeline is not None]
    assert trials[: len(running)] == running
    assert [one.seconds for one in running] == sorted(one.seconds for one in running)
    for one in trials[len(running) :]:
        assert one.refused


def test_the_bundle_opens_and_says_how_it_was_measured(found, questions):
    out, manifest, trials = found
    bundle = Bundle.open(out)
    assert bundle.manifest == manifest
    assert manifest.precision == trials[0].graphs
    own = [one for one in trials if one.graphs == manifest.precision and one.pipeline is not None]
    choice = manifest.cpu
    assert [(way.backend, way.precision) for way in choice.ways] == [(one.backend, one.precision) for one in own]
    assert [way.seconds for way in choice.ways] == pytest.approx([one.seconds / one.questions for one in own])
    assert set(choice.ways[0].needs) <= features()
    report = bundle.read_report()
    assert len(report["cpu"]["trials"]) == len(trials)
    assert report["parity"]["questions"] == 3
    # The sets that were measured, from all predictors to none.
    sets = [one["skim_layers"] for one in report["cpu"]["trials"][0]["sets"] if not one["several_windows"]]
    assert sets[0] == manifest.skim_layers
    assert sets[-1] == []


def test_nothing_else_is_left_in_the_folder(found):
    out, _, _ = found
    assert {path.name for path in out.iterdir()} == {"manifest.json", "onnx", "report.json", "tokenizer.json"}
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_pipeline_runs_the_first_way_and_its_predictors(found):
    out, manifest, _ = found
    way = manifest.cpu.ways[0]
    with QAPipeline(out) as qa:
        assert (qa.backend.name, qa.backend.precision) == (way.backend, way.precision)
        assert "fastest that was measured" in qa.backend_reason
        assert [i for i in manifest.skim_layers if qa.policy.scores(i)] == way.skim_layers
        documents = qa.policy.for_documents
        assert [i for i in manifest.skim_layers if documents.scores(i)] == way.document_skim_layers
        assert qa(question="Who wrote it?", context="It was written by Ada in 1843.")["answer"]


def with_ways(found, tmp_path, **changes):
    """Return a copy of the bundle, whose two ways are OpenVINO's with no predictor and ONNX Runtime's with one."""
    out, manifest, _ = found
    folder = shutil.copytree(out, tmp_path / "bundle")
    first = {"backend": "openvino", "precision": "bf16", "needs": [], "skim_layers": [], **changes}
    way = replace(manifest.cpu.ways[0], **first)
    second = replace(way, backend="onnxruntime", precision="fp32", needs=[], skim_layers=[1], document_skim_layers=[0])
    return Bundle.create(folder, replace(manifest, cpu=replace(manifest.cpu, ways=[way, second]))).folder


def test_a_processor_without_the_features_takes_the_next_way(found, tmp_path):
    folder = with_ways(found, tmp_path, needs=["amx_of_tomorrow"])
    with QAPipeline(folder) as qa:
        assert qa.backend.name == "onnxruntime"
        assert "no amx_of_tomorrow" in qa.backend_reason
        assert [i for i in (0, 1, 2) if qa.policy.scores(i)] == [1]
        assert [i for i in (0, 1, 2) if qa.policy.for_documents.scores(i)] == [0]


def test_a_backend_that_is_not_installed_is_passed_over(found, tmp_path, monkeypatch):
    folder = with_ways(found, tmp_path)
    monkeypatch.setattr(choose, "CATALOGUE", {"onnxruntime": CATALOGUE["onnxruntime"]})
    with QAPipeline(folder) as qa:
        assert qa.backend.name == "onnxruntime"
        assert "openvino is not installed" in qa.backend_reason


def test_thresholds_that_were_changed_since_run_all_predictors(found, tmp_path):
    folder = with_ways(found, tmp_path, needs=["amx_of_tomorrow"])
    bundle = Bundle.open(folder)
    changed = dict.fromkeys(bundle.skim_layers, 0.5)
    bundle.write_calibration(changed, {"of": "a test"})
    with QAPipeline(folder) as qa:
        assert qa.policy.by_layer == changed


def test_a_threshold_that_is_asked_for_holds_for_all_layers(found, tmp_path):
    folder = with_ways(found, tmp_path, needs=["amx_of_tomorrow"])
    with QAPipeline(folder, threshold=0.25) as qa:
        assert qa.policy.by_layer == dict.fromkeys((0, 1, 2), 0.25)


def test_a_bundle_whose_proof_fails_is_not_tried(tiny, squad, questions, tmp_path, monkeypatch):
    """INT8 of random weights changes answers: the limits of every export refuse it, and fp32 is kept."""
    monkeypatch.setattr(trial, "NOT_TRIED", ("torch", "openvino"))
    manifest, trials = export_fastest(
        tiny(), tmp_path / "bundle", questions, questions=sample(squad, 8), int8_calibration=few(squad)
    )
    assert manifest.precision == "fp32"
    (refused,) = [one for one in trials if one.refused]
    assert refused.graphs == "int8"
    assert "do not match PyTorch" in refused.refused
    report = json.loads((tmp_path / "bundle" / "report.json").read_text())
    assert report["cpu"]["trials"][-1]["refused"] == refused.refused


def test_a_backend_whose_proof_fails_is_not_tried(tiny, squad, questions, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(trial, "find_faults", lambda parity, limits: ["7 of 9 answers differ"])
    manifest, trials = export_fastest(
        tiny(), tmp_path / "bundle", questions, precisions=["fp32"], questions=sample(squad, 2)
    )
    assert [way.backend for way in manifest.cpu.ways] == ["onnxruntime"]
    refused = [one.refused for one in trials if one.refused]
    assert refused
    assert all("on 2 questions, 7 of 9 answers differ" in one for one in refused)


def test_int8_alone_that_is_refused_is_an_error_and_nothing_changes(tiny, squad, questions, tmp_path):
    with pytest.raises(ParityError, match="do not match PyTorch"):
        export_fastest(
            tiny(),
            tmp_path / "out",
            questions,
            precisions=["int8"],
            questions=sample(squad, 8),
            int8_calibration=few(squad),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"precisions": ["fp16"]}, "not in fp16"), ({"precisions": []}, "graphs are in"), ({"timed": []}, "no question")],
)
def test_what_cannot_be_tried_is_refused_before_any_work(arguments, said, tiny, questions, tmp_path):
    wanted = {"timed": questions, **arguments}
    with pytest.raises(InputError, match=said):
        export_fastest(tiny(), tmp_path / "out", wanted.pop("timed"), **wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_in_it_is_left_alone(tiny, questions, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="Choose another --out"):
        export_fastest(tiny(), tmp_path, questions)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_model_without_predictors_is_tried_dense(tiny, squad, questions, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "NOT_TRIED", ("torch", "openvino"))
    manifest, (one,) = export_fastest(
        tiny("bert", ()), tmp_path / "bundle", questions, precisions=["fp32"], questions=sample(squad, 2)
    )
    assert manifest.cpu.ways[0].skim_layers == []
    assert one.seconds == one.dense_seconds
    assert QAPipeline(tmp_path / "bundle")(question="Who?", context="It is Ada.")["answer"]


def test_kinds_of_questions_have_sets_of_their_own():
    one = Trial("fp32", "onnxruntime", "1", "fp32")
    one.timed = {
        False: {(0, 1): Timed(3.0, [50, 50]), (1,): Timed(2.0, [50, 100]), (): Timed(2.5, [60, 100])},
        True: {(0, 1): Timed(4.0, [50]), (): Timed(9.0, [50])},
    }
    way = one.way([0, 1])
    assert (way.skim_layers, way.document_skim_layers) == ([1], [0, 1])
    assert way.seconds == pytest.approx(6.0 / 3)
    assert one.dense_seconds == 11.5
    assert one.f1 == pytest.approx(200 / 3)
    one.timed.pop(True)
    assert one.way([0, 1]).document_skim_layers == [0, 1]  # not measured: all run


@pytest.mark.parametrize(
    ("f1", "loses"),
    [
        ([100.0] * 20, False),
        ([0.0] * 20, True),
        ([0.0] + [100.0] * 19, False),  # one of twenty may be chance
        ([0.0] * 8 + [100.0] * 12, True),
        ([99.8] * 20, False),  # within the budget
        ([99.6] * 20, True),
    ],
)
def test_predictors_that_lose_more_than_the_budget_are_not_chosen(f1, loses):
    one = Trial("fp32", "onnxruntime", "1", "fp32", budget=0.3)
    one.timed = {False: {(0,): Timed(1.0, f1), (): Timed(2.0, [100.0] * 20)}}
    assert one.fastest(False) == (() if loses else (0,))

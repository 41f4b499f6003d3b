"""bskim-calibrate from end to end, on the trained model."""

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bskim_export import QAPipeline
from bskim_export.commands import main as group

ROOT = Path(__file__).parents[2]
BUDGET = ("--sample", 40, "--held-out", 8, "--max-f1-drop", 5)


def calibrate(*arguments):
    return CliRunner().invoke(group, ["calibrate", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def calibrated(minilm_bundle, tmp_path_factory):
    """A bundle calibrated to a budget, with its curve; the work directory beside it."""
    folder = tmp_path_factory.mktemp("calibrated")
    shutil.copytree(minilm_bundle, folder / "engines")
    done = calibrate(folder / "engines", *BUDGET, "--curve", folder / "curve.svg")
    assert done.exit_code == 0, done.output
    return folder, done.output


def evidence(bundle: Path) -> dict:
    return json.loads((bundle / "report.json").read_text())["calibration"]


def test_thresholds_and_evidence_are_in_the_bundle(calibrated, minilm_bundle):
    folder, output = calibrated
    found, manifest = evidence(folder / "engines"), json.loads((folder / "engines" / "manifest.json").read_text())
    assert manifest["thresholds"] == found["thresholds"]
    assert list(found["thresholds"]) == ["0", "1", "2", "3", "4", "5"]
    assert "parity" in json.loads((folder / "engines" / "report.json").read_text())
    qa = QAPipeline(folder / "engines")  # loads, and runs at these thresholds
    assert qa.policy.by_layer == {int(k): v for k, v in found["thresholds"].items()}
    before = json.loads((minilm_bundle / "manifest.json").read_text())
    assert {k for k in before if before[k] != manifest[k]} == {"thresholds"}
    for shown in ("layer", "held-out, skim", "Expected on other questions", "report.json"):
        assert shown in output


def test_the_budget_is_kept_on_the_calibration_questions_by_a_true_run(calibrated):
    found = evidence(calibrated[0] / "engines")
    skim = found["calibration"]["skim"]
    assert found["calibration"]["questions"] == 40
    assert found["held_out"]["questions"] == 8
    assert skim["f1_drop"] <= 5
    assert skim["f1_drop"] == pytest.approx(found["calibration"]["dense"]["f1"] - skim["f1"])
    assert skim["speedup_macs"] > 1.05  # this model can do that
    assert found["attempts"][-1]["f1_drop"] == pytest.approx(skim["f1_drop"])
    assert found["simulation"]["same_answers"] > 0.8


def test_the_curve_has_both_families_simulated_and_true(calibrated):
    folder, _ = calibrated
    curve = json.loads((folder / "curve.json").read_text())
    for family in ("path", "same threshold"):
        points = [p for p in curve["points"] if p["family"] == family]
        assert points[0]["speedup_macs"] == 1
        assert points[0]["f1_drop"] == 0
        assert points[-1]["speedup_macs"] > 1.3
        assert all(len(p["kept_blocks"]) == 6 for p in points)
        measured = [p for p in curve["measured"] if p["family"] == family]
        assert measured
        assert all(p["seconds_per_question"] > 0 and p["speedup_macs"] > 1 for p in measured)
    padded = curve["points"][0]["speedup_macs_over_padded_512"]
    assert 2 < padded < 5  # padding alone
    assert (folder / "curve.svg").read_text().count("<path") > 10


def test_risk_is_certified_on_questions_that_the_search_did_not_see(calibrated, minilm_bundle, tmp_path):
    shutil.copytree(minilm_bundle, tmp_path / "engines")
    goal = ("--risk", 0.2, "--confidence", 0.9, "--sample", 60, "--held-out", 0)
    done = calibrate(tmp_path / "engines", *goal)
    assert done.exit_code == 0, done.output
    found = evidence(tmp_path / "engines")
    assert (found["selection_questions"], found["certification_questions"]) == (30, 30)
    assert "held_out" not in found
    passed = [t for t in found["tested"] if t["certified"]]
    assert passed
    assert passed[-1]["thresholds"] == found["thresholds"]
    assert passed[-1]["lost"] == found["calibration"]["skim"]["questions_that_lost_a_needed_block"]
    assert all(t["certified"] for t in found["tested"][:-1])
    assert "Learn then Test on 30 questions" in " ".join(done.output.split())


def test_latency_as_the_objective_measures_prices_once(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle(), tmp_path / "engines")
    goal = ("--max-f1-drop", 2, "--objective", "latency", "--sample", 16, "--held-out", 0)
    first = calibrate(tmp_path / "engines", *goal)
    assert first.exit_code == 0, first.output
    found = evidence(tmp_path / "engines")
    assert len(found["price"]["seconds"]) == 6
    assert calibrate(tmp_path / "engines", *goal).exit_code == 0
    assert evidence(tmp_path / "engines") == found


@pytest.mark.parametrize("how", [("--simulated",), ()])
def test_risk_check_counts_broken_splits(minilm_bundle, tmp_path, how):
    arguments = ("--sample", 50, "--splits", 50, "--risk", 0.3, "--confidence", 0.8, "--work-dir", tmp_path, *how)
    done = CliRunner().invoke(group, [str(a) for a in ("risk-check", minilm_bundle, *arguments)])
    assert done.exit_code == 0, done.output
    assert "50 splits, risk 30.0% at confidence 80%" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "What may skimming cost?"),
        (("--max-f1-drop", 1, "--risk", 0.1), "not for both"),
        (("--risk", 0.01, "--sample", 40), "20 certification questions are too few"),
        (("--recipe", "nope"), "There is no recipe 'nope'"),
        (("--max-f1-drop", 1, "--curve", "x.txt"), "--curve writes .json, .svg"),
        (("--max-f1-drop", 1, "--dataset", "missing.json"), "There is no file 'missing.json'"),
        (("--max-f1-drop", 1, "--max-seq-len", 9999), "was exported for at most 384"),
    ],
)
def test_mistakes_get_one_clear_error_and_leave_the_bundle(minilm_bundle, tmp_path, arguments, message):
    before = (minilm_bundle / "manifest.json").read_bytes()
    done = calibrate(minilm_bundle, *arguments, "--work-dir", tmp_path)
    assert done.exit_code == 1
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert (minilm_bundle / "manifest.json").read_bytes() == before


def test_a_dense_bundle_has_nothing_to_calibrate(tiny_bundle, tmp_path):
    done = calibrate(tiny_bundle("bert", ()), "--max-f1-drop", 1, "--work-dir", tmp_path)
    assert done.exit_code == 1
    assert "no skim predictors" in done.output


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_calibration_goes_on_and_ends_with_the_same_thresholds(calibrated, minilm_bundle, tmp_path, kill):
    """Killed at random moments until it has done some work each time, then left to finish."""
    bundle, work = tmp_path / "engines", tmp_path / "engines.calibration"
    shutil.copytree(minilm_bundle, bundle)
    command = [sys.executable, "-m", "bskim_export.commands", "calibrate", str(bundle), *map(str, BUDGET)]
    before, kills = digest(bundle), 0
    moments = random.Random(kill)
    while kills < 3:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        shards = len(list(work.rglob("*.npz")))
        while process.poll() is None and len(list(work.rglob("*.npz"))) <= shards:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        if process.poll() is not None:
            break
        process.send_signal(kill)
        output = process.communicate()[0]
        assert process.returncode != 0, output
        assert digest(bundle) == before
        kills += 1
    assert kills
    if kill == signal.SIGTERM:
        assert "The same command goes on from here" in output
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert evidence(bundle) == evidence(calibrated[0] / "engines")
    assert (
        not [p for p in work.rglob("*") if p.is_file() and p.suffix not in (".npz", ".json")] or kill == signal.SIGKILL
    )


def digest(bundle: Path) -> str:
    return hashlib.sha256((bundle / "manifest.json").read_bytes() + (bundle / "report.json").read_bytes()).hexdigest()

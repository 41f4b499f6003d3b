"""bskim-calibrate from end to end, on the trained model."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from commands.cli import in_one_line, read_json, run, succeed

from bskim_export import QAPipeline
from bskim_export.bundle.bundle import Bundle
from bskim_export.calibrate.plot import plot_curve
from bskim_export.data.squad import write_squad

ROOT = Path(__file__).parents[2]
BUDGET = ("--sample", 40, "--held-out", 8, "--max-f1-drop", 5)
FAMILIES = ("path", "same threshold")


@pytest.fixture(scope="module")
def calibrated(minilm_bundle, tmp_path_factory):
    """A bundle calibrated to a budget, with its curve; the work directory beside it."""
    folder = tmp_path_factory.mktemp("calibrated")
    shutil.copytree(minilm_bundle, folder / "bundle")
    done = run("calibrate", folder / "bundle", *BUDGET, "--curve", folder / "curve.svg")
    assert done.exit_code == 0, done.output
    return folder, done.output


def evidence(bundle: Path) -> dict[str, Any]:
    return read_json(bundle / "report.json")["calibration"]


def test_thresholds_and_evidence_are_in_the_bundle(calibrated, minilm_bundle):
    folder, _ = calibrated
    found = evidence(folder / "bundle")
    manifest = read_json(folder / "bundle" / "manifest.json")
    assert manifest["thresholds"] == found["thresholds"]
    assert list(found["thresholds"]) == ["0", "1", "2", "3", "4", "5"]
    assert "parity" in read_json(folder / "bundle" / "report.json")
    qa = QAPipeline(folder / "bundle")  # loads, and runs at these thresholds
    assert qa.policy.by_layer == {int(k): v for k, v in found["thresholds"].items()}
    assert found["options"]["max_seq_len"] == 384
    assert found["options"]["max_answer_len"] == 30
    before = read_json(minilm_bundle / "manifest.json")
    assert {k for k in before if before[k] != manifest[k]} == {"thresholds"}


def test_the_tables_show_the_evidence(calibrated):
    folder, output = calibrated
    found = evidence(folder / "bundle")
    rows = re.findall(r"^ +(\d) +(\S+).*? (\d+)% *$", output, re.MULTILINE)
    kept = found["calibration"]["skim"]["kept_blocks"]
    for (layer, shown, percent), threshold in zip(rows, found["thresholds"].items(), strict=True):
        assert (layer, float(shown)) == (threshold[0], pytest.approx(threshold[1], rel=1e-3))
        assert int(percent) == pytest.approx(100 * kept[int(layer)], abs=0.51)
    for name in ("calibration", "held_out"):
        (row,) = re.findall(rf"^ *{name.replace('_', '-')}, skim +(\d+) +(\S+) +(\S+) +(\S+) ±", output, re.MULTILINE)
        skim = found[name]["skim"]
        assert int(row[0]) == found[name]["questions"]
        assert [float(n) for n in row[1:]] == pytest.approx([skim["em"], skim["f1"], skim["f1_drop"]], abs=0.0051)
    assert f"an F1 drop of {found['expected_f1_drop']:.2f} ±" in " ".join(output.split())


def test_the_budget_is_kept_on_the_calibration_questions_by_a_true_run(calibrated):
    found = evidence(calibrated[0] / "bundle")
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
    curve = read_json(folder / "curve.json")
    for family in FAMILIES:
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


def test_the_picture_shows_exactly_the_points_of_the_curve(calibrated, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    folder, _ = calibrated
    assert ElementTree.parse(folder / "curve.svg").getroot().tag.endswith("svg")
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    curve = read_json(folder / "curve.json")
    plot_curve(curve, tmp_path / "curve.svg")
    (figure,) = figures

    def drawn(axes) -> list[list[list[float]]]:
        """Return the points of each line, without the two that mark the dense model."""
        *series, _, _ = axes.get_lines()
        return [line.get_xydata().tolist() for line in series]

    def points(kind: str, family: str, speedup: str) -> list[list[float]]:
        return [[p[speedup], -p["f1_drop"]] for p in curve[kind] if p["family"] == family]

    macs, seconds = figure.axes
    assert drawn(macs) == [points(kind, f, "speedup_macs") for f in FAMILIES for kind in ("points", "measured")]
    assert drawn(seconds) == [points("measured", f, "speedup_time") for f in FAMILIES]


def test_risk_is_certified_on_questions_that_the_search_did_not_see(calibrated, minilm_bundle, tmp_path):
    shutil.copytree(minilm_bundle, tmp_path / "bundle")
    goal = ("--risk", 0.2, "--confidence", 0.9, "--sample", 60, "--held-out", 0)
    shown = succeed("calibrate", tmp_path / "bundle", *goal)
    found = evidence(tmp_path / "bundle")
    assert (found["selection_questions"], found["certification_questions"]) == (30, 30)
    assert "held_out" not in found
    passed = [t for t in found["tested"] if t["certified"]]
    assert passed
    assert passed[-1]["thresholds"] == found["thresholds"]
    assert passed[-1]["lost"] == found["calibration"]["skim"]["questions_that_lost_a_needed_block"]
    assert all(t["certified"] for t in found["tested"][:-1])
    assert "Learn then Test on 30 questions" in shown


def test_latency_as_the_objective_measures_prices_once(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    goal = ("--max-f1-drop", 2, "--objective", "latency", "--sample", 20, "--held-out", 0)
    succeed("calibrate", tmp_path / "bundle", *goal)
    found = evidence(tmp_path / "bundle")
    assert len(found["price"]["seconds"]) == 6
    succeed("calibrate", tmp_path / "bundle", *goal)
    assert evidence(tmp_path / "bundle") == found


def test_windows_of_another_length_are_calibrated_on_if_they_are_asked_for(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    goal = ("--max-f1-drop", 50, "--sample", 20, "--held-out", 0, "--max-seq-len", 96)
    succeed("calibrate", tmp_path / "bundle", *goal)
    options = evidence(tmp_path / "bundle")["options"]
    assert (options["max_seq_len"], options["doc_stride"]) == (96, 48)
    assert Bundle.open(tmp_path / "bundle").manifest.defaults.max_seq_len == 384


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "What may skimming cost?"),
        (("--max-f1-drop", 1, "--sample", 19), "19 questions are too few to calibrate on"),
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
    done = run("calibrate", minilm_bundle, *arguments, "--work-dir", tmp_path)
    assert done.exit_code == 1
    assert message in in_one_line(done)
    assert "Traceback" not in done.output
    assert (minilm_bundle / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda bundle: (bundle / "report.json").write_text("{"), "report.json' is not valid JSON"),
        (lambda bundle: [(bundle / "report.json").unlink(), (bundle / "report.json").mkdir()], "Is a directory"),
        (lambda bundle: bundle.with_name("bundle.calibration").touch(), "Not a directory"),
    ],
    ids=["a spoiled report", "a report that is a directory", "a work directory that is a file"],
)
def test_what_could_not_be_written_is_said_before_work(tiny_bundle, tmp_path, spoil, message, monkeypatch):
    bundle = shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    spoil(bundle)
    monkeypatch.setattr("bskim_export.calibrate.session.Session", None)  # not one question is run
    done = run("calibrate", bundle, "--max-f1-drop", 1)
    assert done.exit_code == 1
    assert message in in_one_line(done)


def test_a_read_only_bundle_is_noticed_before_work(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    command = [sys.executable, "-m", "bskim_export.commands", "calibrate", "bundle", "--max-f1-drop", "1"]
    mounted = 'mount --bind bundle bundle && mount -o remount,ro,bind bundle || exit 99; exec "$@"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", mounted, "sh", *command, "--work-dir", "work"],
                          cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this user may not mount anything")
    assert done.returncode == 1
    assert "manifest.json' cannot be written (Read-only file system)" in done.stderr
    assert not (tmp_path / "work").exists()


def test_a_small_data_set_is_told_with_counts_and_no_error_is_zero(tiny_bundle, squad, tmp_path):
    bundle = shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    write_squad(tmp_path / "small.json", squad[:40])
    done = run("calibrate", bundle, "--dataset", tmp_path / "small.json", "--max-f1-drop", 0.2)
    assert done.exit_code == 0, done.output
    shown = in_one_line(done)
    assert (
        "Note: The data set has 40 questions with an answer where 1,500 were asked for: 30 to calibrate on and 10"
        in shown
    )
    assert "30 questions cannot show a drop of 0.2 points" in shown
    skim = evidence(bundle)["calibration"]["skim"]
    assert skim["f1_drop_standard_error"] > 3 or not any(evidence(bundle)["thresholds"].values())


def test_a_dense_bundle_has_nothing_to_calibrate(tiny_bundle, tmp_path):
    done = run("calibrate", tiny_bundle("bert", ()), "--max-f1-drop", 1, "--work-dir", tmp_path)
    assert done.exit_code == 1
    assert "no skim predictors" in done.output


@pytest.mark.parametrize("kill", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_killed_calibration_goes_on_and_ends_with_the_same_thresholds(calibrated, minilm_bundle, tmp_path, kill):
    """Killed at random moments until it has done some work each time, then left to finish."""
    bundle = tmp_path / "bundle"
    work = tmp_path / "bundle.calibration"
    shutil.copytree(minilm_bundle, bundle)
    command = [sys.executable, "-m", "bskim_export.commands", "calibrate", str(bundle), *map(str, BUDGET)]
    before = digest(bundle)
    kills = 0
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
    assert evidence(bundle) == evidence(calibrated[0] / "bundle")
    left = [p for p in work.rglob("*") if p.is_file() and p.suffix not in (".npz", ".json")]
    assert not left or kill == signal.SIGKILL


def digest(bundle: Path) -> str:
    return hashlib.sha256((bundle / "manifest.json").read_bytes() + (bundle / "report.json").read_bytes()).hexdigest()

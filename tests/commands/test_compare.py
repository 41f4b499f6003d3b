import shutil
from dataclasses import replace

import pytest
from commands.cli import in_one_line, read_json, run, succeed

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import RunDefaults


@pytest.fixture
def shorter(tiny_bundle, tmp_path):
    """A bundle whose questions are run in windows of 128 positions."""
    shutil.copytree(tiny_bundle(), tmp_path / "shorter")
    bundle = Bundle.open(tmp_path / "shorter")
    Bundle.create(bundle.folder, replace(bundle.manifest, defaults=RunDefaults.of_length(128)))
    return bundle.folder


def test_both_ways_are_printed_and_written(minilm_bundle, tmp_path):
    out = tmp_path / "figures.json"
    shown = succeed("compare", minilm_bundle, "--limit", 6, "--threshold", 0.3, "--json", out)
    report = read_json(out)
    assert report["dataset"] == "squad"
    assert (report["options"]["max_seq_len"], report["options"]["doc_stride"]) == (384, 128)
    assert report["options"]["max_answer_len"] == 30
    (part,) = report["parts"]
    assert part["questions"] == 6
    assert part["rows"].keys() == {"dense", "skim"}
    assert part["rows"]["dense"]["speedup_macs"] == 1
    assert part["rows"]["skim"]["speedup_macs"] > 1
    assert part["f1_difference"] == pytest.approx(part["rows"]["skim"]["f1"] - part["rows"]["dense"]["f1"])
    assert f"F1 {part['f1_difference']:+.2f}, 95 % interval" in shown


def test_a_bundle_beside_itself_does_not_differ(minilm_bundle):
    shown = succeed("compare", minilm_bundle, minilm_bundle, "--limit", 4)
    assert "F1 +0.00, 95 % interval +0.00 to +0.00 (bootstrap over questions); 0 answers differ." in shown
    assert "BUNDLE" in shown
    assert "OTHER" in shown


def test_two_bundles_run_in_windows_that_both_are_meant_for(tiny_bundle, shorter, tmp_path):
    for first, second in ((tiny_bundle(), shorter), (shorter, tiny_bundle())):
        succeed("compare", first, second, "--limit", 2, "--json", tmp_path / "figures.json")
        options = read_json(tmp_path / "figures.json")["options"]
        assert (options["max_seq_len"], options["doc_stride"]) == (128, 64)
    succeed("compare", shorter, tiny_bundle(), "--max-seq-len", 256, "--limit", 2, "--json", tmp_path / "figures.json")
    assert read_json(tmp_path / "figures.json")["options"]["max_seq_len"] == 256


def test_a_length_that_one_of_them_does_not_take_is_refused(minilm_bundle, tiny_bundle):
    done = run("compare", minilm_bundle, tiny_bundle(), "--max-seq-len", 400, "--limit", 2)
    assert done.exit_code == 1
    assert "max_seq_len is 400; the bundle was exported for at most 384" in in_one_line(done)

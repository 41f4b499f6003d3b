"""The bundle as an object: opened, compared with what is there now, calibrated."""

import json

import pytest
from bundle_parts import small_manifest, write_small_bundle

from bskim_export import Bundle
from bskim_export.bundle.bundle import REPORT
from bskim_export.bundle.manifest_file import MANIFEST
from bskim_export.errors import BundleError


@pytest.mark.parametrize("name", ["empty", "absent", "a file/inside"])
def test_a_folder_without_manifest_is_not_a_bundle(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("x")
    folder = tmp_path / name
    with pytest.raises(BundleError, match="is not a bundle") as caught:
        Bundle.open(folder)
    assert f"Create one with: bskim-export MODEL --out {folder}" in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00b"])
def test_a_name_that_no_folder_has_is_refused(name):
    with pytest.raises(BundleError):
        Bundle.open(name)


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BundleError):
        Bundle.open(tmp_path / "loop")


def test_a_bundle_whose_parts_do_not_fit_is_not_written(tmp_path):
    manifest = small_manifest()
    manifest.thresholds.clear()
    with pytest.raises(BundleError, match="thresholds: there is none for layer 0"):
        Bundle.create(tmp_path, manifest)
    assert list(tmp_path.iterdir()) == []


def test_calibration_writes_thresholds_and_evidence_and_keeps_the_rest(tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    bundle.write_report("parity", {"questions": 32})
    calibrated = bundle.write_calibration({0: 0.5}, {"recipe": "squad"})
    assert calibrated.thresholds == Bundle.open(tmp_path / "b").thresholds == {0: 0.5}
    assert bundle.thresholds == {0: 0.25}
    assert calibrated.manifest.files == bundle.manifest.files
    evidence = {"recipe": "squad", "thresholds": {"0": 0.5}}
    assert calibrated.read_report() == {"parity": {"questions": 32}, "calibration": evidence}


def test_documents_may_have_thresholds_of_their_own_with_their_own_evidence(tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    assert bundle.document_thresholds == bundle.thresholds == {0: 0.25}
    assert b"document_thresholds" not in (tmp_path / "b" / MANIFEST).read_bytes()  # as earlier releases expect it
    both = bundle.write_calibration({0: 0.5}, {"recipe": "a"}).write_calibration({0: 0.75}, {"recipe": "b"}, True)
    found = Bundle.open(tmp_path / "b")
    assert (found.thresholds, found.document_thresholds) == ({0: 0.5}, {0: 0.75})
    assert both.manifest == found.manifest
    assert {name: one["recipe"] for name, one in found.read_report().items() if "previous" not in name} == {
        "calibration": "a",
        "document_calibration": "b",
    }
    again = found.write_calibration({0: 0.875}, {"recipe": "c"}, documents=True)
    assert again.thresholds == {0: 0.5}
    assert again.read_report()["document_calibration"]["recipe"] == "c"


@pytest.mark.parametrize("thresholds", [{1: 0.5}, {0: 2.0}, {0: 0.5, 3: 0.5}])
def test_thresholds_for_documents_that_do_not_fit_are_not_written(thresholds, tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    before = (tmp_path / "b" / MANIFEST).read_bytes()
    with pytest.raises(BundleError, match="document_thresholds"):
        bundle.write_calibration(thresholds, {}, documents=True)
    assert (tmp_path / "b" / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("thresholds", [{}, {1: 0.5}, {0: 2.0}, {0: float("nan")}])
def test_thresholds_that_do_not_fit_are_not_written(thresholds, tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    before = (tmp_path / "b" / MANIFEST).read_bytes()
    with pytest.raises(BundleError, match="thresholds"):
        bundle.write_calibration(thresholds, {})
    assert (tmp_path / "b" / MANIFEST).read_bytes() == before
    assert not (tmp_path / "b" / REPORT).exists()


def test_thresholds_may_be_edited_by_hand(tmp_path):
    write_small_bundle(tmp_path / "b")
    path = tmp_path / "b" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"thresholds": {"0": 0}}))
    assert Bundle.open(tmp_path / "b").thresholds == {0: 0.0}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"document_thresholds": {"0": 1}}))
    assert Bundle.open(tmp_path / "b").document_thresholds == {0: 1.0}


def test_any_other_field_may_not(tmp_path):
    write_small_bundle(tmp_path / "b")
    path = tmp_path / "b" / MANIFEST
    raw = json.loads(path.read_text())
    raw["model"]["pad_token_id"] = 7
    path.write_text(json.dumps(raw))
    refusal = r"manifest.json' was changed after export.*Only 'thresholds' and 'document_thresholds' may be"
    with pytest.raises(BundleError, match=refusal):
        Bundle.open(tmp_path / "b")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000, b"3"])
def test_a_report_that_cannot_be_read_is_named(content, tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    (tmp_path / "b" / REPORT).write_bytes(content)
    with pytest.raises(BundleError, match=r"report\.json"):
        bundle.read_report()


def test_a_bundle_without_a_report_has_an_empty_one(tmp_path):
    assert write_small_bundle(tmp_path / "b").read_report() == {}


def test_files_that_changed_since_the_bundle_was_opened_are_noticed(tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    bundle.require_unchanged()
    (tmp_path / "b" / "onnx" / "dense.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match="was replaced or changed after it was opened"):
        bundle.require_unchanged()

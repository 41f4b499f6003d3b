"""Puts thresholds and evidence into a bundle. Neither file is hashed, and each is replaced whole."""

import json
from pathlib import Path

from bskim_export.bundle import MANIFEST, REPORT, Manifest, check_current
from bskim_export.whole import write_json


def write_calibration(bundle: Path, evidence: dict, calibrated: Manifest) -> None:
    """Write `evidence` into report.json under "calibration", beside what else is there, and its thresholds into
    manifest.json.

    The manifest comes last: until then the bundle runs as before, and a kill between the two is healed by calling
    again.

    Args:
        evidence: what `Session.calibrate` returns
        calibrated: the manifest of the bundle that it is about

    Raises:
        BundleError: an export has put another bundle there meanwhile; it is as it was.
    """
    check_current(bundle, calibrated)
    report = bundle / REPORT
    known = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    write_json(report, {**known, "calibration": evidence})
    manifest = bundle / MANIFEST
    raw = json.loads(manifest.read_text(encoding="utf-8"))
    write_json(manifest, {**raw, "thresholds": evidence["thresholds"]})

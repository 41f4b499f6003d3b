"""The evidence of a threshold calibration, kept together with the thresholds that it is for. Standard library only."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bskim_export.errors import BundleError
from bskim_export.locks import take_lock

CALIBRATION = "calibration"
DOCUMENTS = "document_calibration"
"""In report.json, the evidence of the thresholds for documents."""
PREVIOUS = "previous_"
"""Before either name: the evidence that was there before. It counts again if a kill kept the new thresholds out."""

PATIENCE = 30
"""Seconds to wait for another process that is writing into the bundle."""


def with_calibration(
    report: Mapping[str, Any],
    before: Mapping[int, float],
    thresholds: Mapping[int, float],
    evidence: Mapping[str, Any],
    name: str = CALIBRATION,
) -> dict[str, Any]:
    """Return report.json with the evidence of a new calibration.

    Args:
        report: what it was
        before: the bundle's thresholds until now
        thresholds: what the evidence is for
        name: CALIBRATION or DOCUMENTS
    """
    kept = own_evidence(report, before, name)
    previous = {PREVIOUS + name: kept[name]} if name in kept else {}
    return {**kept, name: {**evidence, "thresholds": _by_text(thresholds)}, **previous}


def own_evidence(report: Mapping[str, Any], thresholds: Mapping[int, float], name: str = CALIBRATION) -> dict[str, Any]:
    """Return a report with the evidence for these thresholds, or without any if it is for others.

    Args:
        name: CALIBRATION or DOCUMENTS

    Example:
        >>> own_evidence({"calibration": {"thresholds": {"0": 0.5}}, "parity": {}}, {0: 0.25})
        {'parity': {}}
    """
    places = (name, PREVIOUS + name)
    rest = {key: value for key, value in report.items() if key not in places}
    for place in places:
        record = report.get(place)
        if isinstance(record, dict) and record.get("thresholds", _by_text(thresholds)) == _by_text(thresholds):
            return {**rest, name: record}
    return rest


@contextmanager
def locked_folder(folder: Path) -> Iterator[int]:
    """Yield the descriptor of a directory that one process at a time has. Without locks on its disk, all have it.

    Raises:
        BundleError: it cannot be opened, or another process does not let go of it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"'{folder}' cannot be opened ({error.strerror}).") from error
    try:
        if take_lock(descriptor, PATIENCE) is False:
            raise BundleError(f"Another process has been writing to '{folder}' for {PATIENCE} seconds. Try again.")
        yield descriptor
    finally:
        os.close(descriptor)


def is_still_at(descriptor: int, folder: Path) -> bool:
    """Return whether an open directory is still where it was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except OSError:
        return False


def _by_text(thresholds: Mapping[int, float]) -> dict[str, float]:
    return {str(layer): float(value) for layer, value in thresholds.items()}

"""The bundle: the directory that export writes and the runtime reads. Standard library only.

manifest.json       what is in it: model, stages, tensors, thresholds, hashes, versions
onnx/               stage_00.onnx ... skim_00.onnx ... dense.onnx, and weights.bin, which they all share
tokenizer.json      the fast tokenizer
report.json         the evidence that the graphs do what PyTorch does
engines/            what was compiled from the graphs ahead of time; a cache, to be deleted at will
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bskim_export.atomic import check_output, write_atomic, write_json
from bskim_export.bundle.checks import TOKENIZER, WEIGHTS, check_manifest
from bskim_export.bundle.evidence import (
    CALIBRATION,
    DOCUMENTS,
    is_still_at,
    locked_folder,
    own_evidence,
    with_calibration,
)
from bskim_export.bundle.hub import fetch, is_hub_name
from bskim_export.bundle.integrity import RECOPY, find_fault, hash_file, read_small, stamp_files
from bskim_export.bundle.manifest import EngineSet, Manifest, Model
from bskim_export.bundle.manifest_file import LARGEST_MANIFEST, MANIFEST, decode, encode, require_seal
from bskim_export.errors import BundleError, InputError, only_own_errors

REPORT = "report.json"


class Bundle:
    """A bundle that has been opened: its manifest was checked and, unless that was left out, every file's hash.

    Attributes:
        folder: the directory, links resolved: where a link leads may change while the bundle is open
        manifest: what manifest.json says; never changed in place

    Example:
        >>> bundle = Bundle.open("engines/")  # doctest: +SKIP
        >>> bundle.model.num_layers, bundle.thresholds  # doctest: +SKIP
        (6, {1: 0.0243, 2: 0.0266, 3: 0.0129, 4: 0.0186})
    """

    def __init__(self, folder: Path, manifest: Manifest):
        """Take a manifest that belongs to `folder`; `open` and `create` are how to get a bundle."""
        self.folder = folder
        self.manifest = manifest
        self._stamps = stamp_files(folder, manifest.files)
        self._weights: bytes | None = None

    @classmethod
    @only_own_errors
    def open(cls, folder: str | Path, *, verify: bool = True, revision: str | None = None) -> "Bundle":
        """Open the bundle in `folder`, or of that name on the Hugging Face Hub; see `hub`.

        Args:
            verify: read every file and compare its SHA-256 with the manifest's; without it only manifest.json is read
            revision: of a bundle on the Hub: a branch, a tag or a commit

        Raises:
            BundleError: there is no bundle, it is of another format version, a field is missing, wrong or was edited,
                or a file is missing or not what export wrote. The message names file and field.
        """
        if is_hub_name(str(folder)):
            folder = fetch(str(folder), revision)
        elif revision is not None:
            raise InputError(f"A revision is of a bundle on the Hub, like 'user/repo'; '{folder}' is a path.")
        named = Path(folder)
        try:
            resolved = named.resolve()
        except (RuntimeError, OSError, ValueError) as error:  # a loop of links, a name that is too long or holds NUL
            raise BundleError(f"'{str(folder)[:200]}' cannot be opened: {error}") from None
        bundle = cls(resolved, _read_manifest(resolved, named))  # stamped before files are read: a change shows
        if verify:
            bundle._require_intact(named)
        return bundle

    @classmethod
    def create(cls, folder: Path, manifest: Manifest) -> "Bundle":
        """Write the manifest of a bundle whose other files are in `folder` already.

        Raises:
            BundleError: the manifest's parts do not fit each other.
        """
        check_manifest(manifest, str(folder / MANIFEST))
        _write_manifest(folder, manifest)
        return cls(folder.resolve(), manifest)

    @property
    def model(self) -> Model:
        """Return what is known of the model."""
        return self.manifest.model

    @property
    def thresholds(self) -> dict[int, float]:
        """Return the keep probability from which a block stays, by layer."""
        return dict(self.manifest.thresholds)

    @property
    def document_thresholds(self) -> dict[int, float]:
        """Return the threshold of each layer that has a predictor, for questions of several windows."""
        return dict(self.manifest.document_thresholds or self.manifest.thresholds)

    @property
    def skim_layers(self) -> list[int]:
        """Return the layers that have a predictor."""
        return self.manifest.skim_layers

    @property
    def tokenizer(self) -> Path:
        """Return the path of the tokenizer."""
        return self.folder / TOKENIZER

    @property
    def weights_hash(self) -> str:
        """Return the SHA-256 of the weights that all graphs share."""
        return self.manifest.files[WEIGHTS]

    def path(self, name: str) -> Path:
        """Return the path of a file that the manifest names."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return the content of a file that the manifest names, checked: what was checked is what is returned.

        Raises:
            BundleError: it is not as export wrote it, or cannot be read.
        """
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"'{path}' cannot be read ({error.strerror}). {RECOPY}") from error
        if hashlib.sha256(content).hexdigest() != self.manifest.files[name]:
            raise BundleError(f"'{path}' is damaged: its SHA-256 differs from the manifest's. {RECOPY}")
        return content

    def read_weights(self) -> bytes:
        """Return what `read` returns for the weights. All graphs share them: they stay until `release_weights`."""
        weights = self._weights
        if weights is None:
            weights = self._weights = self.read(WEIGHTS)
        return weights

    def release_weights(self) -> None:
        """Let go of the weights that `read_weights` read; a later call reads them again."""
        self._weights = None

    def require_unchanged(self) -> None:
        """Raise BundleError unless the files are still those that were opened. Reads none of them.

        What was loaded before and after would be of two bundles.
        """
        if stamp_files(self.folder, self.manifest.files) != self._stamps:
            raise BundleError(_replaced(self.folder))

    def with_engines(self, engines: list[EngineSet]) -> "Bundle":
        """Return the same bundle with other sets of compiled engines in its manifest, in memory only."""
        return Bundle(self.folder, replace(self.manifest, engines=engines))

    def read_report(self) -> dict[str, Any]:
        """Return what report.json says; nothing if there is none.

        The evidence of a threshold calibration is left out if it is for other thresholds than the bundle has.

        Raises:
            BundleError: it cannot be read.
        """
        report = own_evidence(self._read_whole_report(), self.manifest.thresholds)
        return own_evidence(report, self.manifest.document_thresholds, DOCUMENTS)

    def write_report(self, name: str, evidence: Mapping[str, Any]) -> None:
        """Write evidence into report.json under `name`, beside what else is there."""
        write_json(self.folder / REPORT, {**self._read_whole_report(), name: evidence})

    def check_calibratable(self) -> None:
        """Raise OutputError or BundleError if `write_calibration` could not do its work now. Changes nothing: to be
        called before hours of work."""
        check_output(self.folder / MANIFEST)
        check_output(self.folder / REPORT)
        self._read_whole_report()

    def write_calibration(
        self,
        thresholds: Mapping[int, float],
        evidence: Mapping[str, Any],
        documents: bool = False,
        max_blocks: int | None = None,
    ) -> "Bundle":
        """Write calibrated thresholds into manifest.json and their evidence into report.json; return the new bundle.

        The evidence names its thresholds, and what was there before stays beside it. So `read_report` gives the
        evidence of the thresholds that the bundle has, before, after, and after a kill between the two. One process
        writes at a time.

        Args:
            documents: they are those for questions of several windows
            max_blocks: of a split model, the blocks that a question reads

        Raises:
            BundleError: thresholds that do not fit, or an export has put another bundle there meanwhile; it is as it
                was.
            OutputError, DiskFullError: the files cannot be written.
        """
        if documents:
            manifest = replace(self.manifest, document_thresholds=dict(thresholds))
        else:
            manifest = replace(self.manifest, thresholds=dict(thresholds))
        if max_blocks is not None and manifest.split is not None:
            manifest = replace(manifest, split=replace(manifest.split, max_blocks=max_blocks))
        check_manifest(manifest, str(self.folder / MANIFEST))
        with locked_folder(self.folder) as folder:
            before = self._require_current()
            name, old = (DOCUMENTS, before.document_thresholds) if documents else (CALIBRATION, before.thresholds)
            report = with_calibration(self._read_whole_report(), old, thresholds, evidence, name)
            # Into the open directory: an export may put another bundle there at any moment, and remove this one.
            try:
                write_json(Path(REPORT), report, within=folder)
                _write_manifest(Path(), manifest, folder)
            finally:
                if not is_still_at(folder, self.folder):
                    raise BundleError(_replaced(self.folder))
        return Bundle(self.folder, manifest)

    def _read_whole_report(self) -> dict[str, Any]:
        path = self.folder / REPORT
        try:
            found = json.loads(read_small(path, LARGEST_MANIFEST))
        except FileNotFoundError:
            return {}
        except BundleError:
            raise
        except (ValueError, RecursionError) as error:
            raise BundleError(f"'{path}' is not valid JSON ({error}). Delete it or copy it again.") from None
        if not isinstance(found, dict):
            raise BundleError(f"'{path}' holds no object. Delete it or copy it again.")
        return found

    def _require_intact(self, named: Path) -> None:
        fault = find_fault(self.folder, self.manifest.files)
        if fault:
            self._require_current()  # if another bundle took its place, that is why
            raise BundleError(f"{fault.replace(str(self.folder), str(named))} {RECOPY}")

    def _require_current(self) -> Manifest:
        found = _read_manifest(self.folder, self.folder)
        if found.files != self.manifest.files:
            raise BundleError(_replaced(self.folder))
        return found


def _read_manifest(folder: Path, named: Path) -> Manifest:
    """Read and check the manifest in `folder`, which errors call `named`."""
    where = str(named / MANIFEST)
    try:
        content = read_small(folder / MANIFEST, LARGEST_MANIFEST)
    except FileNotFoundError:
        raise BundleError(
            f"'{named}' is not a bundle: it has no {MANIFEST}. Create one with: bskim-export MODEL --out {named}"
        ) from None
    manifest = decode(content, where)
    check_manifest(manifest, where)
    require_seal(content, where)
    return manifest


def _write_manifest(folder: Path, manifest: Manifest, within: int | None = None) -> None:
    write_atomic(folder / MANIFEST, lambda stream: stream.write(encode(manifest)), within=within)


def _replaced(folder: Path) -> str:
    return f"The bundle '{folder}' was replaced or changed after it was opened. Start again with what is there."


__all__ = ["MANIFEST", "REPORT", "Bundle", "hash_file"]

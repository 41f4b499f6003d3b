"""What a manifest says of CPUs is read back as it was written, and refused by name where it does not fit."""

import copy
import dataclasses
import math

import pytest
from bundle_parts import small_manifest, write_small_bundle

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.checks import check_manifest
from bskim_export.bundle.manifest import CpuChoice, CpuWay, Manifest
from bskim_export.errors import BundleError


def with_cpu() -> Manifest:
    fast = CpuWay("openvino", "bf16", ["amx_bf16"], [], [0], 0.01)
    other = CpuWay("onnxruntime", "fp32", [], [0], [0], 0.02)
    return dataclasses.replace(small_manifest(), cpu=CpuChoice("Some CPU", 2, [0.25], [0.25], [fast, other]))


def test_what_was_measured_is_read_back(tmp_path):
    bundle = write_small_bundle(tmp_path / "bundle")
    manifest = dataclasses.replace(with_cpu(), files=bundle.manifest.files)
    Bundle.create(tmp_path / "bundle", manifest)
    assert Bundle.open(tmp_path / "bundle").manifest == manifest


def test_it_is_sealed(tmp_path):
    bundle = write_small_bundle(tmp_path / "bundle")
    Bundle.create(tmp_path / "bundle", dataclasses.replace(with_cpu(), files=bundle.manifest.files))
    path = tmp_path / "bundle" / "manifest.json"
    path.write_text(path.read_text().replace('"amx_bf16"', '"avx512_bf16"'))
    with pytest.raises(BundleError, match="was changed after export"):
        Bundle.open(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda cpu: cpu.ways.clear(), "cpu: ways: there is none"),
        (lambda cpu: put(cpu, threads=0), "cpu: threads: expected 1 or more"),
        (
            lambda cpu: cpu.thresholds.append(0.5),
            r"cpu: thresholds: expected one from 0 to 1 for each of the layers \[",
        ),
        (lambda cpu: put(cpu, document_thresholds=[math.nan]), "cpu: document_thresholds: expected one from 0"),
        (lambda cpu: put(cpu.ways[1], backend="../x"), r"cpu: ways\[1\]: backend: expected names in lower case"),
        (lambda cpu: put(cpu.ways[0], precision=""), r"cpu: ways\[0\]: precision: expected names"),
        (lambda cpu: cpu.ways[0].needs.append("a b"), r"cpu: ways\[0\]: needs: expected names"),
        (lambda cpu: cpu.ways[0].skim_layers.append(1), r"cpu: ways\[0\]: skim_layers: expected some of the layers"),
        (lambda cpu: cpu.ways[1].skim_layers.append(0), r"cpu: ways\[1\]: skim_layers: expected some of the layers"),
        (lambda cpu: put(cpu.ways[1], document_skim_layers=[-1]), r"cpu: ways\[1\]: document_skim_layers: expected"),
        (lambda cpu: put(cpu.ways[0], seconds=0.0), r"cpu: ways\[0\]: seconds: expected a number above 0"),
        (lambda cpu: put(cpu.ways[0], seconds=math.inf), r"cpu: ways\[0\]: seconds: expected a number above 0"),
    ],
)
def test_what_does_not_fit_is_named(spoil, said):
    manifest = copy.deepcopy(with_cpu())
    check_manifest(manifest, "here")
    spoil(manifest.cpu)
    with pytest.raises(BundleError, match=f"^here: {said}"):
        check_manifest(manifest, "here")


def put(owner, **values) -> None:
    for name, value in values.items():
        object.__setattr__(owner, name, value)

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bskim_export import QAPipeline
from bskim_export.backends import choose
from bskim_export.backends.catalogue import open_backend
from bskim_export.backends.choose import choose_backend
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import EngineSet, Manifest
from bskim_export.commands import main as group

ADA = EngineSet("tensorrt-rtx", "1.7", "8.9", [8, 8], [384, 384])


def with_engines(folder: Path) -> Manifest:
    """Return the manifest of a bundle as if it held engines for an Ada GPU."""
    return replace(Bundle.open(folder).manifest, engines=[ADA])


@pytest.mark.parametrize(
    ("here", "reason"),
    [(None, "no NVIDIA GPU"), ((8, 6), r"this GPU has 8\.6"), ((8, 9), "tensorrt-rtx is not installed")],
)
def test_engines_that_do_not_run_here_are_passed_over_with_the_reason(here, reason, tiny_bundle, monkeypatch):
    monkeypatch.setattr(choose, "compute_capability", lambda: here)
    monkeypatch.setattr(choose, "CATALOGUE", {})
    backend, why = choose_backend(with_engines(tiny_bundle()))
    assert backend.name == "onnxruntime"
    assert re.search(reason, why)
    assert "tensorrt-rtx on compute capability 8.9" in why


def test_a_gpu_library_that_does_not_load_leaves_a_bundle_that_answers(tiny_bundle, monkeypatch):
    """The real backend: here it finds no GPU, whatever the driver was said to have."""
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("polygraphy")
    monkeypatch.setattr(choose, "compute_capability", lambda: (8, 9))
    backend, why = choose_backend(with_engines(tiny_bundle()))
    assert backend.name == "onnxruntime"
    assert "runs on an NVIDIA GPU, and there is none here" in why


def test_a_gpu_library_whose_own_libraries_are_missing_leaves_a_bundle_that_answers(
    tiny_bundle, tmp_path, monkeypatch, broken_package
):
    broken_package("tensorrt_rtx")
    monkeypatch.setattr(choose, "compute_capability", lambda: (8, 9))
    folder = shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    Bundle.create(folder, with_engines(folder))
    qa = QAPipeline(folder)
    assert "tensorrt-rtx backend is installed but does not load: libnowhere.so.1" in qa.backend_reason
    asked = {"question": "Who?", "context": "It is Ada."}
    assert qa(**asked) == QAPipeline(tiny_bundle(), backend=open_backend("onnxruntime"))(**asked)
    asked = ["ask", str(folder), "--question", "Who?", "--context", "It is Ada."]
    shown = " ".join(CliRunner().invoke(group, asked).output.split())
    assert "Runs on onnxruntime" in shown
    assert "does not load: libnowhere.so.1" in shown


def test_a_gpu_whose_cuda_does_not_work_leaves_a_bundle_that_answers(tiny_bundle, monkeypatch):
    """The real libraries, which find no driver here, whatever the bundle's GPU."""
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("polygraphy")
    if choose.compute_capability() is not None:
        pytest.skip("about machines without a GPU")
    from bskim_export.backends import tensorrt_engine

    for module in (choose, tensorrt_engine):
        monkeypatch.setattr(module, "compute_capability", lambda: (8, 9))
    backend, why = choose_backend(with_engines(tiny_bundle()))
    assert backend.name == "onnxruntime"
    assert "cannot use CUDA on this GPU: CUDA Error" in why


def test_the_pipeline_says_what_it_took_and_why(tiny_bundle, tmp_path, logged):
    folder = tmp_path / "bundle"
    folder.symlink_to(tiny_bundle())
    qa = QAPipeline(folder)
    assert qa.backend_reason == "the bundle holds no engines for a GPU"
    assert logged == [f"onnxruntime runs '{folder.resolve()}': {qa.backend_reason}."]


def test_engines_are_part_of_the_manifest(tiny_bundle, tmp_path):
    manifest = with_engines(tiny_bundle())
    Bundle.create(tmp_path, manifest)
    assert Bundle.open(tmp_path, verify=False).manifest == manifest
    assert ADA.folder == "engines/tensorrt-rtx-8.9"

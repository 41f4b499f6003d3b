import json
import platform

import pytest

from bskim_export.backends.catalogue import open_backend
from bskim_export.evaluate import machine


def test_all_that_timings_depend_on_is_there_and_fits_in_json():
    backend = open_backend("onnxruntime")
    found = machine.describe_machine(backend)
    assert json.loads(json.dumps(found)) == found
    assert (found["backend"], found["backend_version"]) == (backend.name, backend.version)
    assert (found["threads"], found["precision"]) == (backend.threads, "fp32")
    assert found["python"] == platform.python_version()
    assert found["cpu"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("processor\t: 0\nmodel name\t: Fast: 3 GHz\nmodel name\t: other\n", "Fast: 3 GHz"), ("flags\t: x\n", None)],
)
def test_the_processor_is_named_as_the_system_names_it(tmp_path, monkeypatch, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    real = machine.Path
    monkeypatch.setattr(machine, "Path", lambda path: real(tmp_path / "cpuinfo"))
    assert machine._cpu_name() == (name or platform.processor() or "unknown")


def test_a_system_without_that_file_still_has_a_processor(monkeypatch, tmp_path):
    real = machine.Path
    monkeypatch.setattr(machine, "Path", lambda path: real(tmp_path / "missing"))
    assert machine._cpu_name() == (platform.processor() or "unknown")

import json
import platform

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

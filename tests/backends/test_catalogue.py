import sys

import pytest
from click.testing import CliRunner

import bskim_export
from bskim_export.backends import catalogue
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.commands.export import main as export
from bskim_export.errors import InputError, MissingExtraError


def test_the_package_exports_the_function_that_opens_backends():
    assert bskim_export.open_backend is open_backend


def test_an_unknown_backend_or_precision_names_those_there_are():
    with pytest.raises(InputError, match=r"no backend 'tensorflow'.*onnxruntime, openvino"):
        open_backend("tensorflow")
    with pytest.raises(InputError, match=r"openvino backend computes in fp32 or bf16, not in int4"):
        open_backend("openvino", precision="int4")


def test_a_missing_backend_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "bskim_export.backends.openvino", raising=False)
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bskim-export\[openvino\]'"):
        open_backend("openvino")
    assert CATALOGUE["openvino"].installed is None


def test_a_backend_whose_library_does_not_load_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "bskim_export.backends.openvino", None)
    with pytest.raises(InputError, match="installed but does not load"):
        open_backend("openvino")


def test_the_list_is_shown_where_a_library_does_not_load(monkeypatch, broken_package):
    """The list is where a user looks for help with that."""
    broken_package("onnxruntime")
    shown = CliRunner().invoke(export, ["--list-backends"])
    assert shown.exit_code == 0, shown.output
    assert all(name in shown.output for name in CATALOGUE)
    monkeypatch.delitem(sys.modules, "bskim_export.backends.onnxruntime", raising=False)
    with pytest.raises(InputError, match="onnxruntime backend is installed but does not load: libnowhere"):
        open_backend("onnxruntime")


def test_the_list_has_every_backend_and_how_to_get_it(monkeypatch):
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None if name == "openvino" else sys.modules["click"])
    shown = CliRunner().invoke(export, ["--list-backends"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in CATALOGUE)
    assert "pip install 'bskim-export[openvino]'" in shown.output

import configparser
import importlib
import re
import sys
from pathlib import Path

import pytest

from bskim_export.errors import MissingExtraError

SETUP = Path(__file__).parents[2] / "setup.cfg"


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("haystack", "haystack-ai", "haystack"),
        ("langchain", "langchain-core", "langchain"),
        ("llama_index", "llama-index-core", "llama-index"),
    ],
)
def test_a_framework_that_is_missing_is_named_with_its_extra(monkeypatch, module, package, extra):
    config = configparser.ConfigParser()
    config.read(SETUP)
    assert re.search(rf"^{package}>=", config["options.extras_require"][extra], re.MULTILINE)
    name = f"bskim_export.integrations.{module}"
    root = {"langchain": "langchain_core"}.get(module, module)
    for loaded in [one for one in sys.modules if one.split(".")[0] == root]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, root, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingExtraError, match=re.escape(f"bskim-export[{extra}]")):
        importlib.import_module(name)

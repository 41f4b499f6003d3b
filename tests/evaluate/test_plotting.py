import sys

import pytest

from bskim_export.errors import MissingExtraError
from bskim_export.evaluate.plotting import check_plotting


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    check_plotting()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"bskim-export\[plot\]"):
        check_plotting()

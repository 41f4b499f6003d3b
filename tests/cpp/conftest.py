"""What `make cpp` built, for the tests that run it. Without it they are skipped, unless BSKIM_CPP=required."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("BSKIM_CPP_BUILD", ROOT / "build" / "cpp"))


def find_built(name: str) -> Path:
    """Return a file of the build. Skips the test if there is none."""
    path = BUILD / name
    if path.exists():
        return path
    why = f"'{path}' is not built: run `make cpp`"
    if os.environ.get("BSKIM_CPP") == "required":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def cpp_tool() -> Callable[[str], Path]:
    """Return a function: the name of a program -> its path."""
    return find_built


@pytest.fixture(scope="session")
def libbskim() -> Path:
    """The shared library."""
    return find_built("libbskim.so")

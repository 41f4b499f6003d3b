"""libbskim opens what Python opens, and refuses what Python refuses, in the same words."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from bskim_export import QAPipeline
from bskim_export.bundle.manifest_file import seal
from bskim_export.errors import BskimError

sys.path.append(str(Path(__file__).parents[1] / "attack"))
from mutate import as_bytes, mutate_bytes, mutate_json

ASKED = {"question": "Who wrote the book?", "context": "The book was written by Ada Lovelace in 1843. " * 20}
DAMAGE = {
    "truncated": lambda content, random: content[: len(content) // 2],
    "with a flipped byte": lambda content, random: flip(content, random.randrange(len(content))),
    "missing": lambda content, random: None,
    "empty": lambda content, random: b"",
}


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return Path(shutil.copytree(tiny_bundle("bert"), tmp_path / "b"))


@pytest.fixture
def verdicts(cpp_tool, bundle):
    """Return a function -> what C++ and Python say of the bundle: an error's text, or "answers"."""
    tool = cpp_tool("bskim-answer")

    def judge() -> tuple[str, str]:
        command = [tool, bundle, "--question", ASKED["question"], "--context", ASKED["context"]]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
        assert done.returncode in (0, 1), (done.returncode, done.stderr)
        theirs = done.stderr.removeprefix("Error: ").rstrip("\n") if done.returncode else "answers"
        try:
            QAPipeline(bundle).run(**ASKED)
        except BskimError as error:
            return theirs, str(error)
        return theirs, "answers"

    return judge


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_damaged_is_refused_in_the_same_words(damage, bundle, verdicts):
    random = Random(damage)
    files = [p for p in sorted(bundle.rglob("*")) if p.is_file() and p.name not in ("report.json", "manifest.json")]
    assert len(files) > 8
    for path in files:
        whole = path.read_bytes()
        changed = DAMAGE[damage](whole, random)
        path.unlink()
        if changed is not None:
            path.write_bytes(changed)
        theirs, ours = verdicts()
        path.write_bytes(whole)
        assert path.name in ours
        assert theirs == ours
    assert verdicts() == ("answers", "answers")


def test_a_manifest_that_is_damaged_is_refused_where_python_refuses_it(bundle, verdicts):
    path = bundle / "manifest.json"
    whole = path.read_bytes()
    random = Random(1)
    refused = 0
    for number in range(120):
        if number % 3 == 0:
            content, what = mutate_bytes(whole, random)
        else:
            changed, what = mutate_json(json.loads(whole), random)
            if number % 3 == 1 and isinstance(changed, dict):
                changed["seal"] = seal(changed)  # a stranger's, who knows how
            content = as_bytes(changed)
        path.write_bytes(content)
        theirs, ours = verdicts()
        assert (theirs == "answers") == (ours == "answers"), (number, what, theirs, ours)
        refused += ours != "answers"
    assert refused > 60


def test_what_is_no_bundle_is_refused_in_the_same_words(bundle, verdicts):
    (bundle / "manifest.json").unlink()
    theirs, ours = verdicts()
    assert theirs == ours
    shutil.rmtree(bundle)
    theirs, ours = verdicts()
    assert theirs == ours
    bundle.write_text("a file")
    theirs, ours = verdicts()
    assert theirs == ours

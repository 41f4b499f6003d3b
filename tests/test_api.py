"""The names that users import, and their types."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bskim_export

ROOT = Path(__file__).parents[1]
PUBLIC = [
    "BlockSkimForQuestionAnswering",
    "BskimError",
    "Bundle",
    "InputError",
    "QAPipeline",
    "RunOptions",
    "SkimConfig",
    "__version__",
    "export_bundle",
    "load_checkpoint",
    "open_backend",
    "read_questions",
    "save_checkpoint",
]
PROGRAM = """
from bskim_export import Bundle, QAPipeline, read_questions

reveal_type(QAPipeline)
qa = QAPipeline("engines/")
reveal_type(qa(question="Who?", context="Ada."))
reveal_type(Bundle.open("engines/").thresholds)
reveal_type(read_questions("squad"))
qa(question="Who?", context="Ada.", max_answer_length=3)
"""


def test_the_public_names_are_these_and_all_resolve():
    assert sorted(bskim_export.__all__) == PUBLIC
    assert dir(bskim_export) == PUBLIC
    for name in PUBLIC:
        assert getattr(bskim_export, name) is not None


def test_every_public_object_has_a_docstring():
    for name in PUBLIC:
        if name != "__version__":
            assert getattr(bskim_export, name).__doc__


@pytest.mark.slow  # `make types` runs it: mypy takes a minute to read the package
def test_a_type_checker_knows_them(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "program.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, timeout=300
    )
    revealed = [line.split("Revealed type is ")[1] for line in done.stdout.splitlines() if "Revealed" in line]
    assert len(revealed) == 4, done.stdout + done.stderr
    assert revealed[0].startswith('"def (bundle: ')
    assert "TypedDict(bskim_export.runtime.scoring.Answer" in revealed[1]
    assert "dict[int, float]" in revealed[2]
    assert "list[bskim_export.data.question.Question]" in revealed[3]
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert {line.split(":")[1] for line in errors} == {"9"}  # the line with the misspelt argument, and no other


def test_the_package_says_that_it_is_typed():
    assert (Path(bskim_export.__file__).parent / "py.typed").is_file()

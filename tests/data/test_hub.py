import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from bskim_export.data.hub import load_hub, parse_rows
from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.data.readers import read_questions
from bskim_export.errors import InputError, MissingExtraError

CONTEXT = "Łódź is a city in Poland."
ROWS = [
    {"id": "1", "title": "t", "context": CONTEXT, "question": "Which city?",
     "answers": {"text": ["Łódź", "city"], "answer_start": [0, 10]}},
    {"id": "2", "title": "t", "context": CONTEXT, "question": "When?", "answers": {"text": [], "answer_start": []}},
]  # fmt: skip
EXPECTED = [
    Question("1", "Which city?", CONTEXT, ("Łódź", "city"), (0, 10)),
    Question("2", "When?", CONTEXT, (), ()),
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A directory as `datasets` loads it, with a cache of its own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def write(folder: Path, split: str, rows: list[dict]) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{split}.parquet")


def test_parquet_files_are_read(folder):
    write(folder, "validation", ROWS)
    assert read_questions(f"hub:{folder}", pytest.fail) == EXPECTED
    assert read_questions(f"hub:{folder}:validation", pytest.fail) == EXPECTED
    assert read_questions(f"hub:{folder}:default:validation", pytest.fail) == EXPECTED


def test_json_files_are_read(folder):
    datasets.Dataset.from_list(ROWS).to_json(folder / "train.jsonl")
    assert read_questions(f"hub:{folder}:train", pytest.fail) == EXPECTED


def test_one_of_several_splits_must_be_named(folder):
    write(folder, "train", ROWS[:1])
    write(folder, "validation", ROWS)
    assert len(load_hub(str(folder), split="train")) == 1
    with pytest.raises(InputError, match=r"has the splits \['train', 'validation'\]: name one, as in 'hub:.*:val"):
        load_hub(str(folder))


@pytest.mark.parametrize(
    ("config", "split", "message"),
    [(None, "test", 'Unknown split "test"'), ("english", "validation", "'english' not found")],
)
def test_what_the_data_set_does_not_have_is_named(folder, config, split, message):
    write(folder, "validation", ROWS)
    with pytest.raises(InputError, match=message):
        load_hub(str(folder), config, split)


def test_other_columns_are_named(folder):
    write(folder, "validation", [{"id": "1", "text": "x", "question": "?"}])
    with pytest.raises(InputError, match=r"it has no \['context', 'answers'\], it has \['id', 'text', 'question'\]"):
        load_hub(str(folder))


def test_a_directory_without_data_is_named(folder):
    with pytest.raises(InputError, match=f"'hub:{folder}' cannot be read"):
        load_hub(str(folder))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"context": None}, "here: row 1: 'context' should be a string, found null"),
        ({"answers": ["x"]}, "here: row 1: 'answers' should be an object, found a list"),
        ({"answers": {"text": ["city"]}}, "here: row 1: answers: 'answer_start' is missing"),
        ({"answers": {"text": ["city"], "answer_start": []}}, "row 1: answers has 1 'text' but 0 'answer_start'"),
        ({"answers": {"text": ["city"], "answer_start": [None]}}, "row 1: answers.answer_start[0] should be a whole"),
        ({"answers": {"text": [""], "answer_start": [0]}}, "row 1: an answer is blank"),
    ],
)
def test_malformed_rows_name_row_and_column(row, message):
    with pytest.raises(InputError) as caught:
        list(parse_rows([ROWS[0], ROWS[1] | row], "here", Notes()))
    assert message in str(caught.value)


def test_wrong_offsets_are_counted():
    notes = Notes()
    row = ROWS[0] | {"answers": {"text": ["city"], "answer_start": [9]}}
    assert [q.starts for q in parse_rows([row], "here", notes)] == [(10,)]
    assert len(notes.lines()) == 1


def test_a_name_that_cannot_be_reached_gets_one_error_with_the_forms():
    program = "from bskim_export.data.readers import read_questions; read_questions('hub:nobody/nothing')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bskim_export.errors.InputError: 'hub:nobody/nothing' cannot be read: Couldn't reach")
    assert "FILE or squad:FILE (SQuAD format), mrqa:FILE, hotpotqa:FILE, or hub:NAME" in last
    assert "During handling" not in done.stderr


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"Reading 'hub:squad' needs 'datasets'.*bskim-export\[hub\]"):
        read_questions("hub:squad")

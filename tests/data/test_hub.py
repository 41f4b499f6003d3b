import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from bskim_export.data.hub import load_hub
from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.data.readers import read_questions
from bskim_export.data.squad import parse_rows
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
        ({"answers": "x"}, "here: row 1: 'answers' should be a list or an object, found a string"),
        ({"answers": ["x"]}, "here: row 1.answers[0]: 'text' is missing"),
        ({"answers": {"text": ["city"]}}, "here: row 1: answers: 'answer_start' is missing"),
        ({"answers": {"text": ["city"], "answer_start": []}}, "row 1: answers has 1 'text' but 0 'answer_start'"),
        ({"answers": {"text": ["city"], "answer_start": [None]}}, "row 1: answers.answer_start[0] should be a whole"),
        ({"answers": {"text": [""], "answer_start": [0]}}, "row 1: an answer is blank"),
    ],
)
def test_malformed_rows_name_row_and_column(row, message):
    with pytest.raises(InputError) as caught:
        list(parse_rows([("here: row 0", ROWS[0]), ("here: row 1", ROWS[1] | row)], Notes()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.parquet", bytes(range(256)) * 12),
        ("train.parquet", b"PAR1" + bytes(3000) + b"PAR1"),
        ("train.json", b"[" * 100_000),
        ("train.jsonl", b'{"id": "1"\n'),
        ("train.jsonl", b'{"id": "1", "context": 5, "question": [1], "answers": {"text": "x", "answer_start": "y"}}'),
        ("train.jsonl", b'{"context": "Ada", "question": "Who?", "answers": [[[["Ada"]]]]}'),
        ("train.jsonl", b'{"context": "Ada", "question": "Who?", "answers": "\xff\xfe"}'),
        ("train.csv", b"id,context,question,answers\n1,Ada,Who?,Ada"),
        ("train.txt", b"Ada"),
        ("train.arrow", b"ARROW1" + bytes(100)),
        ("train.zip", b"PK\x03\x04" + bytes(100)),
    ],
)  # fmt: skip
def test_damaged_files_are_an_error_of_ours(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=f"hub:{folder}.*(cannot be read|not in SQuAD's schema|row 0)"):
        load_hub(str(folder), split="train")


def test_a_loading_script_is_never_run(folder, tmp_path, monkeypatch):
    (folder / "set.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *prompt: pytest.fail("it asks whether to run it"))
    datasets.Dataset.from_list(ROWS).to_json(folder / "train.jsonl")
    with pytest.raises(InputError, match="cannot be read: Dataset scripts are no longer supported"):
        load_hub(str(folder))
    assert not (tmp_path / "ran").exists()


def test_columns_that_are_not_needed_are_not_read(folder):
    """A column of images that are none: to decode it would fail."""
    rows = [row | {"picture": {"bytes": b"no picture", "path": None}} for row in ROWS]
    features = datasets.Features({**datasets.Dataset.from_list(rows).features, "picture": datasets.Image()})
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "train.parquet")
    assert load_hub(str(folder), split="train", on_note=pytest.fail) == EXPECTED


def test_rows_need_no_id(folder):
    write(folder, "train", [{k: v for k, v in row.items() if k != "id"} for row in ROWS])
    notes = []
    assert [q.answers for q in load_hub(str(folder), on_note=notes.append)] == [q.answers for q in EXPECTED]
    assert len(notes) == 1


def test_wrong_offsets_are_counted():
    notes = Notes()
    row = ROWS[0] | {"answers": {"text": ["city"], "answer_start": [9]}}
    assert [q.starts for q in parse_rows([("here: row 0", row)], notes)] == [(10,)]
    assert len(notes.lines()) == 1


def test_a_name_that_cannot_be_reached_gets_one_error_with_the_forms():
    program = "from bskim_export.data.readers import read_questions; read_questions('hub:nobody/nothing')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bskim_export.errors.InputError: 'hub:nobody/nothing' cannot be read: Couldn't reach")
    assert "FILE or squad:FILE (SQuAD format), mrqa:FILE, hotpotqa:FILE, hub:NAME" in last
    assert "During handling" not in done.stderr


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"Reading 'hub:squad' needs 'datasets'.*bskim-export\[hub\]"):
        read_questions("hub:squad")

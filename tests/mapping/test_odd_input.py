"""Input that cannot be mapped: an error that says what to do, before anything begins."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands.cli import in_one_line, run
from mapping.conftest import write_lines

pytestmark = pytest.mark.usefixtures("without_ray")
GOOD = {"question": "Who?", "context": "Ada wrote it."}


@pytest.fixture
def refused(tmp_path, tiny):
    """Return a function: an input and options -> the error, after which nothing is there."""

    def ask(path, *options):
        out = tmp_path / "out"
        done = run("map", path, "--out", out, "--bundle", tiny, *options)
        assert done.exit_code == 1, done.output
        assert not out.exists() or os.listdir(out) == []
        return in_one_line(done)

    return ask


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path, refused):
    path = parquet(tmp_path / "in.parquet", query=["Who?"], context=["Ada."])
    assert "no column 'question'. It has 'query', 'context'; name it with --question-column" in refused(path)
    assert "neither a column 'text' nor 'passages'" in refused(
        path, "--question-column", "query", "--context-column", "text"
    )
    assert "no column 'question'" in refused(write_lines(tmp_path / "in.jsonl", [{"context": "Ada."}]))


def test_a_column_of_a_wrong_type_is_named(tmp_path, refused):
    assert "'question' is to hold text, but holds int64" in refused(
        parquet(tmp_path / "a.parquet", question=[3], context=["Ada."])
    )
    assert "'passages' is to hold lists of texts, but holds string" in refused(
        parquet(tmp_path / "b.parquet", question=["Who?"], passages=["Ada."])
    )


def test_a_column_that_would_be_overwritten_is_named(tmp_path, refused):
    path = parquet(tmp_path / "in.parquet", question=["Who?"], context=["Ada."], score=[1.0])
    assert "has 'score' already" in refused(path)


def test_a_late_line_with_a_column_that_would_be_overwritten_is_named(tmp_path, tiny):
    late = write_lines(tmp_path / "in.jsonl", [GOOD] * 30 + [{**GOOD, "error": 1}])
    done = run("map", late, "--out", tmp_path / "out", "--bundle", tiny)
    assert done.exit_code == 1
    assert "row 30 has 'error' already" in in_one_line(done)


def test_what_is_no_data_is_refused(tmp_path, refused):
    (tmp_path / "in.parquet").write_text("no")
    assert "is not Parquet, which its name says" in refused(tmp_path / "in.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + b"\0" * 50)
    assert "cannot be read as Parquet" in refused(tmp_path / "cut.parquet")
    (tmp_path / "in.jsonl").write_text("question,context\nWho?,Ada.\n")
    assert "neither Parquet nor JSON lines" in refused(tmp_path / "in.jsonl")
    (tmp_path / "in.json").write_text(json.dumps([GOOD], indent=1))
    assert "jq -c '.[]'" in refused(tmp_path / "in.json")
    (tmp_path / "in.jsonl.gz").write_bytes(b"\x1f\x8b\x08 damaged")
    assert "damaged gzip" in refused(tmp_path / "in.jsonl.gz")
    assert "No such file" in refused(tmp_path / "nowhere.parquet")
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refused(tmp_path / "pipe")


def test_no_rows_are_refused(tmp_path, refused):
    (tmp_path / "in.jsonl").write_bytes(b"\n\n")
    assert "There are no rows" in refused(tmp_path / "in.jsonl")
    empty = pa.table({"question": pa.array([], pa.string()), "context": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "in.parquet")
    assert "There are no rows" in refused(tmp_path / "in.parquet")
    (tmp_path / "folder").mkdir()
    assert "has no file that ends in" in refused(tmp_path / "folder")


def test_a_directory_of_two_kinds_is_refused(tmp_path, refused):
    folder = tmp_path / "in"
    folder.mkdir()
    write_lines(folder / "a.jsonl", [GOOD])
    parquet(folder / "b.parquet", question=["Who?"], context=["Ada."])
    assert "files of two kinds: 'b.parquet' is Parquet, 'a.jsonl' is not" in refused(folder)


def test_values_that_fit_no_column_of_parquet_are_refused(tmp_path, refused):
    path = write_lines(tmp_path / "in.jsonl", [{**GOOD, "n": 1}, {**GOOD, "n": "one"}])
    assert "Use --format jsonl" in refused(path, "--format", "parquet")


def test_there_is_no_such_bundle_or_backend(tmp_path, refused):
    path = write_lines(tmp_path / "in.jsonl", [GOOD])
    assert "There is no backend 'fast'" in refused(path, "--backend", "fast")
    assert "nowhere" in refused(path, "--bundle", tmp_path / "nowhere")

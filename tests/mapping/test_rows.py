"""The rows that come out: those that went in, with what the pipeline answers."""

import gzip
import json
import sys
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands.cli import in_one_line, read_json, run, succeed
from mapping.conftest import check, read_out, write_lines

pytestmark = pytest.mark.usefixtures("without_ray")


def test_rows_of_parquet_keep_their_columns_and_their_order(tmp_path, rows, tiny, tiny_qa):
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"by": "us"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=7)
    said = succeed(
        "map", tmp_path / "in.parquet", "--out", tmp_path / "out", "--bundle", tiny, "--part-rows", 13, "--json",
        tmp_path / "report.json",
    )  # fmt: skip
    assert f"{len(rows)} rows in" in said
    check(read_out(tmp_path / "out"), rows, tiny_qa)
    written = pq.read_schema(tmp_path / "out" / "part-00000.parquet")
    assert written.metadata[b"by"] == b"us"
    assert [written.field(name) for name in table.schema.names] == list(table.schema)
    assert written.names[4:] == ["answer", "score", "start", "end", "error"]
    assert len({str(pq.read_schema(p)) for p in (tmp_path / "out").glob("part-*")}) == 1
    assert list(pd.read_parquet(tmp_path / "out")["id"]) == [row["id"] for row in rows]
    assert read_json(tmp_path / "report.json")["rows"] == len(rows)


def test_rows_of_json_lines_keep_their_text(tmp_path, rows, tiny, tiny_qa):
    lines = [json.dumps(row) for row in rows]
    lines[1] = lines[1].replace('"id": 1', '"id":1.10e0 , "big": 123456789012345678901234567890')
    text = "\ufeff" + "\n \n".join(lines)
    (tmp_path / "in.jsonl").write_text(text, encoding="utf-8")
    succeed("map", tmp_path / "in.jsonl", "--out", tmp_path / "out", "--bundle", tiny, "--part-rows", 13)
    rows = [dict(row) for row in rows]
    rows[1]["id"] = 1.1
    check(read_out(tmp_path / "out"), rows, tiny_qa)
    written = "".join(p.read_text("utf-8") for p in sorted((tmp_path / "out").glob("part-*"))).splitlines()
    assert all(there.startswith(line[:-1] + ', "answer": ') for there, line in zip(written, lines, strict=True))


def test_a_directory_is_read_in_the_order_of_its_names_gzipped_or_not(tmp_path, rows, tiny, tiny_qa):
    folder = tmp_path / "in"
    folder.mkdir()
    write_lines(folder / "b.jsonl", rows[25:40])
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows[:25]).encode()))
    (folder / "c.jsonl").write_bytes(b"")
    write_lines(folder / "d.ndjson", rows[40:])
    (folder / "README.md").write_text("About it.")
    (folder / "_SUCCESS").write_text("")
    said = succeed("map", folder, "--out", tmp_path / "out", "--bundle", tiny, "--part-rows", 10)
    assert "left out: README.md." in said
    check(read_out(tmp_path / "out"), rows, tiny_qa)
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 3 + 2 + 2


def test_each_format_becomes_the_other(tmp_path, rows, tiny, tiny_qa):
    extra = [{**row, "n": number if number % 2 else None} for number, row in enumerate(rows)]
    extra[-1]["late"] = "only here"
    succeed("map", write_lines(tmp_path / "in.jsonl", extra), "--out", tmp_path / "p", "--bundle", tiny, "--format",
            "parquet", "--part-rows", 20)  # fmt: skip
    found = read_out(tmp_path / "p")
    check(found, rows, tiny_qa)
    assert [one["n"] for one in found] == [one["n"] for one in extra]
    assert [one["late"] for one in found] == [None] * (len(rows) - 1) + ["only here"]
    table = pa.table({**{k: [r[k] for r in rows] for k in rows[0]}, "day": [date(2026, 1, 1)] * len(rows)})
    pq.write_table(table.append_column("nan", pa.array([float("nan")] * len(rows))), tmp_path / "in.parquet")
    succeed("map", tmp_path / "in.parquet", "--out", tmp_path / "j", "--bundle", tiny, "--format", "jsonl")
    found = read_out(tmp_path / "j")
    check(found, rows, tiny_qa)
    assert (found[0]["day"], found[0]["nan"]) == ("2026-01-01", None)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_passages_are_answered_jointly(tmp_path, rows, tiny, tiny_qa, form):
    asked = [
        {"q": row["question"], "found": [{"title": "T", "text": other["context"]} for other in rows[i : i + 3]]}
        for i, row in enumerate(rows[:6])
    ]
    path = tmp_path / f"in.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(asked), path)
    else:
        write_lines(path, asked)
    succeed("map", path, "--out", tmp_path / "out", "--bundle", tiny, "--question-column", "q", "--passages-column",
            "found", "--top-k", 2, "--prefix", "a_", "--handle-impossible-answer")  # fmt: skip
    for one, row in zip(read_out(tmp_path / "out"), asked, strict=True):
        expected = tiny_qa(question=row["q"], passages=row["found"], top_k=2, handle_impossible_answer=True)
        assert [{**a, "score": 0} for a in one["a_answers"]] == [{**a, "score": 0} for a in expected]
        assert (one["a_answer"], one["a_passage"]) == (expected[0]["answer"], expected[0]["passage"])
        assert (one["q"], one["found"]) == (row["q"], row["found"])


def test_a_row_that_cannot_be_answered_says_why_and_costs_only_itself(tmp_path, rows, tiny, tiny_qa):
    odd = [
        ({"question": ["a", "b"], "context": "Ada."}, "must be a string, got list"),
        ({"question": "Who?"}, "`context` must be a string, got NoneType"),
        ({"question": "", "context": "Ada."}, "cannot be empty"),
        ({"question": "Who?", "context": ["x", "y"]}, "must be a string, got list"),
        ({"question": "Who?", "passages": "Ada."}, "must be a list"),
        ({"question": "Who?", "passages": ["Ada.", 3]}, "Passage 1 must be a string"),
        ({"question": "Who?", "passages": ["Ada."], "context": "Ada."}, "not both"),
        ({"question": "why " * 600, "context": "Ada."}, "question"),
    ]
    lines = [json.dumps(one) for one, _ in odd] + ["{broken", "[1, 2]", "3", "{}"]
    said = [text for _, text in odd] + ["row 9: The line is not valid JSON", "no JSON object, but list", "int", "got"]
    good = [json.dumps(row) for row in rows[:2]]
    (tmp_path / "in.jsonl").write_text("\n".join([good[0], *lines, good[1]]) + "\n")
    text = succeed("map", tmp_path / "in.jsonl", "--out", tmp_path / "out", "--bundle", tiny, "--part-rows", 9)
    assert "12 of them without an answer" in text
    found = read_out(tmp_path / "out")
    check([found[0], found[-1]], rows[:2], tiny_qa)
    assert len(found) == 14
    for one, reason in zip(found[1:-1], said, strict=True):
        assert reason in one["error"], one
        assert (one["answer"], one["score"], one["start"], one["end"]) == (None,) * 4
    assert found[1]["question"] == ["a", "b"]


def test_a_null_in_a_table_is_a_row_without_an_answer(tmp_path, tiny):
    table = pa.table({"question": ["Who?", None, "Who?"], "context": ["Ada wrote it.", "Ada.", None]})
    pq.write_table(table, tmp_path / "in.parquet")
    succeed("map", tmp_path / "in.parquet", "--out", tmp_path / "out", "--bundle", tiny, "--top-k", 3)
    found = read_out(tmp_path / "out")
    assert [one["error"] is None for one in found] == [True, False, False]
    assert len(found[0]["answers"]) >= 1
    assert found[1]["answers"] is None


def test_without_ray_the_extra_is_named(tmp_path, rows, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run("map", write_lines(tmp_path / "in.jsonl", rows[:1]), "--out", tmp_path / "out", "--bundle", tiny)
    assert done.exit_code == 1
    assert "pip install 'bskim-export[map]'" in in_one_line(done)

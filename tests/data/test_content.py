"""One thing in many wrappings: whatever it is wrapped in, the questions are the same."""

import gzip
import json
import zipfile

import pytest
from data.samples import (
    HOTPOTQA_ENTRY,
    HOTPOTQA_EXPECTED,
    MRQA_EXPECTED,
    MRQA_HEADER,
    MRQA_LINE,
    SQUAD_EXPECTED,
    SQUAD_RAW,
)

from bskim_export.data.readers import read_questions
from bskim_export.errors import InputError

ARTICLE = SQUAD_RAW["data"][0]
PARAGRAPH = ARTICLE["paragraphs"][0]
ROWS = [
    {"id": qa["id"], "title": "t", "context": PARAGRAPH["context"], "question": qa["question"], "answers": {
        "text": [a["text"] for a in qa["answers"]], "answer_start": [a["answer_start"] for a in qa["answers"]]}}
    for qa in PARAGRAPH["qas"]
]  # fmt: skip
SQUAD = {
    "SQuAD's own": SQUAD_RAW,
    "data first": {"data": SQUAD_RAW["data"], "version": "1.1"},
    "a list of articles": [ARTICLE],
    "one article": ARTICLE,
    "a list of paragraphs (simpletransformers)": [PARAGRAPH],
    "one paragraph": PARAGRAPH,
    "paragraphs as data": {"data": [PARAGRAPH]},
    "a list of rows": ROWS,
    "rows as data (run_qa)": {"version": "0.1.0", "data": ROWS},
}
LINES = {
    "articles": ([ARTICLE], SQUAD_EXPECTED),
    "articles, of which one is empty": ([{"paragraphs": []}, ARTICLE], SQUAD_EXPECTED),
    "paragraphs": ([PARAGRAPH, {"context": "x", "qas": []}], SQUAD_EXPECTED),
    "rows": (ROWS, SQUAD_EXPECTED),
    "MRQA": ([MRQA_HEADER, MRQA_LINE], MRQA_EXPECTED),
    "MRQA without its header": ([MRQA_LINE, {"context": "x", "qas": []}], MRQA_EXPECTED),
    "one line of MRQA": ([MRQA_LINE], MRQA_EXPECTED),
    "HotpotQA's entries": ([HOTPOTQA_ENTRY, HOTPOTQA_ENTRY | {"_id": "2", "answer": "yes"}], HOTPOTQA_EXPECTED),
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gzip"])
@pytest.mark.parametrize("wrapping", SQUAD)
def test_a_document_is_read_in_every_wrapping(tmp_path, wrapping, indent, encoding):
    text = json.dumps(SQUAD[wrapping], indent=indent, ensure_ascii=False) + "\n\n"
    path = tmp_path / "set"
    path.write_bytes(gzip.compress(text.encode()) if encoding == "gzip" else text.encode(encoding))
    notes = []
    assert read_questions(path, notes.append) == SQUAD_EXPECTED
    assert read_questions(f"squad:{path}", pytest.fail) == SQUAD_EXPECTED
    # Whatever is not plainly SQuAD's is a guess, and a guess is told.
    own = wrapping in ("SQuAD's own", "data first")
    assert len(notes) == (not own)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n  \n"])
@pytest.mark.parametrize("name", LINES)
def test_lines_are_read_whatever_they_hold(tmp_path, name, end):
    lines, expected = LINES[name]
    for start in ("", "\n \n", "\ufeff"):
        (tmp_path / "set.jsonl").write_text(
            start + end.join(map(json.dumps, lines)) + end, encoding="utf-8", newline=""
        )
        assert read_questions(tmp_path / "set.jsonl", lambda note: None) == expected


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        ('{"rows": [1]}', r"an object with the keys \['rows'\]"),
        ('[{"context_id": "1", "context_text": "x", "qas": []}]', r"\[0\]: an object with the keys \['context_id', "),
        (
            '{"text": "x", "label": 1}\n{"text": "y", "label": 0}',
            r"line 1: an object with the keys \['text', 'label'\]",
        ),
        ("[[1, 2]]", r"\[0\]: a list is no"),
        ("[]", "a list is no"),
        ("null", "null is no"),
        ('"text"\n"text"', "a string is no"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3", "a Git LFS pointer.*git lfs pull"),
        ("<!DOCTYPE html><html>", "HTML or XML.*downloaded whole"),
        ("id,question,context\n1,Who?,Ada", "a table, CSV or TSV"),
        ("id\tquestion\n1\tWho?", "a table, CSV or TSV"),
        ("PAR1\x00\x01", "a Parquet file. Pass hub:DIRECTORY"),
        ("", "it is empty"),
        (" \n", "it is empty"),
        ('{"data": [', "not valid JSON: Expecting value"),
    ],
)
def test_what_is_nothing_known_is_described(tmp_path, content, looks):
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(InputError, match=rf"set\.json.*{looks}"):
        read_questions(tmp_path / "set.json", pytest.fail)


def test_an_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.json", "w") as archive:
        archive.writestr("set.json", json.dumps(SQUAD_RAW))
    with pytest.raises(InputError, match=r"set\.json.*a zip archive. Unpack it"):
        read_questions(tmp_path / "set.json")


@pytest.mark.parametrize(
    ("form", "content", "looks"),
    [
        ("mrqa", [ARTICLE], "articles in SQuAD format"),
        ("mrqa", ROWS, "rows in SQuAD's schema"),
        ("hotpotqa", [PARAGRAPH], "paragraphs in SQuAD format"),
        ("squad", [HOTPOTQA_ENTRY], "HotpotQA data"),
    ],
)
def test_a_form_that_is_named_wrongly_is_not_believed(tmp_path, form, content, looks):
    (tmp_path / "set.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"looks like {looks}, not {form}"):
        read_questions(f"{form}:{tmp_path / 'set.json'}")


def test_the_largest_file_is_an_argument(tmp_path):
    (tmp_path / "set.json").write_text(json.dumps(SQUAD_RAW))
    assert read_questions(tmp_path / "set.json", largest_file=10_000) == SQUAD_EXPECTED
    with pytest.raises(InputError, match="larger than 100 bytes"):
        read_questions(tmp_path / "set.json", largest_file=100)

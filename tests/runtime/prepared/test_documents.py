"""Documents in files, and their names."""

import gzip
import json
import os

import pytest

from bskim_export.errors import InputError
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.prepared.documents import find_files, read_documents


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(*paths):
    return [(one.name, one.passage.title, one.passage.text) for one in read_documents(find_files(paths)[0])]


def lines(*objects):
    return "".join(json.dumps(one) + "\n" for one in objects)


def test_a_directory_gives_its_texts_by_their_paths(tmp_path):
    write(tmp_path, {"b.txt": "two", "a/c.MD": "one\r\n", "a.txt": "\ufeffthree", "d.pdf": b"\xff", ".x.txt": "no",
                     ".git/y.txt": "no", "a/.z.txt": "no"})  # fmt: skip
    os.symlink(tmp_path / "a.txt", tmp_path / "link.txt")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink("nowhere", tmp_path / "broken.txt")
    found, left_out = find_files([tmp_path])
    assert [one.name for one in found] == ["a.txt", "b.txt", "link.txt", "a/c.MD"]
    assert left_out == ["d.pdf"]
    assert [one.passage for one in read_documents(found)] == [
        Passage("\ufeffthree"), Passage("two"), Passage("\ufeffthree"), Passage("one\r\n"),
    ]  # fmt: skip


def test_a_file_that_is_named_is_read_whatever_its_ending(tmp_path):
    write(tmp_path, {"notes": "Ada.", ".hidden": "Bea."})
    assert read(tmp_path / "notes", tmp_path / ".hidden") == [("notes", "", "Ada."), (".hidden", "", "Bea.")]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".JSONL"])
def test_json_lines_give_their_names_or_that_of_their_line(tmp_path, ending):
    content = lines(
        {"text": "Ada.", "name": "a", "id": "other"},
        {"text": "", "id": 7},
        {"text": "Cy.", "title": "See", "name": None, "more": [1]},
    )
    content = f"{content}\n\n{lines({'text': 'Di.', 'title': None})}".encode()
    write(tmp_path, {f"sub/x{ending}": gzip.compress(content) if ending.endswith("gz") else content})
    x = f"sub/x{ending}"
    assert read(tmp_path) == [("a", "", "Ada."), ("7", "", ""), (f"{x}:3", "See", "Cy."), (f"{x}:6", "", "Di.")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"one\ntwo\xff", r"x.txt', line 2: this is no text in UTF-8"),
        ("x.jsonl", b'{"text": "a"}\n{"text": \n', r"x.jsonl, line 2: not valid JSON"),
        ("x.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', r"x.jsonl, line 2: not valid JSON"),
        ("x.jsonl", b'\n["a"]\n', r'x.jsonl, line 2: a document is an object with "text"'),
        ("x.jsonl", b'{"name": "a"}', r'x.jsonl, line 1: a document is an object with "text"'),
        ("x.jsonl", b'{"text": 5}', r'x.jsonl, line 1: a document is an object with "text"'),
        ("x.jsonl", b'{"text": "a", "title": 5}', r'x.jsonl, line 1: "title" must be a string'),
        ("x.jsonl", b'{"text": "a", "name": ""}', r"x.jsonl, line 1: .* a string or a whole number"),
        ("x.jsonl", b'{"text": "a", "id": 1.5}', r"x.jsonl, line 1: .* a string or a whole number"),
        ("x.jsonl", b'{"text": "a", "id": true}', r"x.jsonl, line 1: .* a string or a whole number"),
        ("x.jsonl.gz", b"\x1f\x8b\x08 no", r"x.jsonl.gz' is a damaged gzip file"),
    ],
)
def test_what_is_no_document_is_refused_by_file_and_line(tmp_path, name, content, message):
    write(tmp_path, {name: content})
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_what_is_not_there_or_cannot_be_read_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(InputError, match=r"pipe.txt' is no file and no directory"):
        find_files([tmp_path / "pipe.txt"])
    assert find_files([tmp_path]) == ([], [])
    with pytest.raises(InputError, match=r"There is no '.*nowhere'"):
        find_files([tmp_path / "nowhere"])
    for name in ("a.txt", "a.jsonl"):
        write(tmp_path, {name: "{}"})
        found, _ = find_files([tmp_path / name])
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=rf"{name}' cannot be read: No such file"):
            list(read_documents(found))

import gzip
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.files import check_kind, field, read_json, read_json_lines
from bskim_export.errors import InputError

VALUE = {"name": "Łódź", "list": [1, None]}
LINES = "".join(json.dumps({"n": n}) + "\n" for n in range(50))


@pytest.mark.parametrize("encode", [lambda text: text.encode(), lambda text: gzip.compress(text.encode())])
@pytest.mark.parametrize("name", ["set.json", "set.json.gz", "set"])
def test_plain_and_compressed_files_are_distinguished_by_content(tmp_path, encode, name):
    path = tmp_path / name
    path.write_bytes(encode(json.dumps(VALUE, ensure_ascii=False)))
    assert read_json(path) == VALUE
    assert [line for _, line in read_json_lines(path)] == [VALUE]


def test_a_byte_order_mark_does_not_matter(tmp_path):
    (tmp_path / "set.json").write_text(json.dumps(VALUE), encoding="utf-8-sig")
    assert read_json(tmp_path / "set.json") == VALUE


@pytest.mark.parametrize(
    "content", [b"", b'{"data": [', b"id,question\n1,Where?", b"\xc3\x28", gzip.compress(b"no", mtime=0)]
)
def test_what_is_no_json_is_named(tmp_path, content):
    (tmp_path / "set.json").write_bytes(content)
    with pytest.raises(InputError, match=r"set\.json' is not valid JSON"):
        read_json(tmp_path / "set.json")


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:-8] + bytes(8), lambda b: b[:20] + bytes(40) + b[60:]]
)
def test_a_damaged_gzip_is_named(tmp_path, damage):
    (tmp_path / "set.gz").write_bytes(damage(gzip.compress(LINES.encode())))
    for read in (read_json, lambda path: list(read_json_lines(path))):
        with pytest.raises(InputError, match=r"set\.gz' is a damaged gzip file"):
            read(tmp_path / "set.gz")


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_what_is_no_file_is_named(tmp_path, name):
    for read in (read_json, lambda path: list(read_json_lines(path))):
        with pytest.raises(InputError, match="There is no file"):
            read(tmp_path / name)


def test_lines_are_read_as_they_are_asked_for(tmp_path):
    (tmp_path / "set.jsonl").write_text(LINES + "no JSON\n")
    lines = read_json_lines(tmp_path / "set.jsonl")
    assert [next(lines)[1]["n"] for _ in range(50)] == list(range(50))
    with pytest.raises(InputError, match=r"set\.jsonl, line 51: not valid JSON"):
        next(lines)


def test_blank_lines_are_skipped_and_counted(tmp_path):
    (tmp_path / "set.jsonl").write_text('{"n": 1}\r\n\r\n  \n{"n": 2}')
    assert list(read_json_lines(tmp_path / "set.jsonl")) == [
        (f"{tmp_path}/set.jsonl, line 1", {"n": 1}),
        (f"{tmp_path}/set.jsonl, line 4", {"n": 2}),
    ]


KINDS = {str: st.text(), int: st.integers(), bool: st.booleans(), list: st.lists(st.none()),
         dict: st.dictionaries(st.text(), st.none()), float: st.floats(), type(None): st.none()}  # fmt: skip


@given(st.data(), st.sampled_from([str, int, bool, list, dict]), st.text(string.ascii_letters, min_size=1))
def test_a_field_is_returned_if_and_only_if_it_is_of_the_kind(data, kind, key):
    value = data.draw(st.one_of(*KINDS.values()))
    if type(value) is kind:
        assert field({key: value}, key, kind, "here", "that form") is value
        return
    with pytest.raises(InputError, match=f"here: '{key}' should be .*, found "):
        field({key: value}, key, kind, "here", "that form")


@pytest.mark.parametrize("parent", [{}, [], None, "key", 3])
def test_a_missing_field_names_the_form(parent):
    with pytest.raises(InputError, match=r"here: 'key' is missing; is this that form\?"):
        field(parent, "key", str, "here", "that form")


def test_a_type_that_json_does_not_have_is_named_too():
    with pytest.raises(InputError, match="here: 'x' should be a string, found bytes"):
        check_kind(b"x", str, "here", "'x'")

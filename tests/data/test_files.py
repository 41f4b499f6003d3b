import gc
import gzip
import json
import os
import socket
import string
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.fields import check_kind, field, short
from bskim_export.data.files import parse_json, read_json, read_json_lines
from bskim_export.data.limits import VARIABLE, Limits
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


READERS = [read_json, lambda path, *limits: list(read_json_lines(path, *limits))]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.json", "There is no file"),
        ("file/below", "There is no file"),
        ("nul\0.json", "There is no file"),
        ("x" * 5000, "cannot be read: File name too long"),
        (".", "is a directory, not a file"),
        ("pipe", "is a pipe, not a file"),
        ("socket", "is a socket, not a file"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("/dev/zero", "is a device, not a file"),
        ("/proc/self/mem", "cannot be read"),
    ],
)
def test_what_is_no_file_is_named_at_once(tmp_path, read, name, message):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")  # with no writer, so that an ordinary open would wait for ever
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("depth", [5_000, 100_000])
@pytest.mark.parametrize("ends", ["[]", ('{"data":', "}"), ('["\\ud800",', "]")])
def test_a_tower_of_brackets_is_no_data(tmp_path, read, depth, ends):
    (tmp_path / "set.json").write_text(ends[0] * depth + "1" + ends[1] * depth)
    with pytest.raises(InputError, match=r"set\.json.* not valid: it is nested deeper"):
        read(tmp_path / "set.json")


@pytest.mark.parametrize("read", READERS)
def test_a_number_that_is_no_number_of_this_world_is_named(tmp_path, read):
    (tmp_path / "set.json").write_text("1" * 5000)
    with pytest.raises(InputError, match="not valid JSON"):
        read(tmp_path / "set.json")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("text", ['["\\ud800"]', '["\\uDFFF"]'])
def test_half_a_character_becomes_a_whole_one(tmp_path, read, text):
    (tmp_path / "set.json").write_text(text)
    assert read(tmp_path / "set.json") in (["\ufffd"], [(f"{tmp_path}/set.json, line 1", ["\ufffd"])])
    (tmp_path / "set.json").write_bytes(b'["\xed\xa0\x80"]')  # the same, as no UTF-8 writes it
    with pytest.raises(InputError, match="not valid JSON"):
        read(tmp_path / "set.json")


STRINGS = st.text(st.characters() | st.sampled_from("\ud800\udfff\U0001f600"), max_size=4)


@given(st.recursive(STRINGS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3)))
def test_whatever_json_python_writes_can_be_written_as_utf8_again(value):
    parsed = parse_json(json.dumps(value).encode(), "it is", Limits())
    text = json.dumps(parsed, ensure_ascii=False)
    text.encode()
    # What needed no change has none.
    if "\ufffd" not in text:
        assert parsed == json.loads(json.dumps(value))


@pytest.mark.parametrize("encode", [bytes, gzip.compress])
def test_a_file_that_is_too_large_is_refused_before_it_fills_the_memory(tmp_path, encode):
    path = tmp_path / "set.json"
    path.write_bytes(encode(b"[" + b" " * 3000 + b"1]"))
    assert read_json(path, Limits(file=4000)) == [1]
    with pytest.raises(InputError, match=r"set\.json' is larger than 2,000 bytes.*BSKIM_LARGEST_FILE, now 2000"):
        read_json(path, Limits(file=2000))
    with pytest.raises(InputError, match=r"line 1' is larger than 2,000 bytes"):
        list(read_json_lines(path, Limits(line=2000)))
    path.write_bytes(encode(b"[1]\n" * 1000))
    assert len(list(read_json_lines(path, Limits(line=4)))) == 1000
    with pytest.raises(InputError, match=r"set\.json' is larger than 2,000 bytes"):
        list(read_json_lines(path, Limits(lines=2000)))
    path.write_bytes(encode(b"[[],[],[]]"))
    with pytest.raises(InputError, match="JSON with more than 5 values"):
        read_json(path, Limits(values=5))


def test_a_bomb_takes_no_more_memory_than_the_limit(tmp_path):
    """60 KB that unpack to 64 MB, in a process that may not have 64 MB more than it starts with."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b" " * 2**26))
    program = (
        "import resource, sys; from pathlib import Path; from bskim_export.data.files import read_json\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26,) * 2)\n"
        "read_json(Path(sys.argv[1]))"
    )
    for limit, message in (("16M", "larger than 16.0 MiB"), ("1G", "more memory than there is")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            env=os.environ | {VARIABLE: limit}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stderr.splitlines()[-1].startswith("bskim_export.errors.InputError: "), done.stderr
        assert message in done.stderr.splitlines()[-1]


def test_many_small_values_are_parsed_in_seconds(tmp_path):
    """With the collector at work, it takes six times as long; it is on again afterwards."""
    (tmp_path / "set.json").write_bytes(gzip.compress(b"[" + b"[]," * 2_000_000 + b"[]]", 1))
    start = time.process_time()
    assert len(read_json(tmp_path / "set.json")) == 2_000_001
    assert time.process_time() - start < 5
    assert gc.isenabled()


def test_blank_lines_without_end_are_no_data(tmp_path):
    (tmp_path / "set.jsonl").write_text('{"n": 1}\n' + "\n" * 100_001)
    with pytest.raises(InputError, match="line 100002: more than 100,000 blank lines"):
        list(read_json_lines(tmp_path / "set.jsonl"))


def test_the_largest_file_is_what_the_call_says_or_the_environment(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert Limits.of() == Limits()
    assert Limits.of(1000) == Limits(1000, 1000, 1000)
    monkeypatch.setenv(VARIABLE, "4g")
    assert Limits.of().file == Limits.of().line == 2**32
    assert Limits.of().values == 4 * Limits().values
    assert Limits.of(1000).file == 1000
    for wrong in ("much", "4X", "-1", "0", "1e9", "\u0664G", "9" * 30):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(InputError, match=r"BSKIM_LARGEST_FILE is a size|largest_file is a number"):
            Limits.of()
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(InputError, match="largest_file is a number of bytes"):
            Limits.of(wrong)


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


def test_an_error_shows_no_more_of_a_value_than_a_line():
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, "x" * 10**6, list(range(10**6)), {"x" * 1000: 1}, 10**4000):
        assert len(short(value)) < 300

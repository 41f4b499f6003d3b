import gzip
import json
from pathlib import Path

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

from bskim_export.data.notes import DataWarning
from bskim_export.data.readers import read_questions
from bskim_export.errors import InputError

FILES = {
    "squad": (json.dumps(SQUAD_RAW), SQUAD_EXPECTED),
    "mrqa": (json.dumps(MRQA_HEADER) + "\n" + json.dumps(MRQA_LINE), MRQA_EXPECTED),
    "hotpotqa": (json.dumps([HOTPOTQA_ENTRY]), HOTPOTQA_EXPECTED),
}


@pytest.fixture(params=FILES)
def form(request) -> str:
    return request.param


@pytest.fixture(params=[str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gzip"])
def file(form, request, tmp_path):
    path = tmp_path / "set"
    path.write_bytes(request.param(FILES[form][0]))
    return path


def test_a_named_form_is_read_as_that_form(form, file):
    assert read_questions(f"{form}:{file}", pytest.fail) == FILES[form][1]


def test_a_file_is_recognised_by_its_content_and_a_note_says_so(form, file):
    notes = []
    assert read_questions(file, notes.append) == read_questions(str(file), notes.append) == FILES[form][1]
    note = f"{file} holds {form.replace('qa', 'QA').replace('h', 'H').replace('mr', 'MR')} data and is read as that."
    assert notes == ([] if form == "squad" else [note, note])


def test_without_a_callback_the_guess_is_a_warning(form, file):
    if form != "squad":
        with pytest.warns(DataWarning, match="data and is read as that"):
            read_questions(file)


@pytest.mark.parametrize("wrong", FILES)
def test_a_file_of_another_form_is_refused_and_the_error_says_what_to_pass(form, file, wrong):
    if wrong != form:
        with pytest.raises(InputError, match=f"looks like .*, not {wrong}. Pass the file without '{wrong}:'"):
            read_questions(f"{wrong}:{file}")


@pytest.mark.parametrize(
    "content", ['[{"question": "Who?"}]', '{"header": {}}\n{"question": "Who?"}', '{"header": {}}', "[", '{"rows": []}']
)
def test_a_wrong_guess_ends_in_an_error(tmp_path, content):
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(InputError, match=r"set\.json"):
        read_questions(tmp_path / "set.json", lambda _: None)


def test_squad_is_the_packaged_set_and_a_path_is_always_a_file(squad, tmp_path, monkeypatch):
    assert read_questions("squad") == squad
    monkeypatch.chdir(tmp_path)
    for name in ("squad", "mrqa:set", "v2:set"):
        (tmp_path / name).write_text(FILES["squad"][0])
        assert read_questions(Path(name)) == SQUAD_EXPECTED
        assert read_questions(f"./{name}") == SQUAD_EXPECTED
    assert read_questions("v2:set") == SQUAD_EXPECTED


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.json", "There is no file 'nowhere.json'"),
        ("triviaqa:set.json", "There is no file 'triviaqa:set.json'"),
        ("mrqa:nowhere.jsonl", "There is no file 'nowhere.jsonl'"),
        ("mrqa:", "'mrqa:' names no data set"),
        ("hub:", "'hub:' names no data set"),
        ("hub:a:b:c:d", "'hub:a:b:c:d' has too many parts"),
        ("", "'.' is a directory, not a file"),
    ],
)
def test_what_cannot_be_found_gets_the_forms(spec, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read_questions(spec)
    assert message in str(caught.value)
    assert "mrqa:FILE, hotpotqa:FILE, hub:NAME[[:CONFIG]:SPLIT], articles[:FILE] (whole articles)" in str(caught.value)

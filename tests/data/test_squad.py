import copy
import gzip
import hashlib
import json
from importlib import resources
from pathlib import Path

import pytest
from data.samples import SQUAD_CONTEXT, SQUAD_EXPECTED, SQUAD_RAW

from bskim_export.data.content import unwrap
from bskim_export.data.notes import DataWarning, Notes
from bskim_export.data.question import Question
from bskim_export.data.squad import load_squad, parse_squad, write_squad
from bskim_export.errors import InputError


def test_packaged_set_is_the_official_file():
    packed = (resources.files("bskim_export.data") / "squad-dev-v1.1.json.gz").read_bytes()
    assert hashlib.md5(gzip.decompress(packed)).hexdigest() == "3e85deb501d4e538b6bc56f786231552"


def test_packaged_set_is_whole(squad):
    assert len(squad) == 10_570
    assert len({q.id for q in squad}) == 10_570
    assert len({q.context for q in squad}) == 2067
    assert sum(len(q.answers) for q in squad) == 34_726


def test_every_answer_stands_at_its_offset(squad):
    for q in squad:
        assert q.answers
        assert [q.context[s : s + len(a)] for a, s in zip(q.answers, q.starts, strict=True)] == list(q.answers)


def test_a_file_called_squad_is_read_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "squad").write_text(json.dumps(SQUAD_RAW))
    assert load_squad(str(tmp_path / "squad")) == SQUAD_EXPECTED
    monkeypatch.chdir(tmp_path)
    assert load_squad(Path("squad")) == SQUAD_EXPECTED


@pytest.mark.parametrize(("name", "message"), [("missing.json", "There is no file"), (".", "is a directory")])
def test_what_is_no_file_is_named(tmp_path, name, message):
    with pytest.raises(InputError, match=message) as caught:
        load_squad(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "FILE or squad:FILE (SQuAD format), mrqa:FILE, hotpotqa:FILE, hub:NAME" in str(caught.value)


def paragraph(raw: dict) -> dict:
    return raw["data"][0]["paragraphs"][0]


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda raw: raw.pop("data"), "file, line 1: 'paragraphs' is missing; is this SQuAD format?"),
        (lambda raw: raw.update(data={}), "file: 'data' should be a list, found an object."),
        (lambda raw: raw["data"].append({}), "file: data[1]: 'paragraphs' is missing"),
        (lambda raw: raw["data"].append("text"), "file: data[1]: 'paragraphs' is missing"),
        (
            lambda raw: raw["data"][0].update(paragraphs=None),
            "data[0]: 'paragraphs' should be a list or an object, found null",
        ),
        (lambda raw: paragraph(raw).pop("context"), "file: data[0].paragraphs[0]: 'context' is missing"),
        (lambda raw: paragraph(raw).pop("qas"), "data[0].paragraphs[0]: 'qas' is missing"),
        (lambda raw: paragraph(raw)["qas"][1].pop("question"), "paragraphs[0].qas[1]: 'question' is missing"),
        (
            lambda raw: paragraph(raw)["qas"][1].update(id=[2]),
            "paragraphs[0].qas[1]: 'id' should be a string or a whole number, found a list",
        ),
        (lambda raw: paragraph(raw)["qas"][0].pop("answers"), "paragraphs[0].qas[0]: 'answers' is missing"),
        (
            lambda raw: paragraph(raw)["qas"][1]["answers"][1].pop("text"),
            "file: data[0].paragraphs[0].qas[1].answers[1]: 'text' is missing",
        ),
        (
            lambda raw: paragraph(raw)["qas"][1]["answers"][0].update(answer_start="0"),
            "file: data[0].paragraphs[0].qas[1].answers[0]: 'answer_start' should be a whole number, found a string",
        ),
        (
            lambda raw: paragraph(raw)["qas"][1]["answers"][0].update(answer_start=True),
            "'answer_start' should be a whole number, found true or false",
        ),
        (
            lambda raw: paragraph(raw)["qas"][0].update(is_impossible="no"),
            "paragraphs[0].qas[0]: 'is_impossible' should be true or false, found a string",
        ),
        (
            lambda raw: paragraph(raw)["qas"][0].update(is_impossible=True),
            "paragraphs[0].qas[0]: 'is_impossible' is true, but there are 1 'answers'",
        ),
        (
            lambda raw: paragraph(raw)["qas"][0].update(is_impossible=False, answers=[]),
            "paragraphs[0].qas[0]: 'is_impossible' is false, but there are no 'answers'",
        ),
        (
            lambda raw: paragraph(raw)["qas"][0].update(supporting_facts=[{"text": "x"}]),
            "paragraphs[0].qas[0].supporting_facts[0]: 'start' is missing",
        ),
        (
            lambda raw: paragraph(raw)["qas"][0]["answers"][0].update(text=" "),
            "paragraphs[0].qas[0]: an answer is blank",
        ),
    ],
)
def test_malformed_sets_name_the_place(spoil, place):
    raw = copy.deepcopy(SQUAD_RAW)
    spoil(raw)
    with pytest.raises(InputError) as caught:
        list(parse_squad(unwrap(raw, "file"), Notes()))
    assert place in str(caught.value)


def test_a_malformed_file_is_named(tmp_path):
    (tmp_path / "set.json").write_text('{"data": [{}]}')
    with pytest.raises(InputError, match=r"set\.json: data\[0\]: 'paragraphs' is missing"):
        load_squad(tmp_path / "set.json")


@pytest.mark.parametrize("raw", [None, "text", 3, {"rows": []}, {"version": "1.1"}])
def test_a_document_that_is_nothing_known_is_described(raw, tmp_path):
    (tmp_path / "set.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"set\.json, line 1: .* is no question-answering data that is known here"):
        load_squad(tmp_path / "set.json")


@pytest.mark.parametrize("data", [[], [{"paragraphs": []}], [{"paragraphs": [{"context": "x", "qas": []}]}]])
def test_a_set_without_questions_is_refused(data, tmp_path):
    (tmp_path / "set.json").write_text(json.dumps({"data": data}))
    with pytest.raises(InputError, match=r"set\.json: there are no questions in it\."):
        load_squad(tmp_path / "set.json")


def read(*qas: dict, context: str = SQUAD_CONTEXT) -> tuple[list[Question], list[str]]:
    notes = Notes()
    raw = {"data": [{"paragraphs": [{"context": context, "qas": list(qas)}]}]}
    return list(parse_squad(unwrap(raw, "file"), notes)), notes.lines()


def test_squad_2_questions_without_answers():
    plausible = {"text": "Poland", "answer_start": 18}
    found, notes = read(
        {"id": "1", "question": "When?", "answers": [], "is_impossible": True, "plausible_answers": [plausible]},
        {"id": "2", "question": "Where?", "answers": [plausible], "is_impossible": False},
        {"id": "3", "question": "Why?", "answers": []},
    )
    assert [q.answers for q in found] == [(), ("Poland",), ()]
    assert found[0].gold == found[0].starts == ()
    assert notes == []


def test_supporting_facts_become_ranges():
    facts = [{"text": "in Poland", "start": 15}, {"text": "a city", "start": 0}, {"text": "Berlin", "start": 3}]
    answer = {"text": "Poland", "answer_start": 18}
    (question,), notes = read({"id": 1, "question": "Where?", "answers": [answer], "supporting_facts": facts})
    assert [SQUAD_CONTEXT[s:e] for s, e in question.supporting] == ["in Poland", "a city"]
    assert question.id == "1"
    assert notes == [
        "Supporting facts that stand nowhere in the context, left out: 1, the first at "
        "file: data[0].paragraphs[0].qas[0].supporting_facts[2]"
    ]


def test_wrong_offsets_are_noted(tmp_path):
    raw = copy.deepcopy(SQUAD_RAW)
    paragraph(raw)["qas"][0]["answers"][0]["answer_start"] = 17
    (tmp_path / "set.json").write_text(json.dumps(raw))
    with pytest.warns(DataWarning, match=r"Answers moved .*: 1, the first at .*set\.json: data\[0\].*qas\[0\]"):
        assert load_squad(tmp_path / "set.json") == SQUAD_EXPECTED
    notes = []
    assert load_squad(tmp_path / "set.json", notes.append) == SQUAD_EXPECTED
    assert len(notes) == 1


def test_what_is_written_reads_back_as_it_was(tmp_path):
    questions = [
        Question(
            "1", "Where?", SQUAD_CONTEXT, ("Poland",), (18,), supporting=((0, 4), (18, 24)), accepted=("the Poland",)
        ),
        Question("2", "When?", SQUAD_CONTEXT, (), ()),
        Question("3", "Who?", "Ada \u2028 and\nBob", ("Ada", "Bob"), (0, 10)),
    ]
    write_squad(tmp_path / "some.json", questions)
    assert load_squad(tmp_path / "some.json") == questions


def test_accepted_texts_must_be_texts(tmp_path):
    raw = copy.deepcopy(SQUAD_RAW)
    raw["data"][0]["paragraphs"][0]["qas"][1]["accepted"] = [7]
    with pytest.raises(InputError, match=r"qas\[1\].*'accepted'"):
        list(parse_squad(unwrap(raw, "x"), Notes()))

import copy
import gzip
import hashlib
import json
import random
from importlib import resources

import pytest

from bskim_export.data.squad import Question, load_squad, parse_squad, sample
from bskim_export.errors import InputError

CONTEXT = "Łódź is a city in Poland."
RAW = {
    "version": "1.1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {"id": "1", "question": "Where?", "answers": [{"text": "Poland", "answer_start": 18}]},
                        {
                            "id": "2",
                            "question": "Which city?",
                            "answers": [{"text": "Łódź", "answer_start": 0}, {"text": "city", "answer_start": 10}],
                        },
                    ],
                }
            ],
        }
    ],
}
EXPECTED = [
    Question("1", "Where?", CONTEXT, ("Poland",), (18,)),
    Question("2", "Which city?", CONTEXT, ("Łódź", "city"), (0, 10)),
]


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


@pytest.mark.parametrize("encode", [lambda text: text.encode(), lambda text: gzip.compress(text.encode())])
@pytest.mark.parametrize("name", ["set.json", "set.json.gz", "set"])
def test_plain_and_compressed_files_are_told_apart_by_content(tmp_path, encode, name):
    path = tmp_path / name
    path.write_bytes(encode(json.dumps(RAW, ensure_ascii=False)))
    assert load_squad(path) == EXPECTED
    assert load_squad(str(path)) == EXPECTED


def test_a_file_called_squad_is_read_by_its_path(tmp_path):
    (tmp_path / "squad").write_text(json.dumps(RAW))
    assert load_squad(tmp_path / "squad") == EXPECTED


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_what_is_no_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match="There is no file") as caught:
        load_squad(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "Pass 'squad' or a SQuAD-format JSON or JSON.gz" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b'{"data": [', b"id,question\n1,Where?", b"\xc3\x28", gzip.compress(b"no")])
def test_what_is_no_json_is_named(tmp_path, content):
    (tmp_path / "set.json").write_bytes(content)
    with pytest.raises(InputError, match=r"set\.json' is not valid JSON"):
        load_squad(tmp_path / "set.json")


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:-8] + bytes(8), lambda b: b[:20] + bytes(40) + b[60:]]
)
def test_a_damaged_gzip_is_named(tmp_path, damage):
    (tmp_path / "set.gz").write_bytes(damage(gzip.compress(json.dumps(RAW).encode())))
    with pytest.raises(InputError, match=r"set\.gz' is a damaged gzip file"):
        load_squad(tmp_path / "set.gz")


def paragraph(raw: dict) -> dict:
    return raw["data"][0]["paragraphs"][0]


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda raw: raw.pop("data"), "file: 'data' is missing; is this SQuAD 1.1 format?"),
        (lambda raw: raw.update(data={}), "file: 'data' should be a list, found dict."),
        (lambda raw: raw["data"].append({}), "file: data[1]: 'paragraphs' is missing"),
        (lambda raw: raw["data"].append("text"), "file: data[1]: 'paragraphs' is missing"),
        (lambda raw: raw["data"][0].update(paragraphs=None), "data[0]: 'paragraphs' should be a list, found NoneType"),
        (lambda raw: paragraph(raw).pop("context"), "file: data[0].paragraphs[0]: 'context' is missing"),
        (lambda raw: paragraph(raw).pop("qas"), "data[0].paragraphs[0]: 'qas' is missing"),
        (lambda raw: paragraph(raw)["qas"][1].pop("question"), "paragraphs[0].qas[1]: 'question' is missing"),
        (lambda raw: paragraph(raw)["qas"][1].update(id=2), "paragraphs[0].qas[1]: 'id' should be a str, found int"),
        (lambda raw: paragraph(raw)["qas"][0].pop("answers"), "paragraphs[0].qas[0]: 'answers' is missing"),
        (
            lambda raw: paragraph(raw)["qas"][1]["answers"][1].pop("text"),
            "file: data[0].paragraphs[0].qas[1].answers[1]: 'text' is missing",
        ),
        (
            lambda raw: paragraph(raw)["qas"][1]["answers"][0].update(answer_start="0"),
            "file: data[0].paragraphs[0].qas[1].answers[0]: 'answer_start' should be a int, found str",
        ),
    ],
)
def test_malformed_sets_name_the_place(spoil, place):
    raw = copy.deepcopy(RAW)
    spoil(raw)
    with pytest.raises(InputError) as caught:
        parse_squad(raw, "file")
    assert place in str(caught.value)


def test_a_malformed_file_is_named(tmp_path):
    (tmp_path / "set.json").write_text('{"data": [{}]}')
    with pytest.raises(InputError, match=r"set\.json: data\[0\]: 'paragraphs' is missing"):
        load_squad(tmp_path / "set.json")


@pytest.mark.parametrize("raw", [[], None, "text"])
def test_json_that_is_no_object_is_refused(raw):
    with pytest.raises(InputError, match=r"is this SQuAD 1\.1 format"):
        parse_squad(raw, "file")


@pytest.mark.parametrize("data", [[], [{"paragraphs": []}], [{"paragraphs": [{"context": "x", "qas": []}]}]])
def test_a_set_without_questions_is_refused(data):
    with pytest.raises(InputError, match="file: there are no questions in it"):
        parse_squad({"data": data}, "file")


def test_sample_is_the_same_for_the_same_seed(squad):
    drawn = sample(squad, 50, seed=3)
    assert sample(squad, 50, seed=3) == drawn
    assert sample(squad, 50, seed=4) != drawn
    assert sample(squad, 50) == sample(squad, 50, seed=42)


def test_sample_draws_without_replacement_and_leaves_the_list_alone(squad):
    before = list(squad)
    drawn = sample(squad, 2000)
    assert len({q.id for q in drawn}) == 2000
    assert {q.id for q in drawn} < {q.id for q in squad}
    assert squad == before


def test_sample_does_not_depend_on_the_global_random_state(squad):
    random.seed(1)
    first = sample(squad, 5)
    random.seed(2)
    assert sample(squad, 5) == first


@pytest.mark.parametrize("limit", [None, 2, 3, 1000])
def test_sample_returns_all_if_there_are_no_more(limit):
    assert sample(EXPECTED, limit) == EXPECTED


@pytest.mark.parametrize("limit", [0, -1])
def test_sample_refuses_less_than_one(limit):
    with pytest.raises(InputError, match=f"The number of questions must be at least 1, got {limit}"):
        sample(EXPECTED, limit)

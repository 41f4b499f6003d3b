"""What annotation tools and table libraries write for a question, an answer, and none."""

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.content import unwrap
from bskim_export.data.entries import BLANK_ANSWERS, FLAG, NO_ANSWERS, NO_ID, OTHER_FORM, WHOLE
from bskim_export.data.notes import SAME_ID, Notes, collect
from bskim_export.data.question import Question
from bskim_export.data.squad import ONE_PARAGRAPH, parse_rows, parse_squad
from bskim_export.errors import InputError

CONTEXT = "The lighthouse was built in 1871 by Tom Reed. It stands on Gull Island."
ANSWER = {"text": "1871", "answer_start": 28}
ENTRY = {"id": "1", "question": "When?", "answers": [ANSWER]}
GONE = object()


def read(*changes: dict) -> tuple[list[Question], list[str]]:
    entries = [{k: v for k, v in (ENTRY | change).items() if v is not GONE} for change in changes]
    notes = Notes()
    lines: list[str] = []
    parsed = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": copy.deepcopy(entries)}]}]}
    found = collect(parse_squad(unwrap(parsed, "file"), notes), notes, "file", lines.append)
    return found, [line.split(":")[0] for line in lines]


@pytest.mark.parametrize(
    ("change", "answers", "note"),
    [
        ({}, ("1871",), None),
        ({"is_impossible": False}, ("1871",), None),
        ({"is_impossible": 0}, ("1871",), FLAG),
        ({"is_impossible": 0.0}, ("1871",), FLAG),
        ({"is_impossible": None}, ("1871",), FLAG),
        ({"is_impossible": 1, "answers": []}, (), FLAG),
        ({"is_impossible": True, "answers": None}, (), NO_ANSWERS),
        ({"is_impossible": True, "answers": GONE}, (), NO_ANSWERS),
        ({"answers": None}, (), NO_ANSWERS),
        ({"is_impossible": True, "answers": [{"text": "", "answer_start": 0}]}, (), BLANK_ANSWERS),
        ({"is_impossible": True, "answers": [{"text": ""}]}, (), BLANK_ANSWERS),
        ({"answers": [{"text": "", "answer_start": -1}]}, (), BLANK_ANSWERS),
        ({"answers": [{"text": "\u200b", "answer_start": -1}] * 2}, (), BLANK_ANSWERS),
        ({"answers": [ANSWER, {"text": " ", "answer_start": 0}]}, ("1871",), BLANK_ANSWERS),
        ({"answers": [{"text": "1871", "answer_start": 28.0}]}, ("1871",), WHOLE),
        ({"answers": {"text": ["1871"], "answer_start": [28]}}, ("1871",), OTHER_FORM),
        ({"answers": {"text": [], "answer_start": []}}, (), OTHER_FORM),
        ({"answers": {"text": ["1871", "Tom Reed"], "answer_start": [28, 36]}}, ("1871", "Tom Reed"), OTHER_FORM),
        ({"answers": ANSWER}, ("1871",), OTHER_FORM),
        ({"answers": {"text": "1871", "answer_start": [28]}}, ("1871",), OTHER_FORM),
    ],
)
def test_what_has_a_plain_meaning_is_read_and_counted(change, answers, note):
    (question,), notes = read(change)
    assert question.answers == answers
    assert note is None or note in notes
    assert set(notes) <= {note}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": GONE}, "'answers' is missing"),
        ({"answers": "1871"}, "'answers' should be a list or an object, found a string"),
        ({"answers": [{"text": "1871"}]}, "'answer_start' is missing"),
        ({"answers": [{"text": "1871", "answer_start": "28"}]}, "should be a whole number, found a string"),
        ({"answers": [{"text": "1871", "answer_start": 28.5}]}, "should be a whole number, found a number"),
        ({"answers": [{"text": "1871", "answer_start": math.nan}]}, "should be a whole number, found a number"),
        ({"answers": [{"text": "1871", "answer_start": math.inf}]}, "should be a whole number, found a number"),
        ({"answers": [{"text": "1871", "answer_start": None}]}, "should be a whole number, found null"),
        ({"answers": [{"text": "", "answer_start": 0}]}, "an answer is blank"),
        ({"answers": [{"text": "", "answer_start": 0}], "is_impossible": False}, "an answer is blank"),
        ({"answers": [], "is_impossible": 0}, "'is_impossible' is false, but there are no 'answers'"),
        ({"is_impossible": 1}, "'is_impossible' is true, but there are 1 'answers'"),
        ({"is_impossible": 2}, "'is_impossible' should be true or false, found a whole number"),
        ({"is_impossible": math.nan}, "'is_impossible' should be true or false, found a number"),
        ({"answers": {"text": ["1871"], "answer_start": []}}, "answers has 1 'text' but 0 'answer_start'"),
        ({"answers": {"text": [None], "answer_start": [28]}}, r"answers\.text\[0\] should be a string, found null"),
        ({"id": True}, "'id' should be a string or a whole number, found true or false"),
        ({"id": 1.5}, "'id' should be a string or a whole number, found a number"),
    ],
)
def test_what_has_no_plain_meaning_names_the_place(change, message):
    with pytest.raises(InputError, match=rf"file: data\[0\]\.paragraphs\[0\]\.qas\[1\].*{message}"):
        read({}, change)


@pytest.mark.parametrize(("given", "expected"), [("x", "x"), (7, "7"), (-7, "-7"), (7.0, "7"), (10**30, str(10**30))])
def test_ids_may_be_numbers(given, expected):
    assert read({"id": given})[0][0].id == expected


def test_a_question_without_an_id_gets_one_that_depends_on_its_text_only():
    ways = [{"id": GONE}, {"id": None}, {"id": ""}]
    ids = {read(way)[0][0].id for way in ways} | {read({}, way)[0][1].id for way in ways}
    assert len(ids) == 1
    (other,), notes = read({"id": GONE, "question": "Who?"})
    assert {other.id} != ids
    assert notes == [NO_ID]


def test_questions_of_one_id_are_all_kept_and_counted():
    found, notes = read({}, {"question": "Since when?"}, {"id": "2"}, {"id": 1})
    assert [q.id for q in found] == ["1", "1", "2", "1"]
    assert notes == [SAME_ID]


def test_paragraphs_may_be_one_object():
    notes = Notes()
    article = {"paragraphs": {"context": CONTEXT, "qas": [ENTRY]}}
    assert len(list(parse_squad(unwrap({"data": [article]}, "file"), notes))) == 1
    assert notes.lines() == [f"{ONE_PARAGRAPH}: 1, the first at file: data[0]"]


JSON = st.recursive(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2.0, 28, 28.0, math.nan, 10**30, "", " ", "1871", "\u200b", "1", "x"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["text", "answer_start", "id", "start", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional={
    "id": JSON, "question": st.just("When?") | JSON, "context": st.just(CONTEXT) | JSON,
    "answers": JSON | st.lists(st.fixed_dictionaries({"text": JSON, "answer_start": JSON}), max_size=2),
    "is_impossible": JSON, "supporting_facts": JSON, "accepted": JSON}))  # fmt: skip
def test_whatever_a_row_holds_it_is_a_question_or_an_error_that_names_the_place(row):
    refused = ""
    found = []
    try:
        found = list(parse_rows([("here: row 0", row)], Notes()))
    except InputError as error:
        refused = str(error)
    assert refused.startswith("here: row 0") or refused == ""
    for question in found:
        assert type(question.id) is type(question.question) is str
        assert question.id
        spans = zip(question.answers, question.starts, strict=True)
        assert all(a and question.context[s : s + len(a)] == a for a, s in spans)
        assert all(0 <= a < b <= len(question.context) for a, b in question.supporting)
        assert all(type(text) is str for text in question.accepted)

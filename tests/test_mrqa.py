import copy
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.mrqa import load_mrqa, parse_mrqa
from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.errors import InputError

CONTEXT = "[TLE] 42 [PAR] The answer is 42. Forty-two  is it."
LINE = {
    "context": CONTEXT,
    "context_tokens": [["[TLE]", 0]],
    "qas": [
        {
            "id": "story#1",
            "qid": "a1",
            "question": "What is it?",
            "question_tokens": [["What", 0]],
            "is_impossible": False,
            "answers": ["42", "forty two"],
            "detected_answers": [
                {"text": "42", "char_spans": [[6, 7], [29, 30]], "token_spans": [[1, 1], [6, 6]]},
                {"text": "forty-two is", "char_spans": [[33, 45]], "token_spans": [[8, 9]]},
            ],
        },
        {"id": "a2", "question": "Is it?", "answers": ["it"],
         "detected_answers": [{"text": "it", "char_spans": [[47, 48]]}]},
    ],
}  # fmt: skip
HEADER = {"header": {"dataset": "Miniature", "split": "dev"}}
EXPECTED = [
    Question("a1", "What is it?", CONTEXT, ("42", "42", "Forty-two  is"), (6, 29, 33), accepted=("42", "forty two")),
    Question("a2", "Is it?", CONTEXT, ("it",), (47,)),
]


def parse(*lines) -> tuple[list[Question], list[str]]:
    notes = Notes()
    return list(parse_mrqa(((f"file, line {n}", line) for n, line in enumerate(lines, 1)), notes)), notes.lines()


@pytest.mark.parametrize("header", [[HEADER], []])
@pytest.mark.parametrize("encode", [lambda text: text.encode(), lambda text: gzip.compress(text.encode())])
def test_a_file_is_read(tmp_path, header, encode):
    path = tmp_path / "set.jsonl.gz"
    path.write_bytes(encode("\n".join(json.dumps(line) for line in [*header, LINE])))
    assert load_mrqa(path, pytest.fail) == EXPECTED


def test_questions_come_as_lines_are_read():
    def lines():
        yield "file, line 1", HEADER
        yield "file, line 2", LINE
        pytest.fail("read ahead")

    questions = parse_mrqa(lines(), Notes())
    assert [next(questions), next(questions)] == EXPECTED


@given(st.text(min_size=1, max_size=40).filter(str.strip), st.data())
def test_spans_include_their_end(context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start, len(context) - 1))
    text = context[start : end + 1]
    qa = {"qid": "1", "question": "?", "answers": [text],
          "detected_answers": [{"text": text, "char_spans": [[start, end]]}]}  # fmt: skip
    if not text.strip():
        with pytest.raises(InputError, match="blank"):
            parse({"context": context, "qas": [qa]})
        return
    (question,), notes = parse({"context": context, "qas": [qa]})
    assert (question.answers, question.starts, question.gold) == ((text,), (start,), (text,))
    assert notes == []


def test_a_span_over_another_text_is_moved_and_counted():
    line = copy.deepcopy(LINE)
    line["qas"][1]["detected_answers"][0]["char_spans"] = [[40, 41]]
    found, notes = parse(line)
    assert found == EXPECTED
    assert notes == ["Answers moved to the nearest place where their text stands: 1, the first at file, line 1: qas[1]"]


def test_an_undetected_answer_drops_the_question():
    line = copy.deepcopy(LINE)
    line["qas"][0]["detected_answers"] = []
    found, notes = parse(HEADER, line)
    assert found == EXPECTED[1:]
    assert notes == ["Questions dropped, no answer stands in the context: 1, the first at file, line 2: qas[0]"]


def qa(line: dict) -> dict:
    return line["qas"][0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x.pop("context"), "file, line 2: 'context' is missing; is this MRQA format?"),
        (lambda x: x.update(qas={}), "file, line 2: 'qas' should be a list, found an object"),
        (lambda x: x["qas"].append("text"), "file, line 2: qas[2]: 'detected_answers' is missing"),
        (lambda x: (qa(x).pop("qid"), qa(x).pop("id")), "file, line 2: qas[0]: 'qid' is missing"),
        (lambda x: qa(x).pop("question"), "file, line 2: qas[0]: 'question' is missing"),
        (lambda x: qa(x).pop("answers"), "file, line 2: qas[0]: 'answers' is missing"),
        (lambda x: qa(x).update(answers=[3]), "qas[0]: answers[0] should be a string, found a whole number"),
        (lambda x: qa(x).pop("detected_answers"), "qas[0]: 'detected_answers' is missing"),
        (lambda x: qa(x)["detected_answers"][1].pop("text"), "qas[0].detected_answers[1]: 'text' is missing"),
        (lambda x: qa(x)["detected_answers"][1].pop("char_spans"), "detected_answers[1]: 'char_spans' is missing"),
        (
            lambda x: qa(x)["detected_answers"][0].update(char_spans=[[1, 2], [3]]),
            "qas[0].detected_answers[0].char_spans[1]: should be [start, end], two character offsets, found [3]",
        ),
        (lambda x: qa(x)["detected_answers"][0].update(char_spans=[[-2, 1]]), "char_spans[0]: should be [start, end]"),
    ],
)
def test_malformed_lines_name_line_and_field(spoil, message):
    line = copy.deepcopy(LINE)
    spoil(line)
    with pytest.raises(InputError) as caught:
        parse(HEADER, line)
    assert message in str(caught.value)


def test_a_second_header_is_named():
    with pytest.raises(InputError, match="file, line 3: 'context' is missing"):
        parse(HEADER, LINE, HEADER)

import copy
import gzip
import json

import pytest
from data.samples import MRQA_EXPECTED, MRQA_HEADER, MRQA_LINE
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.mrqa import load_mrqa, parse_mrqa
from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.data.visible import is_blank, visible_range
from bskim_export.errors import InputError


def parse(*lines) -> tuple[list[Question], list[str]]:
    notes = Notes()
    return list(parse_mrqa(((f"file, line {n}", line) for n, line in enumerate(lines, 1)), notes)), notes.lines()


@pytest.mark.parametrize("header", [[MRQA_HEADER], []])
@pytest.mark.parametrize("encode", [lambda text: text.encode(), lambda text: gzip.compress(text.encode())])
def test_a_file_is_read(tmp_path, header, encode):
    path = tmp_path / "set.jsonl.gz"
    path.write_bytes(encode("\n".join(json.dumps(line) for line in [*header, MRQA_LINE])))
    assert load_mrqa(path, pytest.fail) == MRQA_EXPECTED


def test_questions_come_as_lines_are_read():
    def lines():
        yield "file, line 1", MRQA_HEADER
        yield "file, line 2", MRQA_LINE
        pytest.fail("read ahead")

    questions = parse_mrqa(lines(), Notes())
    assert [next(questions), next(questions)] == MRQA_EXPECTED


@given(st.text(min_size=1, max_size=40).filter(lambda text: not is_blank(text)), st.data())
def test_spans_include_their_end(context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start, len(context) - 1))
    text = context[start : end + 1]
    qa = {"qid": "1", "question": "?", "answers": [text],
          "detected_answers": [{"text": text, "char_spans": [[start, end]]}]}  # fmt: skip
    if is_blank(text):
        with pytest.raises(InputError, match="blank"):
            parse({"context": context, "qas": [qa]})
        return
    (question,), notes = parse({"context": context, "qas": [qa]})
    first, last = visible_range(text)
    assert (question.answers, question.starts) == ((text[first:last],), (start + first,))
    assert question.gold == (text,)
    assert len(notes) == (text[first:last] != text)


def test_a_span_over_another_text_is_moved_and_counted():
    line = copy.deepcopy(MRQA_LINE)
    line["qas"][1]["detected_answers"][0]["char_spans"] = [[40, 41]]
    found, notes = parse(line)
    assert found == MRQA_EXPECTED
    assert notes == ["Answers moved to the nearest place where their text stands: 1, the first at file, line 1: qas[1]"]


def test_an_undetected_answer_drops_the_question():
    line = copy.deepcopy(MRQA_LINE)
    line["qas"][0]["detected_answers"] = []
    found, notes = parse(MRQA_HEADER, line)
    assert found == MRQA_EXPECTED[1:]
    assert notes == ["Questions dropped, no answer stands in the context: 1, the first at file, line 2: qas[0]"]


def qa(line: dict) -> dict:
    return line["qas"][0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x.pop("context"), "file, line 2: 'context' is missing; is this MRQA format?"),
        (lambda x: x.update(qas={}), "file, line 2: 'qas' should be a list, found an object"),
        (lambda x: x["qas"].append("text"), "file, line 2: qas[2]: 'detected_answers' is missing"),
        (lambda x: qa(x).update(qid=[1]), "qas[0]: 'qid' should be a string or a whole number, found a list"),
        (lambda x: qa(x)["detected_answers"][0].update(char_spans=["x" * 10**6]), "two character offsets, found 'xxx"),
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
    line = copy.deepcopy(MRQA_LINE)
    spoil(line)
    with pytest.raises(InputError) as caught:
        parse(MRQA_HEADER, line)
    assert message in str(caught.value)


def test_a_second_header_is_named():
    with pytest.raises(InputError, match="file, line 3: 'context' is missing"):
        parse(MRQA_HEADER, MRQA_LINE, MRQA_HEADER)

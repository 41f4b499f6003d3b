import copy
import gzip
import json

import pytest
from data.samples import HOTPOTQA_CONTEXT, HOTPOTQA_ENTRY, HOTPOTQA_EXPECTED
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.content import unwrap
from bskim_export.data.hotpotqa import load_hotpotqa, parse_hotpotqa
from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.errors import InputError


def parse(*entries) -> tuple[list[Question], list[str]]:
    notes = Notes()
    return list(parse_hotpotqa(unwrap(list(entries), "file").elements, notes)), notes.lines()


def changed(**fields) -> dict:
    return copy.deepcopy(HOTPOTQA_ENTRY) | fields


def test_the_answer_is_found_in_a_supporting_fact():
    (question,), notes = parse(HOTPOTQA_ENTRY)
    assert question.context == HOTPOTQA_CONTEXT
    assert question.answers == ("1815",)
    assert question.starts == (HOTPOTQA_CONTEXT.rindex("1815"),)
    assert [HOTPOTQA_CONTEXT[s:e] for s, e in question.supporting] == [
        "Ada Lovelace programmed it.",
        "She was born in 1815.",
    ]
    assert notes == []


@pytest.mark.parametrize(
    ("facts", "answer", "start"),
    [
        ([["Waterloo", 1]], "1815", HOTPOTQA_CONTEXT.index("1815")),  # in no fact: anywhere
        ([], "1815", HOTPOTQA_CONTEXT.index("1815")),
        (
            [["Ada Lovelace", 1], ["Waterloo", 0]],
            "1815",
            HOTPOTQA_CONTEXT.index("1815"),
        ),  # the first in the context's order
        ([["Analytical Engine", 1]], "1815", HOTPOTQA_CONTEXT.index("1815")),  # 18155 is another word
        ([["Analytical Engine", 1]], " 18155 ", HOTPOTQA_CONTEXT.index("18155")),
        ([], "Analytical Engine", HOTPOTQA_CONTEXT.index("Analytical")),  # titles are part of the context
        ([], "lost.", HOTPOTQA_CONTEXT.index("lost.")),
    ],
)
def test_where_the_answer_is_found(facts, answer, start):
    (question,), _ = parse(changed(supporting_facts=facts, answer=answer))
    assert question.starts == (start,)


def test_a_match_does_not_end_beyond_its_fact():
    entry = changed(answer="a b", supporting_facts=[["T", 0]], context=[["T", ["x a", " b y", " a b"]]])
    (question,), _ = parse(entry)
    assert question.starts == (4,)  # the first match anywhere: none lies inside the fact "x a"


def test_what_has_no_span_is_dropped_and_counted():
    entries = [
        changed(answer="yes"),
        HOTPOTQA_ENTRY,
        changed(answer="No"),
        changed(answer="18"),
        changed(answer="815"),
        changed(answer="Ada lovelace"),
    ]
    found, notes = parse(*entries)
    assert len(found) == 1
    assert notes == [
        "Questions dropped, the answer is yes or no: 2, the first at file: [0]",
        "Questions dropped, no answer stands in the context: 3, the first at file: [3]",
    ]


def test_facts_that_name_no_sentence_are_left_out_and_counted():
    facts = [["Ada Lovelace", 1], ["Ada Lovelace", 7], ["Babbage", 0], ["Ada Lovelace", -1]]
    (question,), notes = parse(changed(supporting_facts=facts))
    assert [HOTPOTQA_CONTEXT[s:e] for s, e in question.supporting] == ["She was born in 1815."]
    assert notes == [
        "Supporting facts that name no sentence of the context, left out: 3, the first at file: [0].supporting_facts[1]"
    ]


WORDS = st.text("abc. \u00e9", max_size=8)


@given(st.lists(st.tuples(st.text("AB", min_size=1), st.lists(WORDS, max_size=4)), min_size=1, max_size=4), st.data())
def test_ranges_are_the_sentences(paragraphs, data):
    p = data.draw(st.integers(0, len(paragraphs) - 1))
    title, sentences = paragraphs[p]
    facts = [[title, i] for i in range(len(sentences))]
    entry = changed(context=[list(x) for x in paragraphs] + [["Z", ["1815"]]], supporting_facts=facts)
    (question,), _ = parse(entry)
    first = next(sentences for other, sentences in paragraphs if other == title)  # of paragraphs with one title
    assert [question.context[s:e] for s, e in question.supporting] == [
        s.strip() for s in first[: len(sentences)] if s.strip()
    ]
    assert question.context == "\n".join(f"{t}\n{''.join(s)}" for t, s in [*paragraphs, ("Z", ["1815"])])


@pytest.mark.parametrize("encode", [lambda text: text.encode(), lambda text: gzip.compress(text.encode())])
def test_a_file_is_read(tmp_path, encode):
    (tmp_path / "set").write_bytes(encode(json.dumps([HOTPOTQA_ENTRY, changed(answer="yes")])))
    notes = []
    assert load_hotpotqa(tmp_path / "set", notes.append) == HOTPOTQA_EXPECTED
    assert notes == [f"Questions dropped, the answer is yes or no: 1, the first at {tmp_path}/set: [1]"]


def test_a_file_of_yes_and_no_only_is_refused(tmp_path):
    (tmp_path / "set.json").write_text(json.dumps([changed(answer="yes")]))
    notes = []
    with pytest.raises(InputError, match="there are no questions in it that can be used"):
        load_hotpotqa(tmp_path / "set.json", notes.append)
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("text", "file: [1]: 'question' is missing; is this HotpotQA's format?"),
        ({k: v for k, v in HOTPOTQA_ENTRY.items() if k != "answer"}, "file: [1]: 'answer' is missing"),
        (changed(_id=[3]), "file: [1]: '_id' should be a string or a whole number, found a list"),
        (changed(context={}), "file: [1]: 'context' should be a list, found an object"),
        (changed(context=[["T", "text"]]), "file: [1].context[0]: should be [title, sentences]"),
        (changed(context=[["T", ["a", None]]]), "file: [1].context[0]: sentence 1 should be a string, found null"),
        (changed(supporting_facts=[["T"]]), "file: [1].supporting_facts[0]: should be [title, sentence index]"),
        (changed(question=None), "file: [1]: 'question' should be a string, found null"),
        (changed(answer=""), "file: [1]: an answer is blank"),
    ],
)
def test_malformed_entries_name_the_place(entry, message):
    with pytest.raises(InputError) as caught:
        parse(HOTPOTQA_ENTRY, entry)
    assert message in str(caught.value)


def test_another_document_is_refused():
    with pytest.raises(InputError, match="file, line 1: 'question' is missing; is this HotpotQA's format"):
        list(parse_hotpotqa(unwrap({}, "file").elements, Notes()))


def test_ids_may_be_numbers_or_missing():
    entries = [changed(_id=3), changed(_id=None), {k: v for k, v in HOTPOTQA_ENTRY.items() if k != "_id"}]
    (number, null, missing), notes = parse(*entries)
    assert number.id == "3"
    assert null.id == missing.id
    assert len(null.id) == 16
    assert notes == ["Questions without an id, which got one made of their text: 2, the first at file: [1]"]


def test_languages_without_spaces_have_whole_words_everywhere():
    entry = changed(answer="京都", supporting_facts=[["甲", 0]], context=[["甲", ["東京都と京都。"]]])
    (question,), _ = parse(entry)
    assert question.starts == (3,)

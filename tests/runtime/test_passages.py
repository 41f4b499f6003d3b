"""Questions about the passages that a retriever found, answered jointly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.data.question import sample
from bskim_export.errors import InputError

QUESTION = "Who wrote the first program?"
ANSWER = "Ada Lovelace wrote the first program in 1843."
OTHERS = ["The river is long and cold.", "Bread is made of flour and water.", "Boats pass on the river every day."]


@pytest.fixture(scope="module")
def qa(minilm_bundle):
    return QAPipeline(minilm_bundle)


@pytest.mark.parametrize("place", range(4))
def test_the_answer_says_which_passage_it_is_from(qa, place):
    passages = [*OTHERS[:place], ANSWER, *OTHERS[place:]]
    answer = qa(question=QUESTION, passages=passages)
    assert (answer["answer"], answer["passage"], answer["start"], answer["end"]) == ("Ada Lovelace", place, 0, 12)


def test_one_passage_is_answered_as_a_context(qa, squad):
    for question in sample(squad, 10, seed=4):
        joint = qa(question=question.question, passages=[question.context])
        alone = qa(question=question.question, context=question.context)
        assert {k: v for k, v in joint.items() if k != "passage"} == alone
        assert joint["passage"] == 0


def test_passages_of_many_windows_and_of_one_word_share_one_scale(qa):
    long = " ".join(OTHERS * 60)
    (first, *rest) = qa(question=QUESTION, passages=[long, "River.", f"{long} {ANSWER}"], top_k=5)
    assert (first["answer"], first["passage"]) == ("Ada Lovelace", 2)
    assert first["start"] == len(long) + 1
    assert sum(a["score"] for a in [first, *rest]) <= 1 + 1e-9
    for answer in rest:
        text = [long, "River.", f"{long} {ANSWER}"][answer["passage"]]
        assert text[answer["start"] : answer["end"]] == answer["answer"]


def test_a_title_is_read_but_no_answer_is_from_there(qa):
    text = "She wrote the first program in 1843."
    found = qa(question=QUESTION, passages=[{"title": "Ada Lovelace", "text": text}], top_k=8, return_skim=True)
    for answer in found:
        assert text[answer["start"] : answer["end"]] == answer["answer"]
    plain = qa(question="When did Ada Lovelace write it?", passages=[{"title": "", "text": text}, {"text": text}])
    assert plain["answer"] == "1843"


def test_passages_may_stream(qa):
    seen = []

    def retrieve():
        for text in [*OTHERS, ANSWER]:
            seen.append(text)
            yield text

    assert qa(question=QUESTION, passages=retrieve())["passage"] == 3
    assert len(seen) == 4


def test_many_questions_have_passages_of_their_own_or_share_them(qa):
    passages = [OTHERS[0], ANSWER]
    shared = qa(question=[QUESTION, "What is long?"], passages=passages)
    assert [a["passage"] for a in shared] == [1, 0]
    own = qa(question=[QUESTION, "What is long?"], passages=[passages[::-1], passages])
    assert [a["passage"] for a in own] == [0, 0]
    dicts = qa([{"question": QUESTION, "passages": passages}, {"question": "What is long?", "context": OTHERS[0]}])
    assert dicts[0]["passage"] == 1
    assert "passage" not in dicts[1]


def test_the_null_answer_is_from_no_passage(qa):
    answers = qa(question=QUESTION, passages=OTHERS, top_k=30, handle_impossible_answer=True)
    (null,) = (a for a in answers if not a["answer"])
    assert null["passage"] is None
    assert (null["start"], null["end"]) == (0, 0)


def test_what_is_skimmed_is_told_by_passage(minilm_bundle):
    qa = QAPipeline(minilm_bundle, threshold=0.5)
    passages = [" ".join(OTHERS * 12), {"title": "A title", "text": " ".join(OTHERS * 12)}]
    answer = qa(question=QUESTION, passages=passages, return_skim=True, return_stats=True)
    assert {s["passage"] for s in answer["skipped"]} == {0, 1}
    for one in answer["skipped"]:
        text = passages[one["passage"]]
        assert 0 <= one["start"] < one["end"] <= len(text if isinstance(text, str) else text["text"])
    assert answer["stats"]["windows"] == 2
    assert 0 < answer["stats"]["kept_share"] < 1


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_answers_are_the_same_in_any_batch_and_in_any_company(qa, squad, batch_size):
    drawn = sample(squad, 24, seed=6)
    contexts = [q.context for q in drawn]
    calls = {"question": [q.question for q in drawn[:8]], "passages": [contexts[i : i + 5] for i in range(8)]}
    together = qa(**calls, batch_size=batch_size)
    for i, answer in enumerate(together):
        alone = qa(question=calls["question"][i], passages=calls["passages"][i])
        assert {k: v for k, v in answer.items() if k != "score"} == {k: v for k, v in alone.items() if k != "score"}
        assert answer["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_passages_that_are_all_alike_give_the_first(qa):
    answer = qa(question=QUESTION, passages=[ANSWER] * 50)
    assert (answer["answer"], answer["passage"]) == ("Ada Lovelace", 0)
    assert answer["score"] <= 1


def test_empty_passages_hold_nothing(qa):
    assert qa(question=QUESTION, passages=["", " \n", ANSWER, "\u200b"])["passage"] == 2
    for passages in ([], [""], iter(()), [" ", {"text": ""}]):
        with pytest.raises(InputError, match="`passages` cannot be empty"):
            qa(question=QUESTION, passages=passages)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"passages": ["a"], "context": "b"}, "either `context` or `passages`"),
    ({"passages": "text"}, "must be a list of strings or dicts, got str"), ({"passages": 5}, "got int"),
    ({"passages": {"text": "a"}}, "got dict"), ({"passages": ["a", None]}, "Passage 1 must be a string.* NoneType"),
    ({"passages": [{"text": 3}]}, "got one of int"), ({"passages": [{"text": "a", "title": 3}]}, "Passage 0"),
    ({"passages": ["a"], "question": None}, "Pass question="), ({"passages": ["a"], "question": ""}, "cannot be empty"),
    ({"passages": [["a"]], "question": ["x", "y"]}, "2 questions, but 1 lists of passages"),
    ({"passages": ["word " * 2000] * 4, "max_windows": 20}, "`passages` make more than max_windows 20"),
])  # fmt: skip
def test_what_is_no_passages_is_refused(qa, arguments, message):
    with pytest.raises(InputError, match=message):
        qa(**{"question": QUESTION, **arguments})


def test_an_error_in_the_middle_costs_only_its_question(qa):
    bad = {"question": QUESTION, "passages": [ANSWER, 5]}
    good = {"question": QUESTION, "passages": [ANSWER]}
    first, second, third = qa([good, bad, good], on_error="return")
    assert first["answer"] == third["answer"] == "Ada Lovelace"
    assert isinstance(second, InputError)


def test_a_thousand_passages_are_answered(qa):
    passages = [f"{text} It is number {i}." for i, text in enumerate(OTHERS * 333)] + [ANSWER]
    answer = qa(question=QUESTION, passages=passages, return_stats=True)
    assert (answer["answer"], answer["passage"]) == ("Ada Lovelace", 999)
    assert answer["stats"]["windows"] == 1000


PASSAGE = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.sampled_from(["", "word", "\x00", "\ud800", "שלום", "中 文", "e\u0301", "word " * 90]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(PASSAGE, st.tuples(PASSAGE, PASSAGE)), min_size=1, max_size=5), st.booleans())
def test_any_passages_get_an_answer_or_one_clear_error(tiny_qa, drawn, impossible):
    passages = [p if isinstance(p, str) else {"title": p[0], "text": p[1]} for p in drawn]
    texts = [p if isinstance(p, str) else p["text"] for p in passages]
    try:
        answers = tiny_qa(question="who?", passages=passages, top_k=4, handle_impossible_answer=impossible)
    except InputError as refused:
        if "`passages` cannot be empty" not in str(refused):
            raise
        return
    for answer in answers:
        if answer["passage"] is None:
            assert answer["answer"] == ""
        else:
            assert texts[answer["passage"]][answer["start"] : answer["end"]] == answer["answer"]
        assert np.isfinite(answer["score"])


@pytest.fixture(scope="module")
def tiny_qa(tiny_bundle):
    return QAPipeline(tiny_bundle("bert"))

"""Answers from prepared passages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError
from bskim_export.runtime.prepared.prepared import join

WHO = "Who wrote the first program?"


@pytest.fixture(scope="module")
def drawn(squad):
    """Some real questions."""
    return sample(squad, 24, seed=11)


@pytest.fixture(scope="module")
def article(drawn):
    """A text of many sections."""
    return "\n".join(q.context for q in drawn[:14])


def check_place(answer, texts):
    text = texts if isinstance(texts, str) else texts[answer["passage"]]
    assert text[answer["start"] : answer["end"]] == answer["answer"]


def same(found, expected):
    """Assert that answers are the same, but for the rounding of their scores."""
    for one, other in zip(found, expected, strict=True):
        assert {k: v for k, v in one.items() if k != "score"} == {k: v for k, v in other.items() if k != "score"}
        assert one["score"] == pytest.approx(other["score"], rel=1e-3)


# Prepared or not, the answer is the same


def test_prepared_or_not_the_answer_is_the_same(split_qa, drawn):
    for q in drawn:
        prepared = split_qa.prepare(q.context)
        found = split_qa(question=q.question, prepared=prepared, top_k=3, return_skim=True)
        assert found == split_qa(question=q.question, context=q.context, top_k=3, return_skim=True)
        for answer in found:
            check_place(answer, q.context)
    assert split_qa(question=q.question, prepared=prepared, handle_impossible_answer=True) == split_qa(
        question=q.question, context=q.context, handle_impossible_answer=True
    )


def test_passages_with_titles_are_answered_as_if_they_were_not_prepared(split_qa, drawn):
    passages = [{"title": q.title or "A title", "text": q.context} for q in drawn[:5]]
    passages += ["", {"title": "", "text": drawn[6].context}, " \n"]
    texts = [p if isinstance(p, str) else p["text"] for p in passages]
    prepared = split_qa.prepare(passages=iter(passages))
    for q in drawn[:6]:
        found = split_qa(question=q.question, prepared=prepared, top_k=3, return_skim=True)
        assert found == split_qa(question=q.question, passages=passages, top_k=3, return_skim=True)
        for answer in found:
            check_place(answer, texts)
            for one in answer["skipped"]:
                assert 0 <= one["start"] < one["end"] <= len(texts[one["passage"]])
                assert one["layer"] in (0, 1)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_answers_are_the_same_in_any_batch_and_order(split_qa, drawn, article, batch_size):
    prepared = split_qa.prepare(article)
    questions = [q.question for q in drawn]
    alone = [split_qa(question=one, prepared=prepared) for one in questions]
    same(split_qa(question=questions, prepared=prepared, batch_size=batch_size), alone)
    same(split_qa(question=questions[::-1], prepared=prepared, batch_size=batch_size)[::-1], alone)


def test_many_questions_about_one_text_prepare_it_once(split_qa, drawn, monkeypatch):
    runs = []
    lower = split_qa.split_answerer().lower
    prepare = type(lower).prepare
    monkeypatch.setattr(type(lower), "prepare", lambda self, sections: runs.append(1) or prepare(self, sections))
    questions, context = [q.question for q in drawn], drawn[0].context
    split_qa(question=questions, context=context)
    assert len(runs) == 1
    split_qa(question=questions, passages=[context])
    assert len(runs) == 2
    split_qa(question=questions[:3], passages=[[context]] * 2 + [[context]])
    assert len(runs) == 4


# One document, several, and none


def test_offsets_are_into_the_text_as_it_was_given(split_qa):
    text = "\ufeffIt was  wri\u0301tten\r\nby \U0001f469\u200d\U0001f680 and \ud800 Ada\u200b Lovelace \n\n" * 40
    found = split_qa(question=WHO, prepared=split_qa.prepare(text), top_k=20)
    assert len(found) == 20
    for answer in found:
        check_place(answer, text)


def test_a_document_with_a_name_is_named_by_its_answers(split_qa, drawn):
    prepared = split_qa.prepare(drawn[0].context, name="bridges/forth.txt")
    found = split_qa(question=drawn[0].question, prepared=prepared)
    plain = split_qa(question=drawn[0].question, prepared=split_qa.prepare(drawn[0].context))
    assert found == {**plain, "document": "bridges/forth.txt", "passage": 0}
    several = split_qa.prepare(passages=[drawn[0].context, drawn[1].context], name="x")
    assert split_qa(question=drawn[0].question, prepared=several)["document"] == "x"


def test_several_prepared_are_one_collection(split_qa, drawn):
    texts = [q.context for q in drawn[:6]]
    apart = [split_qa.prepare(text, name=f"n{i}") for i, text in enumerate(texts)]
    # Each document is prepared alone, whatever it is asked together with: so this is exact.
    for parts in (apart, [join(apart[:4]), join(apart[4:])], [join(apart)]):
        found = split_qa(question=[q.question for q in drawn], prepared=parts, top_k=3)
        if parts is apart:
            expected = found
        assert found == expected
    for answers in expected:
        for answer in answers:
            check_place(answer, texts)
            assert answer["document"] == f"n{answer['passage']}"
    unnamed = split_qa(question=drawn[0].question, prepared=[split_qa.prepare(texts[0]), apart[1]])
    assert unnamed["document"] == (None if unnamed["passage"] == 0 else "n1")


def test_the_null_answer_is_from_no_document(split_qa):
    prepared = [split_qa.prepare(text, name=text) for text in ("Ada wrote it.", "The river is long.")]
    answers = split_qa(question=WHO, prepared=prepared, top_k=1000, handle_impossible_answer=True)
    assert len(answers) > 10
    (null,) = (one for one in answers if not one["answer"])
    assert (null["passage"], null["document"], null["start"], null["end"]) == (None, None, 0, 0)


# How much is read


def test_more_blocks_than_a_window_holds_are_read_in_several_that_overlap(split_qa, article):
    prepared = split_qa.prepare(article)
    most = split_qa.bundle.manifest.split.window_blocks
    assert len(prepared) > 3 * most
    every = split_qa(question=WHO, prepared=prepared, max_blocks=10**6, return_stats=True, return_skim=True, top_k=2)
    for answer in every:
        check_place(answer, article)
    assert every[0]["stats"]["windows"] == -(-(len(prepared) - 2) // (most - 2))
    assert 0.3 < every[0]["stats"]["kept_share"] <= 2 / 3  # of three layers, one is prepared
    assert {one["layer"] for one in every[0]["skipped"]} == {1}
    few = split_qa(question=WHO, prepared=prepared, max_blocks=1, return_stats=True, return_skim=True)
    check_place(few, article)
    assert few["stats"]["windows"] == 1
    assert few["stats"]["kept_share"] <= 3 * 2 / 3 / len(prepared)
    read = len(article) - sum(one["end"] - one["start"] for one in few["skipped"] if one["layer"] == 0)
    assert 0 < read < 3 * 32 * 12
    with pytest.raises(InputError, match="more than max_windows 2"):
        split_qa(question=WHO, prepared=prepared, max_blocks=10**6, max_windows=2)


def test_what_was_prepared_for_one_question_counts_among_its_work(split_qa, drawn):
    q = drawn[0]
    before = split_qa(question=q.question, prepared=split_qa.prepare(q.context), return_stats=True)["stats"]
    now = split_qa(question=q.question, context=q.context, return_stats=True)["stats"]
    assert now["kept_share"] == pytest.approx(before["kept_share"] + 1 / 3)
    dense = QAPipeline(split_qa.bundle, threshold=0)
    assert dense(question=q.question, context=q.context * 20, max_blocks=9999, return_stats=True)["stats"][
        "kept_share"
    ] == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["", "Ada wrote it. ", "\x00", "שלום ", "中 文", "\ud800", "word " * 90]), max_size=9),
       st.integers(1, 40), st.booleans())  # fmt: skip
def test_what_was_skimmed_are_ranges_of_the_text_in_order(split_qa, pieces, max_blocks, impossible):
    text = "".join(pieces)
    if not text.strip("\x00\ud800"):
        with pytest.raises(InputError, match="`document` cannot be empty"):
            split_qa.prepare(text)
        return
    prepared = split_qa.prepare(text)
    answer = split_qa(question=WHO, prepared=prepared, max_blocks=max_blocks, handle_impossible_answer=impossible,
                      return_skim=True)  # fmt: skip
    check_place(answer, text)
    place = 0
    for one in answer["skipped"]:
        assert place <= one["start"] < one["end"] <= len(text)
        place = one["end"]
    assert np.isfinite(answer["score"])


# What is refused


def test_nothing_to_prepare_and_what_is_no_text_are_refused(split_qa):
    for arguments, message in [
        ({"document": " \n"}, "`document` cannot be empty: it has no words"),
        ({"document": ""}, "`document` cannot be empty"),
        ({"document": 5}, "`document` must be a string, got int"),
        ({}, "Pass either a document"),
        ({"document": "a", "passages": ["b"]}, "Pass either a document"),
        ({"passages": []}, "`passages` cannot be empty"),
        ({"passages": ["", " "]}, "`passages` cannot be empty: none of them has words"),
        ({"passages": "text"}, "One text is a document"),
        ({"passages": {"text": "a"}}, "One text is a document"),
        ({"passages": 5}, "`passages` must be a list"),
        ({"passages": ["a", 5]}, "Passage 1 must be a string"),
        ({"document": "a", "name": 5}, "`name` must be a string, got int"),
    ]:
        with pytest.raises(InputError, match=message):
            split_qa.prepare(**arguments)
    with pytest.raises(InputError, match="`context` cannot be empty"):
        split_qa(question=WHO, context=" \n")


def test_a_question_that_is_too_long_or_empty_is_refused_and_costs_no_other_its_answer(split_qa, drawn):
    prepared = split_qa.prepare(drawn[0].context)
    good = split_qa(question=drawn[0].question, prepared=prepared)
    long = "who " * 400
    with pytest.raises(InputError, match=r"The question has 402 tokens; this model takes 384\. Shorten it"):
        split_qa(question=long, prepared=prepared)
    with pytest.raises(InputError, match=r"Question 1: The question has 402 tokens"):
        split_qa(question=[drawn[0].question, long], prepared=prepared)
    with pytest.raises(InputError, match="`question` cannot be empty"):
        split_qa(question="\u200b", prepared=prepared)
    found = split_qa(question=[long, drawn[0].question, "", 5, "\u200b"], prepared=prepared, on_error="return")
    same([found[1]], [good])
    assert [type(one) for one in found] == [InputError, dict, InputError, InputError, InputError]
    longest = split_qa(question="who " * 382, prepared=prepared)
    check_place(longest, drawn[0].context)


def test_what_is_not_prepared_is_refused(split_qa):
    prepared = split_qa.prepare("Ada wrote it in 1843.")
    for wrong in ("text", 5, [prepared, "text"], {"a": 1}, iter([prepared])):
        with pytest.raises(InputError, match="`prepared` must be what `prepare` returns"):
            split_qa(question=WHO, prepared=wrong)
    with pytest.raises(InputError, match="`prepared` cannot be empty"):
        split_qa(question=WHO, prepared=[])
    with pytest.raises(InputError, match="pass only question="):
        split_qa(question=WHO, context="Ada.", prepared=prepared)
    with pytest.raises(InputError, match="`prepared` needs question="):
        split_qa(prepared=prepared)
    prepared.identity = "another"
    with pytest.raises(InputError, match="made by another model"):
        split_qa(question=WHO, prepared=prepared)


def test_a_model_that_is_not_split_prepares_nothing(tiny_bundle, split_qa):
    joint = QAPipeline(tiny_bundle("bert"))
    prepared = split_qa.prepare("Ada wrote it in 1843.")
    for call in (lambda: joint.prepare("Ada."), lambda: joint(question=WHO, prepared=prepared), joint.split_answerer):
        with pytest.raises(BundleError, match="is not split: it reads question and passage together"):
            call()


def test_a_prepared_is_shown_in_a_line(split_qa):
    assert repr(split_qa.prepare(passages=["Ada."] * 3)) == "Prepared(3 passages, 3 blocks, 0.0 MB)"

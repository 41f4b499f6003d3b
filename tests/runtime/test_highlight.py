"""Pruning of retrieved text, on the trained model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError

QUESTION = "Who wrote the first program?"
PASSAGES = [
    "The river is long. Boats pass on it every day. Its water is cold in winter, and there is much fish in it.",
    {"title": "Ada Lovelace", "text": "Ada Lovelace wrote the first program in 1843. She lived in London."},
    "",
    "Bread is made of flour, water and salt. It is baked in an oven.",
]


@pytest.fixture(scope="module")
def qa(minilm_bundle):
    return QAPipeline(minilm_bundle, threshold=0.001)


def test_the_sentence_with_the_answer_is_kept_and_others_are_cut(qa):
    found = qa.highlight(QUESTION, PASSAGES)
    assert [one["index"] for one in found["passages"]] == [0, 1, 2, 3]
    best = max(found["passages"], key=lambda one: one["score"])
    assert best["index"] == 1
    assert "Ada Lovelace wrote the first program in 1843." in best["text"]
    empty = found["passages"][2]
    assert empty == {"index": 2, "score": 0.0, "text": "", "compression": 0.0, "sentences": []}
    assert 0 < found["compression"] <= 1


def test_ranges_texts_and_shares_fit_each_other(qa):
    texts = [one if isinstance(one, str) else one["text"] for one in PASSAGES]
    found = qa.highlight(QUESTION, PASSAGES, threshold=0.01)
    for text, one in zip(texts, found["passages"], strict=True):
        kept = [text[s["start"] : s["end"]] for s in one["sentences"] if s["kept"]]
        assert one["text"].split() == " ".join(kept).split()
        assert all(s["kept"] == (s["probability"] >= 0.01) for s in one["sentences"])
        assert one["score"] == max((s["probability"] for s in one["sentences"]), default=0.0)
        assert one["compression"] == pytest.approx(1 - len(one["text"]) / len(text) if text else 0.0)
    whole = sum(map(len, texts))
    assert found["compression"] == pytest.approx(1 - sum(len(o["text"]) for o in found["passages"]) / whole)


def test_what_is_not_cut_keeps_its_white_space(qa):
    text = "One  is here.\n\nTwo is here.  Three is here."
    (one,) = qa.highlight("What is here?", [text], threshold=0.0)["passages"]
    assert one["text"] == text
    assert one["compression"] == 0


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_at_least_the_wanted_share_is_kept_and_the_best_of_it(qa, keep):
    found = qa.highlight(QUESTION, PASSAGES, keep=keep)
    sentences = [s for one in found["passages"] for s in one["sentences"]]
    length = {k: sum(s["end"] - s["start"] for s in sentences if s["kept"] == k) for k in (True, False)}
    assert length[True] >= keep * sum(length.values())
    kept = [s["probability"] for s in sentences if s["kept"]]
    cut = [s["probability"] for s in sentences if not s["kept"]]
    assert min(kept, default=1.0) >= max(cut, default=0.0)
    if kept and keep < 1:  # without the least sure of them it would be too little
        least = [s for s in sentences if s["kept"] and s["probability"] == min(kept)]
        assert length[True] - sum(s["end"] - s["start"] for s in least) < keep * sum(length.values())
    assert bool(kept) == (keep > 0)


def test_a_passage_is_judged_the_same_in_any_batch(minilm_bundle, squad):
    contexts = list(dict.fromkeys(q.context for q in sample(squad, 12, seed=2)))
    found = [
        QAPipeline(minilm_bundle, threshold=0.05, batch_size=size).highlight(QUESTION, contexts) for size in (1, 5, 8)
    ]
    for other in found[1:]:
        for a, b in zip(found[0]["passages"], other["passages"], strict=True):
            np.testing.assert_allclose(
                [s["probability"] for s in a["sentences"]], [s["probability"] for s in b["sentences"]], atol=1e-4
            )


def test_a_passage_that_shares_its_block_with_the_question_is_judged_too(qa):
    """That block is never dropped, so that nothing would judge it otherwise."""
    found = qa.highlight(QUESTION, ["Bread is baked.", "Ada Lovelace wrote the first program."])["passages"]
    assert all(0 < one["score"] < 1 for one in found)
    assert found[1]["score"] > found[0]["score"] + 0.2


def test_passages_of_several_windows_are_judged_as_a_whole(qa):
    text = " ".join(["The river is long and cold."] * 150) + " Ada Lovelace wrote the first program in 1843."
    (one,) = qa.highlight(QUESTION, [text])["passages"]
    assert "Ada Lovelace wrote the first program in 1843." in one["text"]
    assert len(one["sentences"]) == 151
    assert one["compression"] > 0.5


PIECES = [
    "word",
    " ",
    "3.5",
    "U.S.",
    ". ",
    "! ",
    "\n\n",
    "。",
    "؟ ",
    "é",
    "\x00",
    "\ud800",
    "\U0001f600",
    "中文",
    "שלום",
    "\t",
]
PASSAGE = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_any_passages_give_valid_ranges_or_one_clear_error(tiny_qa, count):
    @settings(max_examples=count, deadline=None)
    @given(st.lists(PASSAGE, min_size=1, max_size=4), st.floats(0, 1), st.booleans())
    def check(passages, value, by_share):
        try:
            found = tiny_qa.highlight("who is it", passages, **{"keep" if by_share else "threshold": value})
        except InputError as refused:
            if "`passages` cannot be empty" not in str(refused):
                raise
            return
        assert len(found["passages"]) == len(passages)
        for text, one in zip(passages, found["passages"], strict=True):
            place = 0
            for s in one["sentences"]:
                assert place <= s["start"] < s["end"] <= len(text)
                assert 0 <= s["probability"] <= 1
                place = s["end"]

    check()


@pytest.fixture(scope="module")
def tiny_qa(tiny_bundle):
    return QAPipeline(tiny_bundle("bert", (0, 1, 2), "question"))


@pytest.mark.parametrize(("arguments", "message"), [
    ({"passages": []}, "cannot be empty"), ({"passages": ["", " "]}, "cannot be empty"),
    ({"passages": "text"}, "must be a list of strings or dicts, got str"),
    ({"passages": ["a", 5]}, "Passage 1 must be a string"), ({"passages": [{"title": "a"}]}, "Passage 0 must be"),
    ({"passages": ["a"], "threshold": 2}, "from 0"), ({"passages": ["a"], "keep": -1}, "from 0"),
    ({"passages": ["a"], "keep": 0.5, "threshold": 0.5}, "not both"),
    ({"passages": ["a"], "question": ""}, "`question` cannot be empty"),
    ({"passages": ["a"], "question": ["Who?", "Where?"]}, "one question"),
    ({"passages": [["a"]], "question": ["Who?"]}, "one question"),
])  # fmt: skip
def test_what_cannot_be_highlighted_is_refused(qa, arguments, message):
    with pytest.raises(InputError, match=message):
        qa.highlight(**{"question": QUESTION, **arguments})


def test_a_bundle_without_predictors_judges_nothing(tiny_bundle, minilm_bundle):
    for pipeline in (QAPipeline(tiny_bundle("bert", ())), QAPipeline(minilm_bundle, threshold=0)):
        with pytest.raises(BundleError, match="no skim predictors, or all of its thresholds are 0"):
            pipeline.highlight(QUESTION, PASSAGES)


def test_process_takes_and_gives_what_its_peers_do(qa):
    text = "The river is long. Ada Lovelace wrote the first program in 1843."
    found = qa.process(QUESTION, text, threshold=0.01)
    assert set(found) == {"pruned_context", "reranking_score", "compression_rate"}
    assert "Ada Lovelace" in found["pruned_context"]
    assert 0 <= found["compression_rate"] <= 100
    whole = qa.process(QUESTION, [text, "Bread is baked."], return_sentence_metrics=True, return_sentence_texts=True)
    assert {len(values) for values in whole.values()} == {2}
    assert [len(p) for p in whole["sentence_probabilities"]] == [2, 1]
    assert sorted(whole["kept_sentences"][0] + whole["removed_sentences"][0]) == sorted(
        ["The river is long.", "Ada Lovelace wrote the first program in 1843."]
    )
    titled = qa.process(QUESTION, "Bread is baked.", title="Bread", threshold=1.0, always_select_title=True)
    assert titled["pruned_context"] == "Bread"
    assert qa.process(QUESTION, "Bread is baked.", title="Bread", threshold=1.0)["pruned_context"] == ""

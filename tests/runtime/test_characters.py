"""Edges of answers: what a reader would call the answer, whatever the tokenizer's offsets say."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from bskim_export.bundle.manifest import Model
from bskim_export.runtime.characters import Characters
from bskim_export.runtime.windows import WindowMaker

MODEL = Model(
    family="roberta", source="made up", num_layers=1, hidden_size=8, intermediate_size=8, num_heads=1, head_size=8,
    embedding_size=8, type_vocab_size=1, block_size=8, max_seq_len=64, pad_token_id=1, cls_token_id=0,
    predictor="diagonal", predictor_macs=0, predictor_question_macs=0, position_offset=2, pad_position=1,
)  # fmt: skip
SENTENCE = "The letter was sent by Mira Holt from Utrecht in 1921."


def byte_level(before=(), behind=(), trim=False, text=SENTENCE) -> WindowMaker:
    """Return a maker of windows with a byte-level tokenizer that knows the words of a text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*before, pre_tokenizers.ByteLevel(add_prefix_space=bool(before)), *behind]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, show_progress=False, initial_alphabet=alphabet, special_tokens=["<s>", "<pad>", "</s>", "<unk>"]
    )
    tokenizer.train_from_iterator([text] * 50, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim, bool(before))
    return WindowMaker(tokenizer, MODEL)


def answers(maker, context, align=True, longest=3):
    """Return the texts of all spans of up to so many tokens, of all windows."""
    characters = Characters(context)
    found = []
    for window in maker("Where?", context, 64, 8):
        edges = np.flatnonzero(characters.edges(window)).tolist()
        for first in edges:
            for last in edges:
                if first <= last < first + longest:
                    start, end = characters.span(window, first, last, align)
                    found.append(context[start:end])
    assert found
    return found


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("context", [
    SENTENCE, "The letter  was   sent\n\nby\tMira Holt .", "Mira\u00a0Holt from\u202fUtrecht\u3000.", "\n\n Mira \n",
])  # fmt: skip
def test_no_answer_is_blank_or_has_white_space_at_its_edges(context, align):
    for answer in answers(byte_level(), context, align):
        assert answer.strip() == answer != ""


def test_tokens_of_white_space_alone_are_no_edges():
    window = byte_level()("Where?", "\n\n\nMira", 64, 8)[0]
    edges = np.flatnonzero(Characters("\n\n\nMira").edges(window))
    assert "".join("\n\n\nMira"[slice(*window.ranges[i])] for i in edges) == "Mira"


@pytest.mark.parametrize("align", [True, False])
def test_first_letters_that_no_token_has_belong_to_the_answer(align):
    # As RobBERT has it: offsets begin one letter late, that of the first word of a passage included.
    maker = byte_level([pre_tokenizers.Whitespace()], [pre_tokenizers.Punctuation()], trim=True)
    window = maker("Where?", SENTENCE, 64, 8)[0]
    starts = set(window.offsets[:, 0].tolist())
    assert SENTENCE.index("trecht") in starts
    assert SENTENCE.index("Utrecht") not in starts  # else this test would test nothing
    words = SENTENCE.replace(".", " .").split()
    firsts = {answer.split()[0].rstrip(".") or "." for answer in answers(maker, SENTENCE, align)}
    assert firsts <= set(words)
    assert {"The", "Utrecht", "Mira"} <= firsts


def test_a_word_of_one_letter_that_its_token_lost_can_be_an_answer():
    context = "Plan B is by X."
    maker = byte_level([pre_tokenizers.Whitespace()], [pre_tokenizers.Punctuation()], trim=True, text=context)
    window = maker("Where?", context, 64, 8)[0]
    assert any(start == end for start, end in window.offsets.tolist())
    assert {"B", "X"} <= set(answers(maker, context, longest=1))


def test_a_later_window_takes_in_nothing_that_its_neighbour_has():
    context = "x" * 400
    for window in byte_level(text="ab")("Where?", context, 32, 0)[1:]:
        first = int(np.flatnonzero(window.is_passage)[0])
        start, _ = Characters(context).span(window, first, first, False)
        assert start == window.ranges[first, 0]


@pytest.mark.parametrize(
    ("context", "start", "end", "expected"),
    [
        (unicodedata.normalize("NFD", "von José."), 4, 8, unicodedata.normalize("NFD", "José")),
        ("The \u2764\ufe0f sign", 4, 5, "\u2764\ufe0f"),
        ("the \U0001f469\u200d\U0001f4bb works", 4, 5, "\U0001f469\u200d\U0001f4bb"),
        ("the \U0001f469\u200d\U0001f4bb works", 6, 7, "\U0001f469\u200d\U0001f4bb"),
        ("a \U0001f44d\U0001f3fd b", 2, 3, "\U0001f44d\U0001f3fd"),
        ("in कि है", 3, 4, "कि"),
        ("e\u0301cole", 1, 6, "e\u0301cole"),
        ("\u0301a", 0, 2, "\u0301a"),
        (" Mira\u200f ", 0, 7, "Mira"),
        ("Mira \u200b", 0, 6, "Mira"),
        ("ab\u200d cd", 0, 2, "ab"),
    ],
)
def test_a_letter_and_its_marks_stay_together(context, start, end, expected):
    begin, finish = Characters(context).trim(start, end)
    assert context[begin:finish] == expected


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from("ab \n\t\u00a0\u200b\u0301\u0903\ufe0f\u200d\u2764é中.\U0001f469"), min_size=1, max_size=60)
)
def test_every_edge_of_any_text_gives_a_range_that_can_be_seen(context):
    maker = MAKER
    characters = Characters(context)
    windows = []
    if context.strip():
        windows = maker("Where?", context, 64, 8)
    for window in windows:
        for i in np.flatnonzero(characters.edges(window)).tolist():
            start, end = characters.span(window, i, i, False)
            assert 0 <= start < end <= len(context)
            answer = context[start:end]
            assert answer.strip() == answer
            assert end == len(context) or unicodedata.category(context[end])[0] != "M"


MAKER = byte_level()

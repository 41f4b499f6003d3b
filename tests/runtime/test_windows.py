from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.data.question import sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError
from bskim_export.runtime.windows import WindowMaker

QUESTIONS = sample(load_squad(), 40, seed=9)


@pytest.fixture(scope="module", params=["bert", "roberta"])
def maker(request, tiny):
    from tokenizers import Tokenizer

    checkpoint = tiny(request.param)
    return WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(QUESTIONS), st.integers(64, 384), st.integers(0, 200))
def test_windows_cover_the_passage_and_fit(maker, question, max_seq_len, doc_stride):
    windows = maker(question.question, question.context, max_seq_len, doc_stride)
    covered = np.zeros(len(question.context), bool)
    for window in windows:
        assert window.length <= max_seq_len
        assert len(window.input_ids) % 32 == 0
        assert len(window.input_ids) - window.length < 32
        assert not window.is_passage[: window.question_length].any()
        assert window.is_passage[window.question_length]
        assert 32 * (window.question_blocks - 1) < window.question_length <= 32 * window.question_blocks
        for start, end in window.offsets.tolist():
            covered[start:end] = True
    assert all(covered[i] for i, c in enumerate(question.context) if c.isascii() and c.isalnum())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(QUESTIONS), st.integers(64, 160), st.integers(0, 80))
def test_what_shares_a_block_with_the_question_is_in_the_window_before_or_is_judged_before_a_window_leaves(
    maker, question, max_seq_len, doc_stride
):
    windows = maker(question.question, question.context, max_seq_len, doc_stride)
    for before, window in pairwise(windows):
        beside = letters(window, question.context, slice(0, 32 * window.question_blocks))
        assert window.may_leave
        assert beside <= letters(before, question.context, slice(None)) or window.judge_shared
    first = windows[0]
    aligned = first.question_length % 32 == 0
    assert first.judge_shared == (not aligned and len(windows) > 1)
    assert first.may_leave == (aligned or len(windows) > 1)
    assert first.unjudged_blocks == first.question_length // 32 + (not aligned and len(windows) == 1)


def test_the_only_window_of_one_of_several_contexts_may_leave(maker):
    (alone,) = maker("Who?", "Ada wrote it.", 64, 16)
    assert not alone.may_leave
    assert not alone.judge_shared
    (one_of_some,) = maker("Who?", "Ada wrote it.", 64, 16, alone=False)
    assert one_of_some.may_leave
    assert one_of_some.judge_shared


def letters(window, context, places) -> set[int]:
    """Return the offsets of the visible characters that a window's tokens hold."""
    return {c for span in window.ranges[places].tolist() for c in range(*span) if not context[c].isspace()}


def test_padding_and_positions_are_what_hugging_face_would_use(tiny):
    from tokenizers import Tokenizer

    for family, pad, first, pad_position in (("bert", 0, 0, None), ("roberta", 1, 2, 1)):
        maker = WindowMaker(Tokenizer.from_str(tiny(family).tokenizer), tiny(family).describe())
        (window,) = maker("Who is it?", "It is Ada.", 384, 128)
        rest = slice(window.length, None)
        assert (window.input_ids[rest] == pad).all()
        assert window.position_ids[: window.length].tolist() == list(range(first, first + window.length))
        if pad_position is not None:
            assert (window.position_ids[rest] == pad_position).all()


def test_a_question_that_fills_the_window_is_refused_with_numbers(maker):
    with pytest.raises(InputError, match=r"no room for the passage in a window of 64\. Shorten the question"):
        maker("how " * 70, "It is Ada.", 64, 16)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 400))
def test_every_window_but_the_last_brings_at_least_half_of_its_room(maker, question_tokens, doc_stride):
    question = "who " * question_tokens
    windows = maker(question, " ".join(["word"] * 1500), 384, doc_stride)
    room = 384 - windows[0].question_length - 1
    new = [int(w.is_passage.sum()) for w in windows]
    shared = [len(set(own(a)) & set(own(b))) for a, b in pairwise(windows)]
    assert all(s == min(doc_stride, room // 2) for s in shared)
    assert len(windows) <= 1 + -(-(sum(new) - sum(shared)) // (room - room // 2))


def own(window) -> list[int]:
    """Return where a window's passage tokens end; where they begin may be off in a later window of byte-level ones."""
    return window.offsets[:, 1].tolist()


def test_more_windows_than_allowed_are_refused_with_what_to_change(maker):
    assert len(maker("who?", "word " * 1000, 128, 32, max_windows=30)) <= 30
    with pytest.raises(
        InputError, match=r"makes \d+ windows, more than max_windows 5\. Raise max_windows, raise max_seq"
    ):
        maker("who?", "word " * 1000, 128, 32, max_windows=5)


def test_a_stride_that_the_question_leaves_no_room_for_is_shortened(maker):
    windows = maker("how " * 20, "word " * 100, 64, 60)
    assert len(windows) > 1
    assert windows[0].length == 64

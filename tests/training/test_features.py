import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.features import NO_LABEL, Collator, make_features


@pytest.fixture(scope="module")
def maker(tiny) -> WindowMaker:
    return WindowMaker(Tokenizer.from_str(tiny().tokenizer), tiny().describe())


def text(maker, feature) -> str:
    return maker.tokenizer.decode(feature.input_ids[feature.start : feature.end + 1].tolist())


def test_starts_and_ends_are_those_of_the_answer(maker, squad):
    right = 0
    for question in sample(squad, 50, seed=3):
        (found, *_) = [text(maker, f) for f in make_features([question], maker, 384, 128) if f.start] or [""]
        right += found.replace(" ", "") == question.answers[0].lower().replace(" ", "")
    assert right >= 45  # the rest has characters that the tokenizer normalises away


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 400), st.sampled_from([64, 128, 192]))
def test_a_block_is_positive_exactly_if_it_holds_a_token_of_an_answer(maker, place, max_seq_len):
    question = load_squad()[place * 26]
    windows = maker(question.question, question.context, max_seq_len, 32)
    for window, feature in zip(windows, make_features([question], maker, max_seq_len, 32), strict=True):
        assert (feature.block_labels[: window.question_blocks] == NO_LABEL).all()
        for block in range(window.question_blocks, len(feature.block_labels)):
            inside = False
            for token in range(block * 32, min((block + 1) * 32, window.length)):
                if window.encoding.sequence_ids[token] == 1:
                    first, last = window.encoding.offsets[token]
                    inside |= any(
                        first < s + len(a) and last > s for s, a in zip(question.starts, question.answers, strict=True)
                    )
            assert feature.block_labels[block] == inside


def test_a_one_token_answer_has_a_positive_block(maker):
    """The paper's released code labels a block positive only with more than one answer token."""
    context = "word " * 60 + "Paris " + "word " * 60
    question = Question("1", "Where?", context, ("Paris",), (300,))
    (feature,) = make_features([question], maker, 384, 128)
    assert (feature.block_labels == 1).sum() == 1
    assert feature.start == feature.end > 0


def test_a_window_without_the_whole_answer_points_to_cls(maker):
    context = "word " * 300 + "Paris"
    features = make_features([Question("1", "Where?", context, ("Paris",), (1500,))], maker, 128, 32)
    assert [bool(f.start) for f in features] == [False] * (len(features) - 1) + [True]
    unanswerable = make_features([Question("2", "Where?", context, (), ())], maker, 128, 32)
    assert not any(f.start or (f.block_labels == 1).any() for f in unanswerable)


def test_evidence_adds_the_blocks_of_supporting_facts(maker):
    context = "word " * 300
    question = Question("1", "Where?", context, ("word",), (0,), supporting=((1000, 1010),))
    (plain,), (evidence,) = (make_features([question], maker, 384, 128, evidence=e) for e in (False, True))
    assert (evidence.block_labels == 1).sum() == (plain.block_labels == 1).sum() + 1


def test_questions_that_fill_the_window_are_left_out_unless_nothing_remains(maker):
    long, short = Question("1", "why " * 200, "because", ("because",), (0,)), Question("2", "Why?", "ah", ("ah",), (0,))
    assert len(make_features([long, short], maker, 64, 16)) == 1
    with pytest.raises(InputError, match="No window can be made of 1 questions"):
        make_features([long], maker, 64, 16)


def test_a_batch_is_padded_to_whole_blocks_of_its_longest(maker, squad):
    features = make_features(sample(squad, 6, seed=4), maker, 384, 128)
    batch = Collator(32, 9)(features)
    longest = max(len(f.block_labels) for f in features)
    assert batch["input_ids"].shape == (len(features), 32 * longest)
    for row, feature in enumerate(features):
        n = len(feature)
        assert batch["attention_mask"][row].sum() == n
        assert batch["question_mask"][row].sum() == feature.question_length
        assert (batch["input_ids"][row, n:] == 9).all()
        assert torch.equal(batch["input_ids"][row, :n], torch.from_numpy(feature.input_ids.astype(np.int64)))
        assert (batch["block_labels"][row, len(feature.block_labels) :] == NO_LABEL).all()

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from bskim_export.data.notes import Notes
from bskim_export.data.placing import place_answers
from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad
from bskim_export.data.visible import visible_range
from bskim_export.errors import InputError
from bskim_export.runtime.token_ranges import token_ranges
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.features import NO_LABEL, Collator, label_windows, make_features


@pytest.fixture(scope="module")
def maker(tiny) -> WindowMaker:
    return WindowMaker(Tokenizer.from_str(tiny().tokenizer), tiny().describe())


@pytest.fixture(scope="module")
def gappy() -> Tokenizer:
    """Like RobBERT's: the first letter of every word is in no token's offsets, and a word of one letter has none."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), byte_level, pre_tokenizers.Punctuation()]
    )
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, show_progress=False, initial_alphabet=alphabet, special_tokens=special
    )
    tokenizer.train_from_iterator(["The letter was sent by Mira Holt in May. It has 5 doors. A letter."] * 9, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    return tokenizer


@pytest.fixture(scope="module")
def makers(tiny, tokenizers, gappy) -> list[WindowMaker]:
    """One of each kind of tokenizer: WordPiece, byte-level BPE, Unigram, and one with gaps."""
    texts = [tokenizers["bert"], tokenizers["roberta"], tokenizers["albert"], gappy.to_str()]
    return [WindowMaker(Tokenizer.from_str(text), tiny("roberta").describe()) for text in texts]


def text(maker, feature) -> str:
    return maker.tokenizer.decode(feature.input_ids[feature.start : feature.end + 1].tolist())


def test_starts_and_ends_are_those_of_the_answer(maker, squad):
    right = 0
    for question in sample(squad, 50, seed=3):
        (found, *_) = [text(maker, f) for f in make_features([question], maker, 384, 128) if f.start] or [""]
        right += found.replace(" ", "") == question.answers[0].lower().replace(" ", "")
    assert right >= 45  # the rest has characters that the tokenizer normalises away


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 400), st.sampled_from([64, 128, 192]))
def test_a_block_is_positive_exactly_if_it_holds_a_passage_token_of_an_answer(maker, place, max_seq_len):
    question = load_squad()[place * 26]
    windows = maker(question.question, question.context, max_seq_len, 32)
    for window, feature in zip(windows, make_features([question], maker, max_seq_len, 32), strict=True):
        asked = window.question_length // 32
        assert (feature.block_labels[:asked] == NO_LABEL).all()
        for block in range(asked, len(feature.block_labels)):
            inside = False
            for token in range(block * 32, min((block + 1) * 32, window.length)):
                if window.is_passage[token]:
                    first, last = window.ranges[token]
                    inside |= any(
                        first < s + len(a) and last > s for s, a in zip(question.starts, question.answers, strict=True)
                    )
            assert feature.block_labels[block] == inside


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("Repaired by Mira Holt in May.", "Mira Holt "),
        ("Repaired by Mira Holt in May.", " Mira Holt"),
        ("Repaired by:\nMira Holt\nin May.", "\nMira Holt\n"),
        ("Repaired by\u00a0Mira Holt\u3000in May.", "\u00a0Mira Holt\u3000"),
        ("Repaired by Mira\u200c in May.", "Mira\u200c"),
        ("\ufeffMira Holt repaired it.", "\ufeffMira Holt"),
        ("The owner is \u200fMira\u200f of Haifa.", "\u200fMira\u200f"),
        ("It was repaired by Jose\u0301 in May.", "Jose\u0301"),
        ("It was repaired by Jose\u0301", "Jose\u0301"),
        ("The sign ❤\ufe0f means love.", "❤\ufe0f"),
        ("They run a co\u00adop\u00ad in May.", "co\u00adop\u00ad"),
        ("It was Mira\x00 in May.", "Mira\x00"),
        ("It has 5 doors.", "5"),  # in no token's offsets where the tokenizer has gaps
        ("A letter.", "A"),
        ("በላሊበላ ዐቢይ አሕመድ፡፡", " አሕመድ፡፡"),
        ("是由光荣和开发的", "光荣"),
    ],
)
def test_what_nobody_sees_at_an_answers_edge_does_not_matter(makers, context, answer):
    """Both as the reader gives the question, and as a program may make it."""
    start = context.index(answer)
    draft = Question("1", "Who or what?", context, (answer,), (start,))
    for maker in makers:
        for question in (draft, place_answers(draft, "here", Notes())):
            (feature,) = make_features([question], maker, 384, 128)
            tokens = np.arange(feature.start, feature.end + 1)
            assert feature.start > 0
            offsets = token_ranges(maker(question.question, context, 384, 128), context)[0][tokens]
            visible = visible_range(answer)
            # The label's tokens are about the answer and nothing else: each of them overlaps its visible part.
            offsets = offsets[offsets[:, 0] < offsets[:, 1]]  # the tokenizer with gaps puts empty ones in between
            assert len(offsets)
            assert (offsets[:, 0] < start + visible[1]).all()
            assert (offsets[:, 1] > start + visible[0]).all()


PIECES = st.sampled_from(
    [
        "Mira",
        "Holt",
        "Jose\u0301",
        "5",
        "A",
        "co\u00adop",
        "光荣",
        "x" * 40,
        ",",
        "❤\ufe0f",
        "አሕመድ",
        "the",
        "\u05d0\u05b7",
    ]
)
BLANKS = st.text(" \n\u00a0\u200c\ufeff\u200f", max_size=2)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PIECES, BLANKS), min_size=1, max_size=60), st.data(), st.sampled_from([40, 64, 384]))
def test_an_answer_that_a_window_can_hold_is_labelled(makers, pieces, data, max_seq_len):
    """Whatever stands around it: an answer that is no longer than what windows share is whole in one of them."""
    first = data.draw(st.integers(0, len(pieces) - 1))
    last = data.draw(st.integers(first, len(pieces) - 1))
    head = "".join(piece + " " + blank for piece, blank in pieces[:first])
    answer = "".join(piece + " " + blank for piece, blank in pieces[first : last + 1])
    tail = "".join(piece + " " + blank for piece, blank in pieces[last + 1 :])
    question = Question("1", "Who?", head + answer + tail, (answer,), (len(head),))
    for maker in makers:
        length = len(maker.tokenizer.encode(answer, add_special_tokens=False)) + 2
        windows = maker(question.question, question.context, max_seq_len, 16)
        features = label_windows(windows, question, 32)
        if length <= 10:
            assert any(f.start for f in features)
        # A window has a label only if it holds the first and the last visible letter of the answer.
        ranges = token_ranges(windows, question.context)
        begin, end = visible_range(answer)
        letters = [len(head) + begin, len(head) + end - 1]
        for feature, own in zip(features, ranges, strict=True):
            if feature.start:
                held = own[feature.start : feature.end + 1]
                assert held[:, 0].min() <= letters[0]
                assert held[:, 1].max() >= letters[1] - 1  # or its accent, which the tokenizer takes off


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


def test_a_question_that_cannot_be_run_is_named(maker):
    long, short = Question("1", "why " * 200, "because", ("because",), (0,)), Question("2", "Why?", "ah", ("ah",), (0,))
    with pytest.raises(InputError, match="Question '1': The question has 200 tokens"):
        make_features([short, long], maker, 64, 16)


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

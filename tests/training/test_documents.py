from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torch.nn import functional as F

from bskim_export.data.question import Question, sample
from bskim_export.runtime.evidence import Candidate, Evidence, Pair
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.scoring import best_answers
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.documents import DocumentCollator, DocumentWindows, Sampling, likeness
from bskim_export.training.features import NO_LABEL, Collator
from bskim_export.training.objective import document_loss


@pytest.fixture(scope="module")
def maker(tiny):
    return WindowMaker(Tokenizer.from_str(tiny("bert").tokenizer), tiny("bert").describe())


@pytest.fixture(scope="module")
def questions(squad):
    return sample(squad, 30, seed=5)


def make(questions, maker, **changes):
    sampling = Sampling(**{"documents": 4, "windows": 2, "seed": 1, **changes})
    return DocumentWindows(questions, maker, RunOptions.of_length(128), sampling)


def test_every_window_with_the_answer_is_there_and_so_many_without(questions, maker):
    whole = make(questions, maker, windows=1000)
    some = make(questions, maker)
    none = make(questions, maker, windows=0)
    assert len(some) == 30
    counts = set()
    for i in range(30):
        with_answer = [f for f in whole[i] if f.start]
        assert with_answer
        assert [f.start for f in none[i]] == [f.start for f in with_answer]
        assert [f.start for f in some[i] if f.start] == [f.start for f in with_answer]
        counts.add(sum(not f.start for f in some[i]))
        assert sum(not f.start for f in some[i]) == min(2, sum(not f.start for f in whole[i]))
    assert 2 in counts


def test_windows_without_an_answer_have_blocks_to_refuse(questions, maker):
    positive = []
    for features in (make(questions, maker)[i] for i in range(30)):
        blocks = [f.block_labels[f.block_labels != NO_LABEL] for f in features if not f.start]
        # At most one of them has a part of the answer, which the next window has as a whole.
        assert sum(bool((labels == 1).any()) for labels in blocks) <= 2
        assert all((labels >= 0).all() for labels in blocks)
        positive.append(any((f.block_labels == 1).any() for f in features))
    assert all(positive)  # also an answer in the block that the question ends in


def test_a_quarter_of_the_questions_keep_to_their_own_passage_and_all_is_drawn_by_the_seed(questions, maker):
    draws = {seed: [len(make(questions, maker, windows=1000, seed=seed)[i]) for i in range(30)] for seed in (1, 2)}
    assert draws[1] != draws[2]
    assert draws[1] == [len(make(questions, maker, windows=1000)[i]) for i in range(30)]
    alone = [len(list(maker(q.question, q.context, 128, 64))) for q in questions]
    assert 2 <= sum(a == b for a, b in zip(draws[1], alone, strict=True)) <= 16


def test_some_questions_have_their_passages_cut_one_by_one(questions, maker):
    every = make(questions, maker, documents=6, windows=1000)
    found = 0
    for i, question in enumerate(questions):
        own = list(maker(question.question, question.context, 128, 64))
        lengths = [len(f) for f in every[i]]
        # The windows of its own passage are among them as they are alone; in a document they would be cut elsewhere.
        places = [j for j in range(len(lengths)) if lengths[j : j + len(own)] == [w.length for w in own]]
        same = [
            j
            for j in places
            if all((f.input_ids == w.input_ids[: w.length]).all() for f, w in zip(every[i][j:], own, strict=False))
        ]
        found += bool(same) and len(lengths) > len(own)
    assert 3 <= found <= 20


def test_half_of_the_windows_without_an_answer_are_those_most_like_the_question(questions, maker):
    whole = make(questions, maker, documents=12, windows=1000)
    some = make(questions, maker, documents=12, windows=4)
    further = 0
    for i in range(30):
        like = [value for f, value in zip(whole[i], likeness(whole[i]), strict=True) if not f.start]
        inputs = [tuple(f.input_ids) for f in whole[i] if not f.start]
        chosen = {tuple(f.input_ids) for f in some[i] if not f.start}
        best = sorted(range(len(like)), key=lambda j: -like[j])
        assert {inputs[j] for j in best[:2]} <= chosen
        further += not {inputs[j] for j in best[:4]} >= chosen
    assert further > 5  # the others are any


def test_a_window_is_like_a_question_whose_rare_words_it_has(maker):
    text = "Nothing of note. " * 30 + "A zebra ran. " + "Nothing of note. " * 30
    windows = DocumentWindows([], maker, RunOptions.of_length(128), Sampling(1, 1, 1))
    question = Question("q", "Where of note did the zebra go?", text, (), ())
    features = windows._cut(question)
    like = likeness(features)
    zebra = maker.tokenizer.token_to_id("zebra")
    first = maker.tokenizer.encode("zebra", add_special_tokens=False).ids[0] if zebra is None else zebra
    has = [first in f.input_ids[f.question_length :] for f in features]
    assert len(features) > 2
    assert any(has)
    assert min(v for v, h in zip(like, has, strict=True) if h) > max(v for v, h in zip(like, has, strict=True) if not h)


def test_other_paragraphs_come_from_those_that_were_not_drawn_too(squad, maker):
    drawn = [replace(q, title="") for q in squad[:400:80]]
    every = [replace(q, title="") for q in squad[:400]]
    options = RunOptions.of_length(128)
    alone = DocumentWindows(drawn, maker, options, Sampling(8, 1000, 1))
    among = DocumentWindows(drawn, maker, options, Sampling(8, 1000, 1), every)
    assert sum(len(among[i]) for i in range(5)) > sum(len(alone[i]) for i in range(5))


def test_a_batch_says_which_question_each_window_is_of(questions, maker):
    windows = make(questions, maker)
    some = [windows[i] for i in range(3)]
    batch = DocumentCollator(Collator(32, 0))(some)
    assert batch["group"].tolist() == [i for i, own in enumerate(some) for _ in own]
    assert len(batch["input_ids"]) == sum(map(len, some))


def test_for_one_window_it_is_the_cross_entropy_over_passage_and_cls():
    torch.manual_seed(0)
    logits = torch.randn(1, 40)
    passage = torch.arange(40)[None] >= 12
    for gold in (0, 12, 39):
        among = torch.cat([logits[:, :1], logits[:, 12:]], 1)
        usual = F.cross_entropy(among, torch.tensor([0 if gold == 0 else gold - 11]))
        ours = document_loss(logits, passage, torch.tensor([gold]), torch.tensor([0]))
        torch.testing.assert_close(ours, usual)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_it_trains_what_answers_are_scored_by(seed, sizes):
    """exp(-loss) is the score that the runtime gives to the answer."""
    draw = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    logits = draw.normal(0, 3, (len(group), 24)).astype(np.float32)
    passage = np.arange(24)[None] >= draw.integers(1, 12, (len(group), 1))
    gold = np.where(draw.random(len(group)) < 0.5, draw.integers(12, 24, len(group)), 0)
    expected = []
    for q in range(len(sizes)):
        evidence = []
        for row, own, place in zip(logits[group == q], passage[group == q], gold[group == q], strict=True):
            mass = float(np.logaddexp.reduce(row[own].astype(np.float64)))
            found = candidates_of(float(row[place]) if place else None)
            evidence.append(Evidence(found, Pair(mass, 0.0), Pair(float(row[0]), 100.0)))
        options = RunOptions(384, 128, 30, handle_impossible_answer=not any(e.candidates for e in evidence))
        expected.append(-np.log(best_answers(evidence, options)[0]["score"]))
    loss = document_loss(*(torch.from_numpy(x) for x in (logits, passage, gold, group)))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-4, abs=1e-5)


def candidates_of(start: float | None):
    """Return the answer of one window, whose end is certain: all of its probability is in its start."""
    # The end is normalised by itself; its null of 100 makes the rest vanish, and the end's own odds are 0.
    return [] if start is None else [Candidate(0, 0, 3, "Ada", Pair(start, 100.0))]


def test_an_answer_in_two_windows_may_be_found_in_either():
    logits = torch.zeros(2, 8)
    passage = torch.arange(8)[None].expand(2, -1) >= 3
    both = document_loss(logits, passage, torch.tensor([4, 5]), torch.tensor([0, 0]))
    one = document_loss(logits, passage, torch.tensor([4, 0]), torch.tensor([0, 0]))
    assert both.exp().item() == pytest.approx(11 / 2)
    assert one.exp().item() == pytest.approx(11)

from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from bskim_export.blocks import count_blocks
from bskim_export.runtime.prepared.passages import question_ids
from bskim_export.training.split_data import QUESTIONS, SLICE_BLOCKS, Part, PartCollator, SplitParts


@pytest.fixture(scope="module", params=["bert", "roberta"])
def family(request, tiny):
    """The tokenizer and the description of a random model."""
    checkpoint = tiny(request.param)
    return Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe()


@pytest.fixture(scope="module")
def questions(squad):
    """Those of the first two articles: some hundred paragraphs."""
    titles = list(dict.fromkeys(q.title for q in squad))[:2]
    return [q for q in squad if q.title in titles][:700]


@pytest.fixture(scope="module")
def parts(questions, family):
    return SplitParts(questions, *family, seed=1)


@pytest.fixture(scope="module")
def some(parts) -> list[Part]:
    return [parts[i] for i in range(0, len(parts), 3)]


def blocks_of(part: Part, size: int) -> np.ndarray:
    """Return the ids of a part's blocks, int64 [N, size], -1 for padding."""
    found = []
    for ids, kept in zip(part.sections, part.kept, strict=True):
        own = np.full((count_blocks(len(ids) - 1, size), size), -1)
        own.ravel()[: len(ids) - 1] = ids[1:]
        found.append(own[kept.start : kept.stop])
    return np.concatenate(found)


def test_every_question_stands_in_one_part(parts, questions, family):
    tokenizer, model = family
    met = [one.ids.tolist() for i in range(len(parts)) for one in parts[i].asked]
    assert sorted(met) == sorted(question_ids(tokenizer, q.question, model).tolist() for q in questions)
    assert all(1 <= len(parts[i].asked) <= QUESTIONS for i in range(len(parts)))


def test_the_blocks_of_a_part_are_each_kept_once_and_no_section_is_too_long(some, family):
    _, model = family
    for part in some:
        ids = blocks_of(part, model.block_size)
        assert len(ids) == len(part.real) == len(part.passage)
        assert np.array_equal(ids >= 0, part.real)
        assert all(ids[0] == model.cls_token_id for ids in part.sections)
        assert max(map(len, part.sections)) <= 1 + model.max_seq_len - model.block_size
        assert (np.diff(part.passage) >= 0).all()
    assert any(len(part.sections) > part.passage.max() + 1 for part in some)
    assert 0.5 * SLICE_BLOCKS < np.mean([len(part.real) for part in some]) < 2 * SLICE_BLOCKS


def test_the_tokens_of_an_answer_are_its_text(parts, questions, family):
    tokenizer, model = family
    answers = {tuple(question_ids(tokenizer, q.question, model)): q.answers for q in questions}
    exact = total = 0
    for part in (parts[i] for i in range(0, len(parts), 3)):
        ids = blocks_of(part, model.block_size).ravel()
        for one in part.asked:
            assert 0 <= one.start <= one.end
            found = letters(tokenizer, tokenizer.decode(ids[one.start : one.end + 1].tolist()))
            own = [letters(tokenizer, text) for text in answers[tuple(one.ids)]]
            assert any(text in found for text in own)
            exact += found in own
            total += 1
            positive = np.flatnonzero(one.positive)
            assert {one.start // model.block_size, one.end // model.block_size} <= set(positive)
            assert one.readable[positive].all()
    assert exact > 0.97 * total  # the others begin or end within a word


def letters(tokenizer: Tokenizer, text: str) -> str:
    """Return a text as a tokenizer keeps it, without spaces."""
    normalised = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    return "".join(normalised.split())


def test_a_teacher_reads_the_paragraph_of_the_part_as_its_tokenizer_writes_a_pair(parts, questions, family):
    tokenizer, model = family
    contexts = {tuple(question_ids(tokenizer, q.question, model)): q for q in questions}
    for part in (parts[i] for i in range(0, len(parts), 5)):
        ids = blocks_of(part, model.block_size).ravel()
        for one in part.asked:
            shared = one.teacher[one.offset : one.offset + one.count]
            assert np.array_equal(shared, ids[one.first : one.first + one.count])
            question = contexts[tuple(one.ids)]
            pair = tokenizer.encode(question.question, question.context).ids
            assert one.teacher[: one.offset].tolist() == pair[: one.offset]
            if model.family == "bert":  # a byte-level tokenizer writes the first word of a text in its own way
                assert one.teacher[:-1].tolist() == pair[:-1][: len(one.teacher) - 1]
            assert one.teacher[-1] == pair[-1]
            assert len(one.teacher) <= model.max_seq_len


def test_parts_repeat_themselves_and_depend_on_the_seed(parts, questions, family):
    again, other = (SplitParts(questions, *family, seed=seed) for seed in (1, 2))
    collate = PartCollator(family[1])
    first, second = (collate([one[3], one[0]]) for one in (parts, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [len(a.ids) for a in parts[0].asked] != [len(a.ids) for a in other[0].asked]


def test_some_paragraphs_are_prepared_apart_and_some_questions_read_theirs_alone(some):
    apart = [part for part in some if part.passage.max() > 0]
    assert 0 < len(apart) < len(some)
    alone = [one for part in apart for one in part.asked if not one.readable.all()]
    assert alone
    assert all(one.forced for one in alone)
    for part in apart:
        for one in part.asked:
            passages = set(part.passage[one.readable])
            assert len(passages) in (1, part.passage.max() + 1)
    assert all(one.readable.all() for part in some if part not in apart for one in part.asked)


def test_a_batch_numbers_the_blocks_of_its_parts_through(parts, family):
    _, model = family
    size = model.block_size
    own = [parts[0], parts[1]]
    batch = PartCollator(model)(own)
    blocks = batch["section_ids"][:, 1:].unflatten(1, (-1, size)).flatten(0, 1)[batch["kept"]]
    real = torch.from_numpy(np.concatenate([part.real for part in own]))
    assert torch.equal(batch["real"], real)
    expected = np.concatenate([blocks_of(part, size) for part in own])
    assert np.array_equal(np.where(expected < 0, model.pad_token_id, expected), blocks.numpy())
    assert (batch["section_mask"].sum(1) == torch.tensor([len(ids) for part in own for ids in part.sections])).all()

    # Each question knows its own part only, and its answer's tokens are those that it had there.
    first = len(own[0].real)
    count = len(own[0].asked)
    assert not batch["readable"][:count, first:].any()
    assert not batch["readable"][count:, :first].any()
    flat = blocks.flatten()
    for row, (one, base) in enumerate([(a, 0) for a in own[0].asked] + [(a, first * size) for a in own[1].asked]):
        assert batch["start"][row] == one.start + base
        assert batch["end"][row] == one.end + base
        place = int(batch["teacher_first"][row])
        begin, n = int(batch["teacher_offset"][row]), int(batch["teacher_count"][row])
        assert torch.equal(flat[place : place + n], batch["teacher_ids"][row, begin : begin + n])
        types = batch["teacher_types"][row]
        assert types.nonzero().flatten().tolist() == list(range(begin, len(one.teacher)))
    assert batch["passage"].tolist() == [*own[0].passage, *(own[1].passage + own[0].passage.max() + 1)]
    assert batch["question_ids"].shape[1] % size == 0
    assert batch["room"].tolist() == [part.room for part in own]


def test_a_question_without_an_answer_has_no_place(squad, family):
    impossible = [replace(q, answers=(), starts=()) for q in squad[:5]]
    part = SplitParts(impossible, *family, seed=1)[0]
    assert all((one.start, one.end, one.positive.any()) == (-1, -1, False) for one in part.asked)
    batch = PartCollator(family[1])([part, part])
    assert (batch["start"] == -1).all()

import copy
from dataclasses import replace

import pytest
import torch
from support import FAMILIES, SHAPE, make_model
from transformers import BertConfig

from bskim_export.errors import CheckpointError
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.split import ask, hidden_states, prepare, read, split_layer, upper_layers

SIZE = 32


def split_model(family: str = "bert", layer: int = 1, layers=(1,), predictor="question"):
    kind, extra = FAMILIES[family]
    model = make_model(kind(**SHAPE, **extra), (), predictor=predictor)
    model.split(layer, layers)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> BlockSkimForQuestionAnswering:
    return split_model()


def tokens(count: int, seed: int) -> torch.Tensor:
    return torch.randint(5, 1900, (1, count), generator=torch.Generator().manual_seed(seed))


def padded(ids: torch.Tensor, length: int, pad: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids padded to a length, and their mask."""
    more = torch.full((1, length - ids.shape[1]), pad)
    mask = (torch.arange(length) < ids.shape[1]).long()[None]
    return torch.cat([ids, more], 1), mask


class Masked:
    """Attention as it is in books, with any mask."""

    def __init__(self, allowed: torch.Tensor):
        self._hidden = torch.zeros_like(allowed, dtype=torch.float32).masked_fill(~allowed, -torch.inf)

    def __call__(self, query, key, value, scaling):
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        weights = (query @ key.transpose(-1, -2) * scaling + self._hidden).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(2)


def by_masks(model, question: torch.Tensor, passage: torch.Tensor) -> torch.Tensor:
    """Return the logits of question and passage tokens, [T + P, 2]: one row of tokens without any padding, whose two
    parts do not see each other in the lower layers. The passage stands behind a [CLS] that the upper layers never see.
    """
    asked, rest = question.shape[1], passage.shape[1]
    ids = torch.cat([question, question[:, :1], passage], 1)
    first = SIZE - 1
    position = torch.cat([torch.arange(asked), torch.arange(first, first + 1 + rest)])
    types = (torch.arange(ids.shape[1]) > asked).long()
    if getattr(model.config, "type_vocab_size", 0) < 2:
        types = torch.zeros_like(types)
    hidden = model.family.embedder(model.backbone)(ids, types[None], position[None] + model.family.position_offset)
    of_passage = torch.arange(ids.shape[1]) >= asked
    apart = of_passage[:, None] == of_passage
    stays = torch.arange(ids.shape[1]) != asked
    for i, layer in enumerate(model.family.layers(model.backbone)):
        if i == split_layer(model):
            hidden, apart = hidden[:, stays], torch.ones(asked + rest, asked + rest).bool()
        hidden = model.family.rest(layer, model.family.context(layer, hidden, Masked(apart)), hidden)
    return model.family.head(model.backbone)(hidden)[0]


@pytest.mark.parametrize("asked", [9, 32, 41])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_to_read_all_blocks_is_one_pass_in_which_the_lower_layers_keep_the_two_apart(family, asked):
    model = split_model(family)
    question, passage = tokens(asked, 1), tokens(70, 2)
    expected = by_masks(model, question, passage)
    pad = model.config.pad_token_id
    ids, mask = padded(question, -(-asked // SIZE) * SIZE, pad)
    of_question, wanted = ask(model, ids, mask)
    section, real = padded(torch.cat([question[:, :1], passage], 1), 1 + 96, pad)
    of_passage, sought = prepare(model, section, real)
    hidden = torch.cat([of_question, of_passage], 1)
    there = torch.cat([mask, real[:, 1:]], 1).bool()
    out, states = read(model, hidden, there, torch.cat([mask, torch.zeros_like(real[:, 1:])], 1).bool())
    found = torch.stack([out.start_logits, out.end_logits], -1)[there]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max().clamp(min=1)))
    assert [one.shape for one in states] == [hidden.shape] * 2
    assert out.skim_logits.keys() == {1}
    # The retrieval predictor's own layer begins as a copy of the next one, and keeps the two apart as well.
    own = copy.deepcopy(model)
    own.skim = replace(own.skim, split_layer=2, layers=(), thresholds=())
    for (_, mine), theirs, there in (
        ((of_question, wanted), ask(own, ids, mask)[0], mask),
        ((of_passage, sought), prepare(own, section, real)[0], real[:, 1:]),
    ):
        torch.testing.assert_close(mine[there.bool()], theirs[there.bool()])


@pytest.mark.parametrize("predictor", ["question", "diagonal"])
@torch.no_grad()
def test_padding_and_what_stands_in_a_batch_change_nothing(predictor):
    model = split_model(predictor=predictor)
    rows = [tokens(1 + n, n) for n in (40, 96, 3)]
    batch = [padded(row, 1 + 128) for row in rows]
    together, sought = prepare(model, *(torch.cat(parts) for parts in zip(*batch, strict=True)))
    questions = [padded(tokens(n, n), 64) for n in (5, 37, 12)]
    asked, _ = ask(model, *(torch.cat(parts) for parts in zip(*questions, strict=True)))
    for i, row in enumerate(rows):
        for many, own in zip((together, sought), prepare(model, row, torch.ones_like(row)), strict=True):
            torch.testing.assert_close(many[i, : row.shape[1] - 1], own[0], rtol=0, atol=1e-5)
    mask = torch.cat([torch.cat([q, r[:, 1:]], 1) for (_, q), (_, r) in zip(questions, batch, strict=True)]).bool()
    of_question = torch.arange(mask.shape[1]) < 64
    hidden = torch.cat([asked, together], 1)
    whole, _ = read(model, hidden, mask, mask & of_question)
    for i in range(3):
        blocks = 2 + -(-(rows[i].shape[1] - 1) // SIZE)
        part = slice(0, blocks * SIZE)
        alone, _ = read(model, hidden[i : i + 1, part], mask[i : i + 1, part], (mask & of_question)[i : i + 1, part])
        there = mask[i, part]
        torch.testing.assert_close(whole.start_logits[i, part][there], alone.start_logits[0][there], rtol=0, atol=1e-4)
        torch.testing.assert_close(whole.skim_logits[1][i, 2:blocks], alone.skim_logits[1][0, 2:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_teacher_is_the_model_before_it_was_split(family):
    kind, extra = FAMILIES[family]
    model = make_model(kind(**SHAPE, **extra), ())
    ids, mask = padded(tokens(70, 3), 96, model.config.pad_token_id)
    types = (torch.arange(96) > 20).long()[None] * mask
    found = hidden_states(model, ids, mask, types, 1)
    assert found.shape == (1, 96, 2 * 32 + 2)
    own = types if getattr(model.config, "type_vocab_size", 0) > 1 else torch.zeros_like(types)
    out = model(ids, mask, own)
    torch.testing.assert_close(found[0, :70, -2], out.start_logits[0, :70])
    torch.testing.assert_close(found[0, :70, -1], out.end_logits[0, :70])


def test_a_split_model_reads_nothing_joint(model):
    ids = tokens(64, 1)
    block = torch.ones(64, dtype=torch.int64)
    for run in (
        lambda: model(ids),
        lambda: model.reference(ids[0], block, block, block, torch.ones(2).bool()),
        lambda: next(model.views(ids, block[None], block[None], block[None])),
        lambda: hidden_states(model, ids, block[None], block[None], 1),
    ):
        with pytest.raises(CheckpointError, match=r"split at layer 1.*bskim-train --split 1"):
            run()
    with pytest.raises(CheckpointError, match="The model is not split"):
        split_layer(make_model(BertConfig(**SHAPE), ()))
    assert [i for i, _ in upper_layers(model)] == [1, 2]


@pytest.mark.parametrize(("layer", "layers", "message"), [
    (0, (), "can be split at the layers 1 to 2"), (3, (3,), "can be split at the layers 1 to 2"),
    (2, (1, 2), r"predictors of layers \[1\]"), (1, (7,), r"there is no layer \[7\]"),
])  # fmt: skip
def test_what_cannot_be_split_stays_as_it_is(layer, layers, message):
    model = make_model(BertConfig(**SHAPE), (2,))
    before = copy.deepcopy(model.skim)
    with pytest.raises(CheckpointError, match=message):
        model.split(layer, layers)
    assert (model.skim, model.retrieval) == (before, None)
    assert not hasattr(model.config, "skim_split_layer")


def test_predictors_that_still_fit_stay():
    model = make_model(BertConfig(**SHAPE), (1, 2), predictor="question")
    second = model.predictors["2"]
    model.split(1, (2,))
    assert model.predictors["2"] is second
    retrieval = model.retrieval
    model.split(1, (1, 2))
    assert (model.predictors["2"], model.retrieval) == (second, retrieval)
    model.add_predictors((1, 2), "diagonal")
    assert model.retrieval is retrieval
    assert model.skim.split_layer == 1
    model.add_predictors((2,), "diagonal", 16)
    assert (model.retrieval.block_size, model.skim.block_size) == (16, 16)
    retrieval = model.retrieval
    model.split(2, (2,))
    assert model.retrieval is not retrieval


def test_blocks_and_windows_must_leave_room():
    config = BertConfig(**SHAPE)
    config.block_size = 30
    with pytest.raises(CheckpointError, match="multiple of 4 positions, not 30"):
        make_model(config, ()).split(1)
    with pytest.raises(CheckpointError, match="leave a split model no room"):
        make_model(BertConfig(**SHAPE), (), max_seq_len=48).split(1)

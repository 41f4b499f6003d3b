import copy

import pytest
import torch
from tokenizers import Tokenizer

from bskim_export.model.split import hidden_states
from bskim_export.training.split_data import PartCollator, SplitParts
from bskim_export.training.split_objective import (
    PARTS,
    SplitLosses,
    SplitObjective,
    by_length,
    choose,
    place_of,
    retrieval_loss,
)

PASSAGE = torch.tensor([0, 0, 0, 0, 1, 1, 1])


def batch_of(room: int = 4, positive=(), readable=None, forced: bool = False) -> dict[str, torch.Tensor]:
    """Return one question about two passages, of four blocks and of three."""
    positive = torch.tensor([[i in positive for i in range(7)]])
    readable = torch.tensor([[readable is None or i in readable for i in range(7)]])
    return {
        "passage": PASSAGE,
        "positive": positive,
        "readable": readable,
        "forced": torch.tensor([forced]),
        "room": torch.tensor([room, 3]),
    }


@pytest.mark.parametrize(("scores", "changes", "expected"), [
    ([0, 9, 0, 0, 8, 0, 0], {}, [0, 1, 2]),  # the best with its neighbours; the next with its own has no room
    ([0, 9, 8, 0, 0, 0, 0], {}, [0, 1, 2, 3]),
    ([0, 0, 0, 9, 8, 0, 0], {"room": 3}, [2, 3]),  # none beyond the passage
    ([0, 0, 0, 9, 0, 0, 8], {}, [2, 3, 5, 6]),
    ([9, 8, 7, 6, 5, 4, 3], {"room": 7}, [0, 1, 2, 3, 4, 5, 6]),
    ([9, 8, 0, 0, 0, 7, 0], {"readable": (4, 5, 6)}, [4, 5, 6]),
    ([0, 0, 0, 0, 0, 0, 9], {"positive": (2,), "forced": True, "room": 5}, [1, 2, 3, 5, 6]),
    ([0, 0, 0, 8, 0, 0, 9], {"positive": (0,)}, [2, 3, 5, 6]),
    ([0, 0, 0, 0, 0, 0, 9], {"positive": (1, 2), "forced": True}, [0, 1, 2, 3]),  # the answer fills the room
    ([0, 0, 0, 0, 0, 0, 9], {"positive": (1, 4), "forced": True, "room": 4}, [0, 1, 2, 4, 5]),  # and more than that
])  # fmt: skip
def test_the_best_blocks_are_chosen_with_their_neighbours_as_long_as_there_is_room(scores, changes, expected):
    found = choose(torch.tensor([scores]) - 0.01 * torch.arange(7), batch_of(**changes))
    assert found.tolist() == [expected]


def test_rows_of_fewer_blocks_are_filled_up_behind():
    batch = {name: value.repeat(2, 1) if value.shape[0] == 1 else value for name, value in batch_of().items()}
    batch["forced"] = batch["forced"].flatten()
    scores = torch.tensor([[0, 9, 8, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 9]]) - 0.01 * torch.arange(7)
    scores[1, :6] -= torch.tensor([5, 5, 0, 5, 5, 5])
    assert choose(scores, batch).tolist() == [[0, 1, 2, 3], [5, 6, -1, -1]]


def test_a_token_is_found_where_it_was_read():
    positions = torch.tensor([[-1, -1, 64, 65, 66], [-1, 5, 6, 7, -1], [-1, 5, 6, 7, -1]])
    assert place_of(torch.tensor([65, 9, -1]), positions).tolist() == [3, 0, 0]


@pytest.mark.parametrize("first", [0, 1])
def test_rows_that_run_apart_by_length_give_what_they_give_together(first):
    mask = (torch.arange(first + 128) < first + torch.tensor([[30], [64], [65], [128]])).long()
    ids = torch.arange(4 * (first + 128)).reshape(4, -1)
    widths = []

    def run(ids, mask):
        widths.append(ids.shape)
        return (ids * mask)[:, first:, None].float()

    found = by_length(run, ids, mask, first=first)
    assert torch.equal(found, run(ids, mask))
    assert widths == [(2, first + 64), (2, first + 128), (4, first + 128)]
    widths.clear()
    assert torch.equal(by_length(run, ids[2:], mask[2:], first=first), run(ids[2:], mask[2:]))
    assert widths[0] == (2, first + 128)


def test_the_retrieval_loss_is_that_of_blocks_with_an_answer_among_all():
    scores = torch.tensor([[1.0, 2, 3], [0, 1, 0], [5, 5, 5]])
    positive = torch.tensor([[True, False, True], [False, True, False], [False] * 3])
    each = -torch.stack([scores[0].softmax(0)[[0, 2]].sum(), scores[1].softmax(0)[1]]).log()
    torch.testing.assert_close(retrieval_loss(scores, positive), each.mean())
    assert retrieval_loss(scores[2:], positive[2:]) == 0


@pytest.fixture(scope="module")
def whole(tiny):
    return tiny("bert", (0, 1, 2), "question")


@pytest.fixture(scope="module")
def batch(whole, squad) -> dict[str, torch.Tensor]:
    parts = SplitParts(squad[:60], Tokenizer.from_str(whole.tokenizer), whole.describe(), seed=1)
    return PartCollator(whole.describe())([parts[0], parts[1]])


def objective(whole, teacher: bool = True, **losses) -> SplitObjective:
    """Return the objective of a fresh split model, whose teacher is the model before it was split."""
    model = copy.deepcopy(whole.model)
    torch.manual_seed(2)
    model.split(1, (1, 2))
    model.set_dropout(0.0)
    return SplitObjective(model, SplitLosses(**losses), copy.deepcopy(whole.model) if teacher else None).train()


def test_the_loss_is_its_parts_and_falls(whole, batch):
    one = objective(whole)
    optimizer = torch.optim.AdamW(one.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        out = one(**batch)
        parts = dict(zip(PARTS, out["parts"].tolist(), strict=True))
        own = one.losses
        expected = parts["answer"] + own.retrieval * parts["retrieval"] + own.logits * parts["logits"]
        expected += own.states * parts["states"] + own.alpha * parts["blocks"]
        assert out["loss"].item() == pytest.approx(expected, rel=1e-5)
        assert out["qa_loss"].item() == pytest.approx(parts["answer"])
        assert out["counts"].shape == (2, 4)
        losses.append(out["loss"].item())
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_everything_learns_but_the_teacher_which_is_not_saved_either(whole, batch):
    teacher = copy.deepcopy(whole.model).train()
    one = SplitObjective(objective(whole).model, SplitLosses(), teacher).train()
    one(**batch)["loss"].backward()
    without = {name for name, p in one.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert {name for name in without if ".bias" not in name} == set()  # a key's bias moves no attention
    assert all(not p.requires_grad and p.grad is None for p in teacher.parameters())
    assert not teacher.training
    assert {name.split(".")[0] for name in one.state_dict()} == {"model"}
    assert len(one.state_dict()) == len(one.model.state_dict())


@pytest.mark.parametrize("part", ["retrieval", "logits", "states", "alpha"])
def test_each_weight_weighs_its_part(part, whole, batch):
    with torch.no_grad():
        whole_loss, without = (objective(whole, **changes)(**batch) for changes in ({}, {part: 0.0}))
    index = PARTS.index("blocks" if part == "alpha" else part)
    assert torch.equal(whole_loss["parts"], without["parts"])
    assert whole_loss["parts"][index] > 0
    expected = whole_loss["loss"] - getattr(SplitLosses(), part) * whole_loss["parts"][index]
    torch.testing.assert_close(without["loss"], expected)


def test_layer_weights_weigh_the_layers(whole, batch):
    with torch.no_grad():
        first, second, both = (
            objective(whole, layer_weights=weights)(**batch)["parts"][4] for weights in ((1.0, 0.0), (0.0, 1.0), None)
        )
    torch.testing.assert_close(first + second, both)


def test_without_a_teacher_nothing_is_imitated(whole, batch):
    out = objective(whole, teacher=False)(**batch)
    assert out["parts"][2:4].tolist() == [0, 0]
    assert out["loss"].isfinite()
    out["loss"].backward()


def test_a_batch_that_reads_none_of_its_paragraphs_has_a_loss_all_the_same(whole, batch):
    """Nobody's paragraph is among the blocks that were read: there is nothing to compare with the teacher."""
    out = objective(whole)(**{**batch, "teacher_count": torch.zeros_like(batch["teacher_count"])})
    assert out["parts"][2:4].tolist() == [0, 0]
    assert out["loss"].isfinite()


def test_a_teacher_that_is_the_same_model_is_imitated_best_where_nothing_is_apart(whole, batch):
    """A teacher's states of the paragraph's tokens are compared with those of the same tokens: with shifted ones the
    distance is larger."""
    with torch.no_grad():
        right = objective(whole)(**batch)["parts"]
        shifted = objective(whole)(**{**batch, "teacher_offset": batch["teacher_offset"] - 1})["parts"]
    assert right[3] < shifted[3]


@torch.no_grad()
def test_states_are_those_of_the_teacher_at_0_and_their_mean_at_1_for_question_and_paragraph(whole, batch):
    one = objective(whole)
    teacher = one._teacher[0]
    taught = hidden_states(teacher, batch["teacher_ids"], batch["teacher_mask"], batch["teacher_types"], 1)
    row = {name: value[:1] if name.startswith(("teacher", "question")) else value for name, value in batch.items()}
    asked = int(row["question_mask"].sum())
    width = row["question_mask"].shape[1]
    first, count, offset = (int(row[f"teacher_{name}"]) for name in ("first", "count", "offset"))
    before, behind = (torch.full((1, n), -1) for n in (width, 7))
    positions = torch.cat([before, torch.arange(first, first + count)[None], behind], 1)
    place = torch.cat([torch.arange(asked), torch.zeros(width - asked).long(), torch.arange(offset, offset + count)])
    counts = torch.cat([torch.arange(asked), torch.arange(width, width + count)])
    exact = [states[:, torch.cat([place, torch.zeros(7).long()])] for states in taught[:1, :, :-2].chunk(2, -1)]
    start, end = (taught[:1, torch.cat([place, torch.zeros(7).long()]), i] for i in (-2, -1))
    apart, distance = one._distill(start, end, exact, positions, row)
    assert (apart.item(), distance.item()) == (pytest.approx(0, abs=1e-6), 0)
    mean = [states[:, counts].mean(1, keepdim=True).expand_as(states) for states in exact]
    assert one._distill(start, end, mean, positions, row)[1].item() == pytest.approx(1, rel=1e-5)
    # Padding and what the teacher did not read do not count; a token of the question does.
    for at, counted in ((asked, False), (width + count, False), (0, True), (width, True)):
        changed = [states.clone() for states in exact]
        changed[1][0, at] += 1
        assert (one._distill(start, end, changed, positions, row)[1] > 0) == counted

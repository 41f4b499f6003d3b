import copy

import pytest
import torch
from support import FAMILIES, SHAPE, make_model, usual
from torch import nn

from bskim_export.checkpoint.loading import load_checkpoint, save_checkpoint
from bskim_export.errors import CheckpointError, InputError
from bskim_export.model.attention import WindowAttention
from bskim_export.training.importance import head_importance, least_important

WHOLE = [f for f in FAMILIES if "pruned" not in f]
PRUNED = {0: [0, 2], 1: [3, 1], 2: [0, 1]}


def model_of(family: str, predictor: str = "diagonal"):
    config_class, extra = FAMILIES[family]
    return make_model(config_class(**SHAPE, **extra), (0, 1, 2), predictor=predictor)


def batch_of(model, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        "input_ids": torch.randint(5, 1000, (3, 64), generator=generator),
        "attention_mask": (torch.arange(64) < torch.tensor([[64], [50], [33]])).long(),
        "token_type_ids": torch.zeros(3, 64, dtype=torch.long),
    }
    inputs["input_ids"][inputs["attention_mask"] == 0] = model.config.pad_token_id
    return inputs


@pytest.mark.parametrize("family", WHOLE)
def test_a_pruned_model_is_the_whole_one_without_what_those_heads_add(family):
    model = model_of(family)
    pruned = {i: [0, 2] for i in range(3)} if "albert" in family else PRUNED
    reference = copy.deepcopy(model)
    for i, layer in enumerate(dict.fromkeys(reference.family.layers(reference.backbone))):
        output, size = reference.family.projections(layer)[3], reference.layer_shape(0).head_size
        with torch.no_grad():
            for head in pruned[i]:
                output.weight[:, head * size : (head + 1) * size] = 0
    model.prune_heads(pruned)
    assert model.layer_shape(0).num_heads == 2
    inputs = batch_of(model)
    if family == "distilbert":
        inputs.pop("token_type_ids")
    with torch.no_grad():
        ours, theirs = model.backbone(**inputs), reference.backbone(**inputs)
    torch.testing.assert_close(ours.start_logits, theirs.start_logits, rtol=0, atol=1e-5)
    assert sum(p.numel() for p in model.backbone.parameters()) < sum(p.numel() for p in reference.backbone.parameters())


@pytest.mark.parametrize("predictor", ["diagonal", "question"])
def test_a_pruned_model_is_saved_and_loaded(predictor, wordpiece, tmp_path):
    model = model_of("bert", predictor)
    model.prune_heads(PRUNED)
    save_checkpoint(model, tmp_path / "pruned.pt", wordpiece)
    loaded = load_checkpoint(tmp_path / "pruned.pt").model
    assert loaded.layer_shape(2).num_heads == 2
    with torch.no_grad():
        ours, theirs = loaded(batch_of(model)["input_ids"]), model.eval()(batch_of(model)["input_ids"])
    torch.testing.assert_close(ours.start_logits, theirs.start_logits)
    torch.testing.assert_close(ours.skim_logits[1], theirs.skim_logits[1])


@pytest.mark.parametrize(
    ("pruned", "message"),
    [
        ({0: [4]}, "layer 0 has heads 0 to 3; there is no head [4]"),
        ({3: [0]}, "the model has layers 0 to 2; there is no layer [3]"),
        ({0: [0]}, "leaves [3, 4] heads"),
        ({i: [0, 1, 2, 3] for i in range(3)}, "at least 1"),
    ],
)
def test_what_cannot_be_pruned_is_refused_and_nothing_changes(pruned, message):
    model = model_of("bert")
    with pytest.raises(CheckpointError) as error:
        model.prune_heads(pruned)
    assert message in str(error.value)
    assert model.layer_shape(0).num_heads == 4
    model.prune_heads(PRUNED)
    with pytest.raises(CheckpointError, match="already"):
        model.prune_heads(PRUNED)


def test_layers_that_share_weights_must_be_pruned_alike():
    with pytest.raises(CheckpointError, match="shares its weights"):
        model_of("albert").prune_heads(PRUNED)


@pytest.mark.parametrize("family", usual(["bert", "albert", "distilbert"], ["albert", "distilbert"]))
def test_importance_is_the_slope_of_the_loss_along_each_heads_output(family, monkeypatch):
    """Against finite differences, one window at a time, in double precision."""
    model = model_of(family).double()
    batch = batch_of(model) | {"start_positions": torch.tensor([7, 9, 11]), "end_positions": torch.tensor([8, 20, 30])}
    found = head_importance(model, [batch])
    layers = model.family.layers(model.backbone)
    expected = torch.zeros(3, 4, dtype=torch.double)
    step = 1e-5
    for window in range(3):
        one = {name: value[window : window + 1] for name, value in batch.items()}
        for layer in range(3):
            for head in range(4):
                up, down = (loss_with_factor(model, layers, one, layer, head, 1 + s) for s in (step, -step))
                expected[layer, head] += ((up - down) / (2 * step)).abs()
    if family == "albert":
        expected[:] = expected.sum(0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def loss_with_factor(model, layers, batch, where: int, head: int, factor: float) -> torch.Tensor:
    """Return the loss with one head's output multiplied, written out once more."""
    hidden = model.family.embedder(model.backbone)(batch["input_ids"], batch["token_type_ids"], None)
    for i, layer in enumerate(layers):
        context = model.family.context(layer, hidden, WindowAttention(batch["attention_mask"].bool(), 0.0, True))
        if i == where:
            scale = torch.ones(4, dtype=torch.double)
            scale[head] = factor
            context = (context.unflatten(-1, (4, -1)) * scale[:, None]).flatten(-2)
        hidden = model.family.rest(layer, context, hidden)
    logits = model.family.head(model.backbone)(hidden)
    logits = logits.masked_fill(batch["attention_mask"][..., None] == 0, -1e30)
    losses = [
        nn.functional.cross_entropy(logits[..., i], batch[name])
        for i, name in enumerate(("start_positions", "end_positions"))
    ]
    return sum(losses) / 2


def test_shares_that_remove_nothing_or_all_are_refused():
    with pytest.raises(InputError, match="would remove 0"):
        least_important(torch.rand(2, 4), 0.2)

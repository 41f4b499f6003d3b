"""Split models as files: what is saved, loaded, published and refused."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import FAMILIES, usual
from tokenizers import Tokenizer
from transformers import AutoModelForQuestionAnswering

from bskim_export.checkpoint.loading import FORMAT, Checkpoint, load_checkpoint, released_names, save_checkpoint
from bskim_export.checkpoint.publishing import publish
from bskim_export.errors import CheckpointError
from bskim_export.runtime.prepared.passages import question_ids
from bskim_export.training.split_runner import TorchLower


@pytest.fixture(params=usual(FAMILIES))
def split(request, tiny) -> Checkpoint:
    """A random split model of a family."""
    return make(tiny, request.param)


@pytest.fixture
def bert(tiny) -> Checkpoint:
    return make(tiny, "bert")


def make(tiny, family: str) -> Checkpoint:
    whole = tiny(family, (0, 1, 2), "question")
    model = copy.deepcopy(whole.model)
    torch.manual_seed(3)
    model.split(1, (1,))
    return Checkpoint(model.eval(), whole.tokenizer, f"split-{family}")


def features(checkpoint: Checkpoint) -> torch.Tensor:
    """Return what a model keeps of a passage for its retrieval."""
    model = checkpoint.describe()
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
    ids = question_ids(tokenizer, "The harbour was closed because of the storm in 1843.", model)
    ((_, found),) = TorchLower(checkpoint.model, model).prepare([ids])
    return torch.from_numpy(found)


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    first, second = released_names(one.model), released_names(other.model)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_saved_file_gives_the_same_model_back(split, tmp_path):
    save_checkpoint(split.model, tmp_path / "m.pt", split.tokenizer)
    for fresh_head in (False, True):  # training loads with a fresh head, if there is none
        loaded = load_checkpoint(tmp_path / "m.pt", fresh_head=fresh_head)
        assert loaded.model.skim == split.model.skim
        assert same_weights(loaded, split)
    assert torch.equal(features(loaded), features(split))


def test_what_is_published_loads_as_the_same_model_and_as_a_plain_one(split, tmp_path):
    publish(split, tmp_path / "full", thresholds={1: 0.25})
    loaded = load_checkpoint(tmp_path / "full")
    assert (loaded.model.skim.split_layer, loaded.model.skim.thresholds) == (1, (0.25,))
    assert same_weights(loaded, split)
    plain = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "full").eval()
    mine = split.model.backbone.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in plain.state_dict().items())

    publish(split, tmp_path / "half", half=True)
    halved = load_checkpoint(tmp_path / "half")
    assert load_file(tmp_path / "half" / "model.safetensors")["skim_retrieval.scale"].dtype == torch.float16
    torch.testing.assert_close(features(halved), features(split), rtol=0, atol=0.05)


def test_a_model_without_its_retrieval_predictor_is_refused(bert, tmp_path):
    publish(bert, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("skim_retrieval.")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for fresh_head in (False, True):
        with pytest.raises(CheckpointError, match=r"Missing: skim_retrieval\.layer\..*and 24 more"):
            load_checkpoint(tmp_path, fresh_head=fresh_head)


@pytest.mark.parametrize("layers", [[0], [0, 1]])
def test_predictors_below_the_split_cannot_be_asked_for(bert, layers, tmp_path):
    save_checkpoint(bert.model, tmp_path / "m.pt", bert.tokenizer)
    with pytest.raises(CheckpointError, match=r"has no predictor for layers \[0\]; it has predictors for \[1\]"):
        load_checkpoint(tmp_path / "m.pt", layers=layers)
    assert load_checkpoint(tmp_path / "m.pt", layers=[]).model.skim.layers == ()


@pytest.mark.parametrize(("layer", "message"), [
    (0, "can be split at the layers 1 to 2"), (3, "can be split at the layers 1 to 2"), ("1", "not at '1'"),
    (True, "not at True"), (2, r"nothing for the predictors of layers \[1\] to judge"),
])  # fmt: skip
def test_a_config_that_splits_where_it_cannot_is_refused(bert, layer, message, tmp_path):
    save_checkpoint(bert.model, tmp_path / "m.pt", bert.tokenizer)
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    assert content["format"] == FORMAT
    content["config"]["skim_split_layer"] = layer
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize(("name", "factor"), [
    ("skim_retrieval.question.0.weight", 3e38), ("bert.encoder.layer.0.intermediate.dense.weight", 1e38),
    ("qa_outputs.weight", 3e38),
])  # fmt: skip
def test_weights_that_are_too_large_to_compute_with_are_told_at_once(bert, name, factor, tmp_path):
    with torch.no_grad():
        dict(bert.model.named_parameters())[
            f"backbone.{name}" if "retrieval" not in name else name.replace("skim_", "")
        ].fill_(factor)
    save_checkpoint(bert.model, tmp_path / "m.pt", bert.tokenizer)
    with pytest.raises(CheckpointError, match="not numbers"):
        load_checkpoint(tmp_path / "m.pt")

import copy
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification, BertModel, PreTrainedTokenizerFast, T5Config

from bskim_export.checkpoint import load_checkpoint, released_names, save_checkpoint
from bskim_export.errors import CheckpointError
from bskim_export.model.qa import BlockSkimForQuestionAnswering

LAYER = "bert.encoder.layer.1.attention.self.skim_predictor."
HINT = "Write one with bskim_export.save_checkpoint(model, 'model.pt', tokenizer)."


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def bert(tiny):
    return tiny("bert", (0, 2))


@pytest.fixture
def saved(bert, tmp_path) -> Path:
    """A model.pt."""
    save_checkpoint(bert.model, tmp_path / "model.pt", bert.tokenizer)
    return tmp_path / "model.pt"


@pytest.fixture
def folder(bert, tmp_path) -> Path:
    """A Hugging Face directory with predictors, as the paper's released code saves it."""
    return save_directory(tmp_path / "hf", bert.model, bert.tokenizer)


def save_directory(folder: Path, model: BlockSkimForQuestionAnswering, tokenizer: str) -> Path:
    config = copy.deepcopy(model.config)
    model.skim.write_to(config)
    config.save_pretrained(folder)
    save_file(released_names(model), folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    return folder


def edit_state(folder: Path, change) -> Path:
    state = load_file(folder / "model.safetensors")
    save_file(change(state) or state, folder / "model.safetensors")
    return folder


def edit_config(folder: Path, **values) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


@torch.no_grad()
def assert_same(loaded: BlockSkimForQuestionAnswering, model: BlockSkimForQuestionAnswering) -> None:
    torch.manual_seed(1)
    ids = torch.randint(4, 2000, (2, 96))
    mask = (torch.arange(96) < torch.tensor([[96], [70]])).long()
    found, expected = loaded(ids, mask), model(ids, mask)
    assert torch.equal(found.start_logits, expected.start_logits)
    assert torch.equal(found.end_logits, expected.end_logits)
    assert found.skim_logits.keys() == expected.skim_logits.keys()
    assert all(torch.equal(found.skim_logits[i], expected.skim_logits[i]) for i in expected.skim_logits)


def refusal(source, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(source, **options)
    return str(caught.value)


@pytest.mark.parametrize("family", ["bert", "electra", "roberta"])
@pytest.mark.parametrize("layers", [(0, 1, 2), (1,), ()])
def test_saved_file_gives_the_same_model_back(tiny, tmp_path, family, layers):
    checkpoint = tiny(family, layers)
    save_checkpoint(checkpoint.model, tmp_path / "model.pt", checkpoint.tokenizer)
    loaded = load_checkpoint(tmp_path / "model.pt")
    assert loaded.model.skim == checkpoint.model.skim
    assert loaded.tokenizer == checkpoint.tokenizer
    assert loaded.source == "model.pt"
    assert not loaded.model.training
    assert_same(loaded.model, checkpoint.model)


@pytest.mark.parametrize(
    "wrap", [str, Tokenizer.from_str, lambda t: PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(t))]
)
def test_every_kind_of_tokenizer_is_saved_without_its_padding_and_truncation(bert, tmp_path, wrap):
    trained = Tokenizer.from_str(bert.tokenizer)
    trained.enable_padding(length=64)
    trained.enable_truncation(64)
    save_checkpoint(bert.model, tmp_path / "model.pt", wrap(trained.to_str()))
    assert load_checkpoint(tmp_path / "model.pt").tokenizer == bert.tokenizer


def test_saving_again_replaces_the_file_and_leaves_nothing_else(saved, tiny):
    other = tiny("electra")
    save_checkpoint(other.model, saved, other.tokenizer)
    assert_same(load_checkpoint(saved).model, other.model)
    assert os.listdir(saved.parent) == ["model.pt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_interrupted_save_leaves_the_old_file(saved, bert, monkeypatch, error):
    def fill_the_disk(content, stream):
        stream.write(b"half")
        raise error("no space left")

    before = saved.read_bytes()
    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(error, match="no space left"):
        save_checkpoint(bert.model, saved, bert.tokenizer)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["model.pt"]


def test_directory_in_released_naming_loads(folder, bert):
    loaded = load_checkpoint(str(folder))
    assert loaded.model.skim == bert.model.skim
    assert loaded.source == "hf"
    assert_same(loaded.model, bert.model)

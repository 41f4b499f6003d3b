import json
import os
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support import FAMILIES, SHAPE, make_model
from tokenizers import Tokenizer

from bskim_export.checkpoint.loading import FORMAT, load_checkpoint, released_names, save_checkpoint
from bskim_export.errors import CheckpointError
from bskim_export.model.skim_config import SkimConfig

HEADS = {
    "AlbertModel": "none",
    "BertForMaskedLM": "cls",
    "BertForSequenceClassification": "classifier",
    "BertModel": "none",
    "DistilBertForMaskedLM": "vocab_layer_norm, vocab_projector, vocab_transform",
    "DistilBertModel": "none",
}
PREDICTOR = "bert.encoder.layer.0.attention.self.skim_predictor."


class Trap(str):  # makes a directory of this name when it is unpickled
    def __reduce__(self):
        return os.mkdir, (str(self),)


@pytest.fixture(scope="module")
def model(request):
    family, layers = getattr(request, "param", ("bert", (0, 2)))
    kind, extra = FAMILIES[family]
    model = make_model(kind(**SHAPE, **extra), layers)
    model.skim = SkimConfig(32, layers, tuple(0.25 + i / 10 for i in layers), 384)
    return model


@pytest.fixture
def saved(model, wordpiece, tmp_path) -> Path:
    save_checkpoint(model, tmp_path / "model.pt", Tokenizer.from_str(wordpiece))
    return tmp_path / "model.pt"


@pytest.fixture
def folder(model, wordpiece, tmp_path) -> Path:
    """The model as a Hugging Face directory, as the paper's released code saves it."""
    folder = tmp_path / "hf"
    model.skim.write_to(model.config)
    model.config.save_pretrained(folder)
    save_file(released_names(model), folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(wordpiece, encoding="utf-8")
    return folder


@torch.no_grad()
def assert_same(loaded, model) -> None:
    ids = torch.randint(4, 2000, (2, 96), generator=torch.Generator().manual_seed(1))
    assert loaded.skim == model.skim
    torch.testing.assert_close(vars(loaded(ids)), vars(model(ids)), rtol=0, atol=0)


def refusal(source, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(source, **options)
    return str(caught.value)


@pytest.mark.parametrize("model", [("bert", ()), *((family, (0, 2)) for family in FAMILIES)], indirect=True)
def test_saved_file_gives_the_same_model_back(saved, model, wordpiece):
    loaded = load_checkpoint(saved)
    assert (loaded.source, loaded.model.training) == ("model.pt", False)
    assert_same(loaded.model, model)
    kept = Tokenizer.from_str(loaded.tokenizer)
    given = Tokenizer.from_str(wordpiece)
    assert (kept.padding, kept.truncation, kept.get_vocab()) == (None, None, given.get_vocab())


def test_interrupted_save_leaves_the_old_file(saved, model, wordpiece, monkeypatch):
    def interrupt(content, stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    before = saved.read_bytes()
    monkeypatch.setattr(torch, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(model, saved, wordpiece)
    assert (saved.read_bytes(), os.listdir(saved.parent)) == (before, ["model.pt"])


def test_saved_file_has_the_permissions_of_any_new_file(saved):
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode


def use_bin(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def use_index(folder: Path) -> None:
    shard = (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"any": shard.name}}))


def use_vocabulary(folder: Path) -> None:
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)), encoding="utf-8")
    (folder / "tokenizer.json").unlink()


def use_old_names_and_unused_parts(folder: Path) -> None:
    state = {PREDICTOR + "conv3.weight": torch.ones(2), "bert.pooler.dense.weight": torch.ones(2)}
    for name, value in load_file(folder / "model.safetensors").items():
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        state[old] = value.clone()
    assert {PREDICTOR + "conv1.weight", "bert.embeddings.LayerNorm.gamma"} < state.keys()
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize("convert", [id, use_bin, use_index, use_vocabulary, use_old_names_and_unused_parts])
def test_every_kind_of_directory_loads(folder, model, convert):
    convert(folder)
    loaded = load_checkpoint(str(folder))
    assert_same(loaded.model, model)
    tokens = Tokenizer.from_str(loaded.tokenizer).encode("Naïve?", "東京").tokens
    assert tokens == ["[CLS]", "naive", "?", "[SEP]", "東", "京", "[SEP]"]


def test_layers_choose_among_the_predictors(folder):
    assert load_checkpoint(folder, layers=[2]).model.skim == SkimConfig(32, (2,), (0.45,), 384)
    assert "has no predictor for layers [1]; it has predictors for [0, 2]" in refusal(folder, layers=[1, 2])


@pytest.mark.parametrize("kind", ["BertForQuestionAnswering", *HEADS])
def test_plain_models_load_if_they_answer_questions(wordpiece, tmp_path, kind):
    model = getattr(transformers, kind)
    model(model.config_class(**SHAPE)).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(wordpiece, encoding="utf-8")
    if kind in HEADS:
        assert f"no question-answering head (qa_outputs); its head is: {HEADS[kind]}. Fine-tune" in refusal(tmp_path)
    else:
        assert load_checkpoint(tmp_path).model.skim == SkimConfig(32, (), (), 512)


@pytest.mark.parametrize("kind", ["AlbertModel", "BertForMaskedLM", "BertForSequenceClassification", "DistilBertModel"])
def test_an_encoder_gets_a_fresh_head_if_asked(wordpiece, tmp_path, kind):
    encoder = getattr(transformers, kind)
    model = encoder(encoder.config_class(**SHAPE, vocab_size=30522))
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(wordpiece, encoding="utf-8")
    loaded = load_checkpoint(tmp_path, fresh_head=True).model.backbone
    assert loaded.qa_outputs.weight.shape == (2, 32)
    assert loaded.qa_outputs.weight.any()
    kept = {k: v for k, v in model.base_model.state_dict().items() if "pooler" not in k}
    own = loaded.base_model.state_dict()
    assert kept.keys() <= own.keys()
    assert all(torch.equal(own[name], value) for name, value in kept.items())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config.json", None, "has no config.json: it is not a Hugging Face model directory"),
        ("config.json", {"intermediate_size": 48}, "intermediate.dense.weight is [64, 32], expected [48, 32]"),
        ("config.json", {"num_attention_heads": 8}, f"{PREDICTOR}conv1.weight is [4, 4, 3, 3], expected [8, 8, 3, 3]"),
        ("config.json", {"num_hidden_layers": 4}, "config.json. Missing: bert.encoder.layer.3.attention"),
        ("config.json", {"model_type": "t5", "classifier_dropout": 0.0}, "supported types: albert, bert, dis"),
        ("config.json", {"model_type": "nonesuch"}, "config.json' cannot be read"),
        ("config.json", {"hidden_size": "32"}, "config.json' cannot be read"),
        ("config.json", {"block_size": 0}, "block_size in config.json must be from 1 to"),
        ("config.json", {"max_seq_length": "384"}, "max_seq_length"),
        ("tokenizer.json", None, "Save it there with tokenizer.save_pretrained(...)"),
        ("tokenizer.json", b"{", "not a valid tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe", "tokenizer.json"),
        ("model.safetensors", None, "has no weights: neither model.safetensors nor pytorch_model.bin"),
        ("model.safetensors", b"half", "Download or save it again"),
        ("model.safetensors.index.json", b"{}", "model.safetensors.index.json"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "gone"}}', "Download or save it again"),
    ],
)
def test_damaged_directories_are_refused(folder, name, change, message):
    if isinstance(change, dict):
        change = json.dumps(json.loads((folder / name).read_bytes()) | change).encode()
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(change)
    assert message in refusal(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"bert.pooler.weight": torch.ones(2)}, "(a bare state dict, perhaps?). Write one with bskim_export.save_"),
        ({"format": FORMAT, "version": 9}, "has checkpoint version 9; this release reads 1. Write one with"),
        ({"format": FORMAT, "version": 1}, "lacks its config, or it is damaged. Write one with"),
        *((share, "model.pt' cannot be read as a PyTorch file") for share in (0.0, 0.001, 0.5, 0.999)),
    ],
)
def test_other_and_truncated_files_are_refused(saved, content, message):
    if isinstance(content, float):  # the share of the file that is left
        saved.write_bytes(saved.read_bytes()[: int(content * saved.stat().st_size)])
    else:
        torch.save(content, saved)
    assert message in refusal(saved)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin"])
def test_code_in_a_file_is_refused_and_does_not_run(folder, tmp_path, name):
    path = folder / name
    trap = Trap(tmp_path / "trap")
    (folder / "model.safetensors").unlink()
    torch.save({"format": FORMAT, "weights": trap}, path)
    message = refusal(path if name == "model.pt" else folder)
    assert "was refused: it holds more than tensors and plain values (" in message
    assert "could run code" in message
    assert not os.path.exists(trap)
    torch.load(path, weights_only=False)
    assert os.path.exists(trap)  # so it would have run
    assert "weights_only" not in message  # torch advises to load it all the same


@pytest.mark.parametrize("path", ["missing.pt", "./nowhere", "some/deep/folder", "/nowhere/model", "model.safetensors"])
def test_paths_that_hold_no_model_are_named(folder, monkeypatch, path):
    monkeypatch.chdir(folder)
    reason = "holds weights only. Pass its directory, with" if path == "model.safetensors" else "does not exist."
    assert refusal(path).startswith(f"'{path}' {reason}")

"""A random model as a Hugging Face directory, for tests to spoil."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from support import FAMILIES, SHAPE, make_model
from transformers import AutoTokenizer

from bskim_export.checkpoint.loading import load_checkpoint, released_names
from bskim_export.errors import CheckpointError


class Directory:
    """A directory that holds a model.

    Attributes:
        path: of the directory
    """

    def __init__(self, path: Path):
        self.path = path

    def change_json(self, name: str, **values) -> None:
        """Set fields of a JSON file, which may be missing."""
        path = self.path / name
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps(content | values), encoding="utf-8")

    def weights(self) -> dict:
        return load_file(self.path / "model.safetensors")

    def store(self, state: dict) -> None:
        save_file(state, self.path / "model.safetensors", metadata={"format": "pt"})

    def refusal(self, **options) -> str:
        """Return the message with which the directory is refused, and the file that it names without its folder."""
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(self.path, **options).describe()
        return str(caught.value).replace(f"{self.path}/", "").replace(str(self.path), "model")

    def theirs(self, text: str) -> list[int]:
        """Return the ids that AutoTokenizer gives."""
        return AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)(text)["input_ids"]


@pytest.fixture
def directory(tokenizers, tmp_path):
    """Return a function: family -> its Directory."""

    def make(family: str = "bert", layers: tuple[int, ...] = (1,)) -> Directory:
        config_class, extra = FAMILIES[family]
        model = make_model(config_class(**SHAPE, **extra), layers)
        model.skim.write_to(model.config)
        path = tmp_path / "model"
        model.config.save_pretrained(path)
        made = Directory(path)
        made.store(released_names(model))
        (path / "tokenizer.json").write_text(tokenizers[family], encoding="utf-8")
        return made

    return make

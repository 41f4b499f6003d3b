"""A stranger's code is never run, nobody is asked about it, and the refusal says why."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bskim_export.commands.export import main as export

REFUSED = "has code of its own (auto_map); bskim-export runs none"
CODE = """
open({canary!r}, "w").close()
from transformers import BertConfig, BertTokenizer, ProcessorMixin
class Evil(BertConfig):
    model_type = "evil"
class EvilTokenizer(BertTokenizer):
    pass
class EvilProcessor(ProcessorMixin):
    pass
"""
TOKENIZER = {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]}


@pytest.fixture
def trapped(directory, tmp_path, monkeypatch):
    """A model's directory with code beside it that leaves a canary, and the canary's path."""
    made = directory()
    canary = tmp_path / "canary"
    (made.path / "evil.py").write_text(CODE.format(canary=str(canary)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return made, canary


def told_yes(made, canary) -> str:
    """Return what the command says when everything on its standard input is 'y'."""
    done = CliRunner().invoke(export, [str(made.path), "--out", str(canary.parent / "out")], input="y\n" * 50)
    assert not canary.exists()
    assert "Traceback" not in done.output
    assert "[y/N]" not in done.output
    assert done.exit_code == 1
    assert not (canary.parent / "out").exists()
    return " ".join(done.output.split())


CONFIGS = {
    "a model type of its own": {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}},
    "no model type": {"model_type": None, "auto_map": {"AutoConfig": "evil.Evil"}},
    "a supported type": {"auto_map": {"AutoConfig": "evil.Evil", "AutoModelForQuestionAnswering": "evil.Evil"}},
    "code of another repository": {"model_type": "evil", "auto_map": {"AutoConfig": "nobody/here--evil.Evil"}},
    "trust in itself": {"model_type": "evil", "trust_remote_code": True, "auto_map": {"AutoConfig": "evil.Evil"}},
    "a list": {"auto_map": ["evil.Evil"]},
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_code_in_config_is_refused(trapped, change):
    made, canary = trapped
    made.change_json("config.json", **change)
    assert REFUSED in told_yes(made, canary)


@pytest.mark.parametrize("change", [{"auto_map": TOKENIZER}, {"auto_map": TOKENIZER["AutoTokenizer"]}])
@pytest.mark.parametrize("with_json", [True, False])
def test_code_in_tokenizer_config_is_refused(trapped, change, with_json):
    made, canary = trapped
    made.change_json("tokenizer_config.json", tokenizer_class="EvilTokenizer", **change)
    if not with_json:
        (made.path / "tokenizer.json").unlink()
        (made.path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    assert REFUSED in told_yes(made, canary)


def test_a_model_type_that_is_unknown_is_refused_before_its_tokenizer_is_looked_at(trapped):
    made, canary = trapped
    made.change_json("config.json", model_type="vit")
    made.change_json("tokenizer_config.json", tokenizer_class="EvilTokenizer", auto_map=TOKENIZER)
    assert "supported types: albert, bert" in told_yes(made, canary)


@pytest.mark.parametrize(
    "name", ["RagTokenizer", "AutoTokenizer", "AutoProcessor", "pipeline", "os.system", "PreTrainedModel"]
)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_tokenizer_classes_that_load_other_things_are_not_called(trapped, name, file):
    """RagTokenizer loads tokenizers of two folders, AutoProcessor what its own file names: both ask, and run code."""
    made, canary = trapped
    made.change_json(file, tokenizer_class=name)
    made.change_json(
        "processor_config.json", processor_class="EvilProcessor", auto_map={"AutoProcessor": "evil.EvilProcessor"}
    )
    for folder in ("question_encoder_tokenizer", "generator_tokenizer"):
        (made.path / folder).mkdir()
        (made.path / folder / "evil.py").write_text((made.path / "evil.py").read_text())
        (made.path / folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": TOKENIZER}))
    # Unknown names are what AutoTokenizer takes for a plain tokenizer.json; the weights are then what is refused.
    (made.path / "model.safetensors").write_bytes(b"")
    assert "Error" in told_yes(made, canary)


def test_the_trap_is_a_trap(trapped):
    made, canary = trapped
    made.change_json("config.json", **CONFIGS["a model type of its own"])
    program = "import sys; from transformers import AutoConfig; AutoConfig.from_pretrained(sys.argv[1])"
    environment = {**os.environ, "HF_HOME": str(canary.parent / "home"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", program, str(made.path)], input=b"y\n", env=environment, capture_output=True)
    assert canary.exists()


def test_other_files_that_a_tokenizer_config_names_are_not_read(directory, tmp_path):
    """transformers takes paths and objects from tokenizer_config.json; a directory's own files are enough."""
    made = directory()
    other = tmp_path / "elsewhere.json"
    other.write_text((made.path / "tokenizer.json").read_text(encoding="utf-8"), encoding="utf-8")
    (made.path / "tokenizer.json").unlink()
    made.change_json("tokenizer_config.json", tokenizer_file=str(other), vocab_file=str(other), merges_file=str(other))
    assert "has no tokenizer" in made.refusal()

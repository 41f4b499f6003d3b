"""Every way a model comes in or goes out. Nothing in a checkpoint is ever executed: tensors and JSON only."""

import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerBase

from bskim_export.atomic import write_atomic
from bskim_export.bundle.manifest import Model
from bskim_export.checkpoint.description import describe
from bskim_export.checkpoint.tokenizer_files import read_tokenizer, tokenizer_json
from bskim_export.errors import CheckpointError
from bskim_export.model.families import find_family
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.skim_config import SkimConfig

FORMAT = "bskim-export checkpoint"
FORMAT_VERSION = 1
SAVE_HINT = "Write one with bskim_export.save_checkpoint(model, 'model.pt', tokenizer)."

_UNUSED = ("pooler.", "position_ids", "num_batches_tracked", ".conv3.")
"""Parts of a state dict that question answering does not need, by a piece of their names."""


@dataclass
class Checkpoint:
    """A model that came in.

    tokenizer: the contents of its tokenizer.json
    source: what the user called it, without its folders
    """

    model: BlockSkimForQuestionAnswering
    tokenizer: str
    source: str

    def describe(self) -> Model:
        """Return what the runtime must know of it; see model.description."""
        return describe(self.model, self.tokenizer, self.source)


def load_checkpoint(source: str | Path, layers: list[int] | None = None, fresh_head: bool = False) -> Checkpoint:
    """Load a model from a Hugging Face directory, a hub id, or a `model.pt` that `save_checkpoint` wrote.

    Predictors are looked for under the names of the paper's released code
    (`bert.encoder.layer.N.attention.self.skim_predictor.*`, `albert.encoder.skim_predictors.N.*`, ...).

    Args:
        layers: use only these layers' predictors; default: those that the config names (`augment_layers`), else all
            that the checkpoint has
        fresh_head: give a model without a question-answering head (a pre-trained encoder) a random one, to be trained

    Raises:
        CheckpointError: whatever is wrong with it, and what to do.

    Example:
        >>> load_checkpoint("examples/minilm-l6-squad").model.skim.layers
        (0, 1, 2, 3, 4, 5)
    """
    path = Path(source)
    if path.is_dir():
        config, tokenizer, state = _read_directory(path)
    elif path.is_file():
        config, tokenizer, state = _read_file(path)
    else:
        config, tokenizer, state = _read_directory(_download(str(source)))
    return Checkpoint(_build(config, state, layers, str(source), fresh_head), tokenizer, Path(source).name)


def save_checkpoint(
    model: BlockSkimForQuestionAnswering,
    path: str | Path,
    tokenizer: str | Tokenizer | PreTrainedTokenizerBase,
) -> None:
    """Write one file that `load_checkpoint` and `bskim-export` read. An existing file is replaced in one step.

    Args:
        tokenizer: a fast Hugging Face tokenizer, a tokenizers.Tokenizer, or the contents of a tokenizer.json
    """
    path = Path(path)
    model.skim.write_to(model.config)
    content = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "config": json.loads(model.config.to_json_string(use_diff=False)),
        "tokenizer": tokenizer_json(tokenizer),
        "state_dict": released_names(model),
    }
    write_atomic(path, lambda stream: torch.save(content, stream))


def released_names(model: BlockSkimForQuestionAnswering) -> dict[str, Tensor]:
    """Return the state dict under the names of the paper's released code."""
    state = dict(model.backbone.state_dict())
    for layer, predictor in model.predictors.items():
        prefix = model.family.predictor_prefix(int(layer))
        state.update({prefix + name: value for name, value in predictor.state_dict().items()})
    return state


def _read_directory(path: Path) -> tuple[PretrainedConfig, str, dict[str, Tensor]]:
    if not (path / "config.json").is_file():
        raise CheckpointError(f"'{path}' has no config.json: it is not a Hugging Face model directory.")
    try:
        config = AutoConfig.from_pretrained(path)
    except Exception as error:  # config classes raise errors of their own for a value of a wrong type
        raise CheckpointError(f"'{path}/config.json' cannot be read: {error}") from None
    return config, read_tokenizer(path), _read_weights(path)


def _read_weights(path: Path) -> dict[str, Tensor]:
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckpointError(f"'{index}' is damaged: it has no weight_map. Download or save it again.") from None
    elif (path / "model.safetensors").is_file():
        shards = ["model.safetensors"]
    elif (path / "pytorch_model.bin").is_file():
        state = _torch_load(path / "pytorch_model.bin")
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise CheckpointError(f"'{path}/pytorch_model.bin' is not a state dict of tensors.")
        return state
    else:
        raise CheckpointError(f"'{path}' has no weights: neither model.safetensors nor pytorch_model.bin.")
    state = {}
    for name in shards:
        try:
            state.update(load_file(path / name))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"'{path / name}' cannot be read: {error}. Download or save it again.") from None
    return state


def _read_file(path: Path) -> tuple[PretrainedConfig, str, dict[str, Tensor]]:
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"'{path}' holds weights only. Pass its directory, with config.json and tokenizer.json beside it."
        )
    content = _torch_load(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"'{path}' is not a bskim-export checkpoint (a bare state dict, perhaps?). {SAVE_HINT}")
    if content.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"'{path}' has checkpoint version {content.get('version')}; this release reads {FORMAT_VERSION}. "
            f"{SAVE_HINT}"
        )
    for name, kind in (("config", dict), ("tokenizer", str), ("state_dict", dict)):
        if not isinstance(content.get(name), kind):
            raise CheckpointError(f"'{path}' lacks its {name}, or it is damaged. {SAVE_HINT}")
    values = dict(content["config"])
    try:
        config = AutoConfig.for_model(values.pop("model_type"), **values)
    except Exception as error:  # see _read_directory
        raise CheckpointError(f"The config in '{path}' cannot be read: {error}") from None
    return config, tokenizer_json(content["tokenizer"]), content["state_dict"]


def _torch_load(path: Path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"'{path}' was refused: it holds more than tensors and plain values"
            f"{f' ({named[1]})' if named else ''}, and loading it could run code. Save the state dict alone, or use "
            f"safetensors. {SAVE_HINT}"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"'{path}' cannot be read as a PyTorch file: {_first_line(error)}") from None


def _download(source: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if source.startswith((".", "/", "~")) or source.endswith((".pt", ".bin", ".safetensors")) or source.count("/") > 1:
        raise CheckpointError(f"'{source}' does not exist.")
    try:  # tensors and JSON only
        return Path(snapshot_download(source, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = _first_line(error)
        raise CheckpointError(
            f"'{source}' is neither a file nor a directory here, and the Hugging Face Hub did not give it ({reason})."
        ) from None


def _build(
    config: PretrainedConfig, state: dict[str, Tensor], layers: list[int] | None, source: str, fresh_head: bool
) -> BlockSkimForQuestionAnswering:
    family = find_family(config)
    state = {_modern(name): value for name, value in state.items() if not any(u in name for u in _UNUSED)}
    base = family.predictor_prefix(0).split(".")[0]
    if fresh_head:
        state = _encoder_only(state, base)
    present = [
        i for i in range(config.num_hidden_layers) if any(k.startswith(family.predictor_prefix(i)) for k in state)
    ]
    wanted = layers if layers is not None else (getattr(config, "augment_layers", None) or present)
    if absent := sorted(set(wanted) - set(present)):
        raise CheckpointError(f"'{source}' has no predictor for layers {absent}; it has predictors for {present}.")
    config.num_labels = 2
    skim = SkimConfig.from_hf(config, wanted)
    try:
        model = BlockSkimForQuestionAnswering(config, skim)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"The config of '{source}' describes no model: {_first_line(error)}") from None
    expected = released_names(model)
    if fresh_head:
        state = {k: v for k, v in expected.items() if k.startswith("qa_outputs.")} | state
    _check_names(expected, state, source, base)
    model.backbone.load_state_dict({k: state[k] for k in model.backbone.state_dict() if k in state}, strict=False)
    for layer, predictor in model.predictors.items():
        prefix = family.predictor_prefix(int(layer))
        predictor.load_state_dict(
            {k: state[prefix + k] for k in predictor.state_dict() if prefix + k in state}, strict=False
        )
    return model.float().eval()


def _encoder_only(state: dict[str, Tensor], base: str) -> dict[str, Tensor]:
    """Return a state dict without heads other than for question answering, under the names of a model with one."""
    if not any(name.startswith(f"{base}.") for name in state):
        state = {f"{base}.{name}": value for name, value in state.items()}
    return {name: value for name, value in state.items() if name.startswith((f"{base}.", "qa_outputs."))}


def _check_names(expected: dict[str, Tensor], state: dict[str, Tensor], source: str, base: str) -> None:
    expected = {k: v for k, v in expected.items() if not any(u in k for u in _UNUSED)}
    missing = sorted(expected.keys() - state.keys())
    extra = sorted(k for k in state.keys() - expected.keys() if "skim_predictor" not in k)
    if any(k.startswith("qa_outputs") for k in missing):
        encoder = {base} | {k.split(".")[1] for k in expected}  # saved alone, it has no prefix
        heads = sorted({k.split(".")[0] for k in extra} - encoder) or ["none"]
        raise CheckpointError(
            f"'{source}' has no question-answering head (qa_outputs); its head is: {', '.join(heads)}. "
            "Fine-tune it as a ...ForQuestionAnswering model first."
        )
    if missing or extra:
        raise CheckpointError(
            f"The weights of '{source}' do not fit its config.json. Missing: {_some(missing)}. Unknown: {_some(extra)}."
        )
    wrong = [
        f"{k} is {list(state[k].shape)}, expected {list(v.shape)}"
        for k, v in expected.items()
        if state[k].shape != v.shape
    ]
    if wrong:
        raise CheckpointError(f"The weights of '{source}' do not fit its config.json: {_some(wrong)}.")


def _modern(name: str) -> str:
    """Rename LayerNorm parameters of checkpoints that were converted from TensorFlow."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"

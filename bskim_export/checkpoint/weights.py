"""Reads the weights of a checkpoint and fits them to a model. No file is read in a way that could run code."""

import json
import pickle
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bskim_export.errors import CheckpointError

SAVE_HINT = "Write one with bskim_export.save_checkpoint(model, 'model.pt', tokenizer)."

_UNUSED = ("pooler.", "position_ids", "num_batches_tracked", ".conv3.")
"""Parts of a state dict that question answering does not need, by a piece of their names."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the state dict of a Hugging Face directory: from safetensors, in one file or several, or from a .bin file.

    Raises:
        CheckpointError: there are no weights, or they cannot be read.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckpointError(f"'{index}' is damaged: it has no weight_map. Download or save it again.") from None
    elif (folder / "model.safetensors").is_file():
        shards = ["model.safetensors"]
    elif (folder / "pytorch_model.bin").is_file():
        return _read_bin(folder / "pytorch_model.bin")
    else:
        raise CheckpointError(f"'{folder}' has no weights: neither model.safetensors nor pytorch_model.bin.")
    state: dict[str, Tensor] = {}
    for name in shards:
        try:
            state.update(load_file(folder / name))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"'{folder / name}' cannot be read: {error}. Download or save it again.") from None
    return state


def torch_load(path: Path) -> object:
    """Return the content of a file that torch.save wrote. It runs no code from the file.

    Raises:
        CheckpointError: the file holds more than tensors and plain values, or is no such file.
    """
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
        raise CheckpointError(f"'{path}' cannot be read as a PyTorch file: {first_line(error)}") from None


def used_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without the parts that question answering does not need, under the names of today.

    LayerNorm parameters of checkpoints that were converted from TensorFlow have older names.

    Example:
        >>> list(used_weights({"x.LayerNorm.gamma": torch.ones(1), "pooler.bias": torch.ones(1)}))
        ['x.LayerNorm.weight']
    """
    return {_modern(name): value for name, value in state.items() if _is_used(name)}


def encoder_weights(state: dict[str, Tensor], base: str) -> dict[str, Tensor]:
    """Return a state dict without heads other than for question answering, under the names of a model with one.

    Args:
        base: the name of the encoder in such a model, like "bert"; an encoder that was saved alone has names without it
    """
    if not any(name.startswith(f"{base}.") for name in state):
        state = {f"{base}.{name}": value for name, value in state.items()}
    return {name: value for name, value in state.items() if name.startswith((f"{base}.", "qa_outputs."))}


def require_fit(expected: dict[str, Tensor], state: dict[str, Tensor], source: str, base: str) -> None:
    """Do nothing if a state dict has the names and shapes that a model needs.

    Args:
        expected: the model's own
        state: from the checkpoint, after `used_weights`
        source: the checkpoint's name, for errors
        base: the name of the encoder, see `encoder_weights`

    Raises:
        CheckpointError: it has not; the message names the head that the checkpoint has, or some weights that are wrong.
    """
    expected = {k: v for k, v in expected.items() if _is_used(k)}
    missing = sorted(expected.keys() - state.keys())
    extra = sorted(k for k in state.keys() - expected.keys() if "skim_predictor" not in k)
    # A model for another task lacks the head; what it has too much tells which head that is.
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


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read_bin(path: Path) -> dict[str, Tensor]:
    state = torch_load(path)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"'{path}' is not a state dict of tensors.")
    return state


def _is_used(name: str) -> bool:
    return not any(part in name for part in _UNUSED)


def _modern(name: str) -> str:
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"

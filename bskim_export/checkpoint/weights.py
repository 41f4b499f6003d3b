"""Reads the weights of a checkpoint. No file is read in a way that could run code, or that takes more than it holds."""

import pickle
import re
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from bskim_export.checkpoint.files import first_line, is_there, read_object, require_file
from bskim_export.errors import CheckpointError

SAVE_HINT = "Write one with bskim_export.save_checkpoint(model, 'model.pt', tokenizer)."

WEIGHT_FILES = (
    "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
)  # fmt: skip
"""Where weights are looked for: the first that is there is read."""

_OTHERS = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index", "*.gguf", "*.onnx", "rust_model.ot")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "weights")
"""Where training loops keep the state dict in what they save."""

_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first number in a file of torch.save before PyTorch 1.6. Newer files are ZIP archives."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the state dict of a Hugging Face directory: safetensors or PyTorch's files, in one file or several.

    Raises:
        CheckpointError: there are no weights, or they cannot be read.
    """
    found = next((name for name in WEIGHT_FILES if is_there(folder / name)), None)
    if found is None:
        others = sorted(path.name for pattern in _OTHERS for path in folder.glob(pattern))
        hint = f" Its {others[0]} holds another framework's weights: save them as safetensors." if others else ""
        raise CheckpointError(f"'{folder}' has no weights: neither model.safetensors nor pytorch_model.bin.{hint}")
    if not found.endswith(".index.json"):
        return _read_file(folder / found)
    state: dict[str, Tensor] = {}
    for shard in _shards(folder / found):
        state.update(_read_file(folder / shard))
    return state


def torch_load(path: Path) -> object:
    """Return the content of a file that torch.save wrote. It runs no code from the file.

    Raises:
        CheckpointError: the file holds more than tensors and plain values, or is no such file.
    """
    require_file(path)
    try:
        _require_torch_format(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"'{path}' was refused: it holds more than tensors and plain values"
            f"{f' ({named[1]})' if named else ''}, and loading it could run code. Save the state dict alone, or use "
            f"safetensors. {SAVE_HINT}"
        ) from None
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file ends the unpickler with whatever error it comes to
        raise CheckpointError(f"'{path}' cannot be read as a PyTorch file: {first_line(error)}") from None


def _read_file(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a .safetensors or .bin file."""
    if path.suffix == ".bin":
        return _unwrap(torch_load(path), path)
    require_file(path)
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises errors of several kinds
        raise CheckpointError(f"'{path}' cannot be read: {first_line(error)}. Download or save it again.") from None


def _shards(index: Path) -> list[str]:
    """Return the files that an index names. They lie beside it and are of its own kind, whatever it says."""
    names = read_object(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise CheckpointError(f"'{index}' is damaged: it has no weight_map. Download or save it again.")
    suffix = ".bin" if index.name.startswith("pytorch_model.bin") else ".safetensors"
    for name in names.values():
        if not isinstance(name, str) or not re.fullmatch(rf"[^/\\\0]+{re.escape(suffix)}", name):
            raise CheckpointError(
                f"'{index}' names {str(name)[:80]!r}. The parts of a model are {suffix} files in the same folder; "
                "nothing else is read. Download or save it again."
            )
    return sorted(set(names.values()))


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    """Return the state dict that a file holds, or that a training loop's dictionary holds."""
    if _is_state_dict(content):
        return content  # type: ignore[return-value]
    inner = {k: v for k, v in content.items() if isinstance(v, dict)} if isinstance(content, dict) else {}
    found = [name for name in _WRAPPERS if name in inner]
    if len(found) == 1:
        return _unwrap(inner[found[0]], path)
    if found:
        raise CheckpointError(f"'{path}' holds several models ({', '.join(found)}). Save the state dict of one alone.")
    raise CheckpointError(
        f"'{path}' is not a state dict of tensors, nor a dictionary with one under a name like 'model_state_dict'. "
        "Save model.state_dict()."
    )


def _is_state_dict(content: object) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    )


def _require_torch_format(path: Path) -> None:
    """Refuse what torch.save does not write: other archives, bare pickles, and what unpacks to more than the file has.

    torch.save compresses nothing. A file that does could fill memory with zeros.
    """
    with open(path, "rb") as stream:
        head = stream.read(32)
    if head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > path.stat().st_size:
            raise CheckpointError(
                f"'{path}' was refused: it unpacks to {unpacked:,} bytes, more than the file has, which torch.save "
                f"never writes. {SAVE_HINT}"
            )
    elif _LEGACY_MAGIC not in head:
        raise CheckpointError(f"'{path}' cannot be read as a PyTorch file: torch.save did not write it. {SAVE_HINT}")

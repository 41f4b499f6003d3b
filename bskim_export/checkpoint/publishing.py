"""A model as a Hugging Face directory, to share: what `load_checkpoint` and transformers read."""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor

from bskim_export.checkpoint.loading import Checkpoint, released_names
from bskim_export.checkpoint.model_folder import WRITER, check_folder_is_ours, replace_model
from bskim_export.checkpoint.tokenizer_files import tokenizer_json
from bskim_export.errors import CheckpointError
from bskim_export.model.skim_config import SkimConfig, position_limit

_STATISTICS = ("running_mean", "running_var")
"""BatchNorm's variances may be too small for half precision."""


def publish(
    checkpoint: Checkpoint,
    folder: str | Path,
    half: bool = False,
    thresholds: Mapping[int, float] | None = None,
    document_thresholds: Mapping[int, float] | None = None,
) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json into `folder`.

    transformers loads the directory as a plain question-answering model: it reports the predictors as unexpected, and
    answers as the dense model does.

    The folder must be new or empty, or a new repository of the Hub's, or hold a model that `publish` wrote: the header
    of its model.safetensors says so. Other files beside such a model stay. All of it appears, or nothing changes.

    Args:
        half: store weights as fp16. Scores change a little, so calibrate and measure what was published.
        thresholds: the keep probability from which a block stays, by layer; layers that are not named get 0, which
            keeps every block; default: the model's own
        document_thresholds: the same for questions of several windows; default: `thresholds`

    Raises:
        CheckpointError: a threshold for a layer without a predictor, or a weight that is too large for fp16.
        OutputError: the folder holds something else, or cannot be written to.
        DiskFullError: there is no room.

    Example:
        >>> import tempfile
        >>> from bskim_export import load_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     publish(load_checkpoint("examples/minilm-l6-squad"), folder, half=True, thresholds={4: 0.5})
        ...     load_checkpoint(folder).model.skim.thresholds
        (0, 0, 0, 0, 0.5, 0)
    """
    folder = Path(folder)
    check_folder_is_ours(folder)
    model = checkpoint.model
    skim = model.skim
    if thresholds is not None:
        documents = document_thresholds or {}
        if unknown := sorted((thresholds.keys() | documents.keys()) - set(skim.layers)):
            raise CheckpointError(f"There is no predictor for layers {unknown}; the model has some for {skim.layers}.")
        own = tuple(documents.get(i, 0) for i in skim.layers) if documents else ()
        skim = replace(skim, thresholds=tuple(thresholds.get(i, 0) for i in skim.layers), document_thresholds=own)
    weights = {n: _stored(n, v, half) for n, v in released_names(model).items()}
    replace_model(
        folder,
        {
            "model.safetensors": _ordered(save(weights, metadata={"format": "pt", "writer": WRITER})),
            **describing_files(checkpoint, skim, "float16" if half else "float32"),
        },
    )


def describing_files(checkpoint: Checkpoint, skim: SkimConfig, dtype: str) -> dict[str, bytes]:
    """Return what stands beside a model's weights: tokenizer.json, tokenizer_config.json and config.json.

    Args:
        skim: what config.json says of predictors and thresholds
        dtype: what it says of the weights
    """
    model = checkpoint.model
    own_config = copy.deepcopy(model.config)
    skim.write_to(own_config)
    # As transformers saves it: values that are not the config class's defaults.
    config = json.loads(own_config.to_json_string(use_diff=True))
    config |= {"architectures": [type(model.backbone).__name__], "dtype": dtype}
    tokenizer = tokenizer_json(checkpoint.tokenizer)
    return {
        "tokenizer.json": tokenizer.encode(),
        "tokenizer_config.json": as_json(_tokenizer_config(tokenizer, own_config)),
        "config.json": as_json(config),
    }


def _tokenizer_config(tokenizer: str, config: Any) -> dict[str, Any]:
    """Return what makes AutoTokenizer take tokenizer.json as it is.

    Without it, the class of the model's family would put its own defaults over it: it would lower-case a cased BERT.
    """
    own = Tokenizer.from_str(tokenizer)
    pair = own.encode("a", "b").tokens
    special = {token.content for token in own.get_added_tokens_decoder().values() if token.special}
    tokens = {
        "cls_token": pair[0],
        "sep_token": pair[-1],
        "pad_token": own.id_to_token(config.pad_token_id),
        "unk_token": json.loads(tokenizer)["model"].get("unk_token"),
        "mask_token": next((mask for mask in ("[MASK]", "<mask>") if mask in special), None),
    }
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    if getattr(config, "type_vocab_size", 0) < 2:
        inputs.remove("token_type_ids")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": inputs,
        "model_max_length": position_limit(config),
        **{name: token for name, token in tokens.items() if token in special},
    }


def _ordered(weights: bytes) -> bytes:
    """Return a safetensors file with its header in alphabetical order: safetensors' own order differs by process."""
    end = 8 + int.from_bytes(weights[:8], "little")
    header = json.dumps(json.loads(weights[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the weights stay aligned
    return len(header).to_bytes(8, "little") + header + weights[end:]


def as_json(value: dict[str, Any]) -> bytes:
    """Return a JSON file as the Hub's are written."""
    return (json.dumps(value, indent=2) + "\n").encode()


def _stored(name: str, value: Tensor, half: bool) -> Tensor:
    """Return a value as it is stored: contiguous, sharing memory with no other. Raises CheckpointError; see publish."""
    if half and value.is_floating_point() and not name.endswith(_STATISTICS):
        value = value.half()
        if not torch.isfinite(value).all():
            raise CheckpointError(f"'{name}' has values that are too large for fp16. Publish it in full precision.")
    return value.detach().clone(memory_format=torch.contiguous_format)

"""A model as a Hugging Face directory, to share: what `load_checkpoint` and transformers read."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from bskim_export.atomic import write_atomic, write_json
from bskim_export.checkpoint.loading import Checkpoint, released_names
from bskim_export.checkpoint.tokenizer_files import tokenizer_json
from bskim_export.errors import CheckpointError

_STATISTICS = ("running_mean", "running_var")
"""BatchNorm's variances may be too small for half precision."""


def publish(
    checkpoint: Checkpoint, folder: str | Path, half: bool = False, thresholds: Mapping[int, float] | None = None
) -> None:
    """Write config.json, model.safetensors and tokenizer.json into `folder`; other files there stay.

    transformers loads the directory as a plain question-answering model: it reports the predictors as unexpected, and
    answers as the dense model does.

    Args:
        half: store weights as fp16. Scores change a little, so calibrate and measure what was published.
        thresholds: the keep probability from which a block stays, by layer; layers that are not named get 0, which
            keeps every block; default: the model's own

    Raises:
        CheckpointError: a threshold for a layer without a predictor, or a weight that is too large for fp16.

    Example:
        >>> import tempfile
        >>> from bskim_export import load_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     publish(load_checkpoint("examples/minilm-l6-squad"), folder, half=True, thresholds={4: 0.5})
        ...     load_checkpoint(folder).model.skim.thresholds
        (0, 0, 0, 0, 0.5, 0)
    """
    model = checkpoint.model
    folder = Path(folder)
    skim = model.skim
    if thresholds is not None:
        if unknown := sorted(thresholds.keys() - set(skim.layers)):
            raise CheckpointError(f"There is no predictor for layers {unknown}; the model has some for {skim.layers}.")
        skim = replace(skim, thresholds=tuple(thresholds.get(i, 0) for i in skim.layers))
    weights = save({n: _stored(n, v, half) for n, v in released_names(model).items()}, metadata={"format": "pt"})
    write_atomic(folder / "model.safetensors", lambda stream: stream.write(weights))
    write_atomic(folder / "tokenizer.json", lambda stream: stream.write(tokenizer_json(checkpoint.tokenizer).encode()))
    skim.write_to(model.config)
    # As transformers saves it: values that are not the config class's defaults.
    config = json.loads(model.config.to_json_string(use_diff=True))
    config |= {"architectures": [type(model.backbone).__name__], "dtype": "float16" if half else "float32"}
    write_json(folder / "config.json", config)


def _stored(name: str, value: Tensor, half: bool) -> Tensor:
    """Return a value as it is stored: contiguous, sharing memory with no other. Raises CheckpointError; see publish."""
    if half and value.is_floating_point() and not name.endswith(_STATISTICS):
        value = value.half()
        if not torch.isfinite(value).all():
            raise CheckpointError(f"'{name}' has values that are too large for fp16. Publish it in full precision.")
    return value.detach().clone(memory_format=torch.contiguous_format)

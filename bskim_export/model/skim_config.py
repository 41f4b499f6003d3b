"""The settings that Block-Skim adds to a model's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from transformers import PretrainedConfig

from bskim_export.bundle.manifest import WINDOW_SCALES
from bskim_export.errors import CheckpointError
from bskim_export.model.families import find_family
from bskim_export.model.predictors import PREDICTORS

DEFAULT_THRESHOLD = 0.5
"""Keep probability from which a passage block stays, where the config names none."""


def position_limit(config: PretrainedConfig, block_size: int = 1) -> int:
    """Return how many positions a window of whole blocks has at most: its last block's padding needs positions too.

    Example:
        >>> from transformers import BertConfig
        >>> position_limit(BertConfig(max_position_embeddings=100), 32)
        96
    """
    limit = config.max_position_embeddings - find_family(config).position_offset
    return limit // block_size * block_size


@dataclass(frozen=True)
class SkimConfig:
    """Block-Skim's settings, stored as attributes of the Hugging Face config under the names of the paper's code.

    block_size: positions of a block (paper: 32)
    layers: the layers that have a predictor, ascending (paper: all)
    thresholds: for each of them, the keep probability from which a passage block stays
    document_thresholds: the same for questions of several windows; empty if `thresholds` serves both
    max_seq_len: positions of a window at most
    predictor: which kind they are, a key of PREDICTORS (paper: "diagonal")
    window_scale: how answers of different windows are compared, one of WINDOW_SCALES: what the model was trained for
    split_layer: the layer from which on question and passage see each other; None for a model that is not split
    """

    block_size: int
    layers: tuple[int, ...]
    thresholds: tuple[float, ...]
    max_seq_len: int
    predictor: str = "diagonal"
    window_scale: str = WINDOW_SCALES[0]
    document_thresholds: tuple[float, ...] = ()
    split_layer: int | None = None

    def __post_init__(self) -> None:
        for found in (self.thresholds, self.document_thresholds or self.thresholds):
            if len(found) != len(self.layers):
                raise CheckpointError(
                    f"{len(self.layers)} layers have predictors, but there are {len(found)} thresholds."
                )
        if self.split_layer is not None and self.max_seq_len < 2 * self.block_size:
            raise CheckpointError(
                f"Blocks of {self.block_size} positions and windows of {self.max_seq_len} leave a split model no room: "
                "a passage begins behind one block of question."
            )

    def require_whole(self) -> None:
        """Raise CheckpointError if the model is split: then there is no layer below the split that reads question and
        passage together."""
        if self.split_layer is not None:
            raise CheckpointError(
                f"The model is split at layer {self.split_layer}: below it, question and passage are read apart, so "
                f"it cannot be run or trained on both together. To train it: bskim-train --split {self.split_layer}."
            )

    @classmethod
    def from_hf(
        cls, config: PretrainedConfig, layers: Sequence[int] | None = None, split_layer: int | None = None
    ) -> "SkimConfig":
        """Read the settings from a Hugging Face config; what it lacks gets the paper's values.

        Args:
            layers: the layers that have a predictor; default: the config's `augment_layers`, else none
            split_layer: default: the config's `skim_split_layer`, else none

        Raises:
            CheckpointError: a layer that the model does not have, a threshold outside 0 to 1, a bad block size.
        """
        layers = (getattr(config, "augment_layers", None) or ()) if layers is None else layers
        layers = tuple(sorted(set(layers)))
        split_layer = getattr(config, "skim_split_layer", None) if split_layer is None else split_layer
        if split_layer is not None:
            _check_split(split_layer, config.num_hidden_layers, layers)
        if bad := [i for i in layers if not 0 <= i < config.num_hidden_layers]:
            raise CheckpointError(f"The model has layers 0 to {config.num_hidden_layers - 1}; there is no layer {bad}.")
        limit = position_limit(config)
        block_size = getattr(config, "block_size", 32)
        max_seq_len = getattr(config, "max_seq_length", None) or limit
        if not _is_whole(max_seq_len) or max_seq_len < 1:
            raise CheckpointError(f"max_seq_length in config.json must be a whole number, got {max_seq_len!r:.60}.")
        if not _is_whole(block_size) or not 1 <= block_size <= limit:
            raise CheckpointError(f"block_size in config.json must be from 1 to {limit}, got {block_size!r:.60}.")
        predictor = getattr(config, "skim_predictor", "diagonal")
        if not isinstance(predictor, str) or predictor not in PREDICTORS:
            raise CheckpointError(
                f"skim_predictor in config.json is {predictor!r:.60}; this release knows: {', '.join(PREDICTORS)}."
            )
        window_scale = getattr(config, "skim_window_scale", WINDOW_SCALES[0])
        if window_scale not in WINDOW_SCALES:
            raise CheckpointError(
                f"skim_window_scale in config.json is {window_scale!r:.60}; this release knows: "
                f"{', '.join(WINDOW_SCALES)}."
            )
        # The released code has one threshold for all layers; `write_to` stores one for each.
        thresholds = _thresholds("skim_threshold", getattr(config, "skim_threshold", DEFAULT_THRESHOLD), layers)
        of_documents = getattr(config, "skim_document_threshold", None)
        documents = () if of_documents is None else _thresholds("skim_document_threshold", of_documents, layers)
        length = min(max_seq_len, position_limit(config, block_size))
        return cls(block_size, layers, thresholds, length, predictor, window_scale, documents, split_layer)

    def write_to(self, config: PretrainedConfig) -> None:
        """Store the settings in a Hugging Face config; `from_hf` reads them back."""
        config.block_size = self.block_size
        config.skim_predictor = self.predictor
        config.augment_layers = list(self.layers)
        config.skim_threshold = {str(i): t for i, t in zip(self.layers, self.thresholds, strict=True)}
        if self.document_thresholds:
            config.skim_document_threshold = {
                str(i): t for i, t in zip(self.layers, self.document_thresholds, strict=True)
            }
        elif hasattr(config, "skim_document_threshold"):
            del config.skim_document_threshold
        config.max_seq_length = self.max_seq_len
        config.skim_window_scale = self.window_scale
        if self.split_layer is not None:
            config.skim_split_layer = self.split_layer


def _thresholds(name: str, value: object, layers: tuple[int, ...]) -> tuple[float, ...]:
    """Return the thresholds of these layers, from one for all or from one for each."""
    by_layer = value if isinstance(value, dict) else {str(i): value for i in layers}
    found: list[float] = []
    for i in layers:
        one = by_layer.get(str(i), DEFAULT_THRESHOLD)
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not 0 <= one <= 1:
            raise CheckpointError(f"{name} in config.json must be from 0 to 1, got {one!r:.60}.")
        found.append(one)
    return tuple(found)


def _check_split(split_layer: object, num_layers: int, layers: tuple[int, ...]) -> None:
    """Raise CheckpointError if a model cannot be split there, or has predictors below."""
    if not _is_whole(split_layer) or not 1 <= split_layer < num_layers:
        raise CheckpointError(
            f"A model of {num_layers} layers can be split at the layers 1 to {num_layers - 1} (skim_split_layer in "
            f"config.json), not at {split_layer!r:.60}."
        )
    if below := [i for i in layers if i < split_layer]:
        raise CheckpointError(
            f"The model is split at layer {split_layer}: below it question and passage do not see each other, so there "
            f"is nothing for the predictors of layers {below} to judge."
        )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)

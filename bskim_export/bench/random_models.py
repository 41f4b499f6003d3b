"""Models of published shapes with random weights and predictors: for what costs time, not for answers."""

from dataclasses import dataclass, field
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig

from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.checkpoint.tokenizer_files import tokenizer_json
from bskim_export.errors import InputError
from bskim_export.model.qa import BlockSkimForQuestionAnswering


@dataclass(frozen=True)
class Shape:
    """A published shape.

    model_type: of its Hugging Face config
    differing: fields that differ from the config's defaults
    """

    model_type: str
    differing: dict[str, Any] = field(default_factory=dict)


SHAPES = {
    "albert-base-v2": Shape("albert", {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
    "bert-base": Shape("bert"),
    "bert-large": Shape(
        "bert", {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    ),
    "distilbert-base": Shape("distilbert"),
    "roberta-base": Shape("roberta", {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}),
}


def make_random_checkpoint(shape: str, tokenizer: str, predictors: int | None = None) -> Checkpoint:
    """Return a random model of a published shape, the same every time.

    Args:
        shape: a key of SHAPES
        tokenizer: the contents of a tokenizer.json, which stands in for the model's own
        predictors: how many, spread over the layers; default: one at every layer

    Raises:
        InputError: there is no such shape, or it has fewer layers than predictors.
    """
    if shape not in SHAPES:
        raise InputError(f"There is no shape '{shape}'. Choose one of: {', '.join(SHAPES)}.")
    tokenizer = tokenizer_json(tokenizer)
    config = AutoConfig.for_model(SHAPES[shape].model_type, **SHAPES[shape].differing)
    config.vocab_size = max(config.vocab_size, Tokenizer.from_str(tokenizer).get_vocab_size())
    config.augment_layers = spread_layers(config.num_hidden_layers, predictors)
    torch.manual_seed(0)
    return Checkpoint(BlockSkimForQuestionAnswering(config).eval(), tokenizer, f"random-{shape}")


def spread_layers(num_layers: int, count: int | None) -> list[int]:
    """Return the layers that get a predictor: the last of each equal share of the layers; all of them without a count.

    Raises:
        InputError: there are fewer layers than that.

    Example:
        >>> spread_layers(12, 6), spread_layers(12, 5)
        ([1, 3, 5, 7, 9, 11], [1, 3, 6, 8, 11])
    """
    count = num_layers if count is None else count
    if not 1 <= count <= num_layers:
        raise InputError(f"The model has {num_layers} layers; {count} of them cannot have a predictor.")
    return [(i + 1) * num_layers // count - 1 for i in range(count)]

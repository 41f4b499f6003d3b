"""Reads a model's configuration from plain values. Its family is known before transformers sees any of them."""

import math
from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.activations import ACT2FN

from bskim_export.errors import CheckpointError
from bskim_export.model.families import require_supported

_LARGEST = {
    "hidden_size": 2**16, "dim": 2**16, "embedding_size": 2**16, "intermediate_size": 2**20, "hidden_dim": 2**20,
    "num_hidden_layers": 1000, "n_layers": 1000, "num_attention_heads": 2**12, "n_heads": 2**12,
    "num_hidden_groups": 1000, "inner_group_num": 1000, "vocab_size": 2**24, "max_position_embeddings": 2**20,
}  # fmt: skip
"""The sizes, from 1 to this. A hundred times what any encoder has, and not so much that a typing error fills memory."""

_NUMBERS = {"layer_norm_eps": 1.0, "initializer_range": 1e3}
"""Other numbers, above 0 and up to this."""

_SHARES = (
    "attention_dropout", "attention_probs_dropout_prob", "classifier_dropout", "classifier_dropout_prob", "dropout",
    "hidden_dropout_prob", "qa_dropout",
)  # fmt: skip
"""Numbers from 0 to 1; null where the class allows it."""

_ACTIVATIONS = ("activation", "hidden_act")

_OURS_TO_SET = (
    "_attn_implementation", "_attn_implementation_internal", "_name_or_path", "architectures", "attn_implementation",
    "attn_implementation_internal", "auto_map", "base_model_ep_plan", "base_model_fsdp_plan", "base_model_pp_plan",
    "base_model_tp_plan", "chunk_size_feed_forward", "custom_pipelines", "dtype", "experts_implementation",
    "id2label", "label2id", "model_type", "name_or_path", "num_labels", "output_attentions", "output_hidden_states",
    "problem_type", "return_dict", "tokenizer_class", "torch_dtype", "torchscript", "transformers_version",
    "trust_remote_code", "use_cache", "use_return_dict",
)  # fmt: skip
"""What does not change the numbers that a question-answering model gives, but how transformers loads and calls it:
which kernels, which code, which form of result. All of that is decided here, not by a file."""


def read_config(values: Mapping[str, Any], where: str) -> PretrainedConfig:
    """Return the configuration that a config.json describes.

    Args:
        values: its content
        where: names it in errors

    Raises:
        CheckpointError: the model has code of its own or is of a type that is not supported, or its config asks for
            what skims wrongly, or a value is none that a model can have.

    Example:
        >>> read_config({"model_type": "bert", "num_hidden_layers": 2}, "config.json").num_hidden_layers
        2
    """
    require_no_code(values, where)
    try:
        require_supported(values.get("model_type"))
    except CheckpointError as error:
        raise CheckpointError(f"{where} cannot be read: {error}") from None
    _require_plain_encoder(values, where)
    _require_possible(values, where)
    kept = {name: value for name, value in values.items() if name not in _OURS_TO_SET}
    if not _is_whole(kept.get("pad_token_id", 0), 0, 2**24):
        kept["pad_token_id"] = None  # asked of the tokenizer
    try:
        config = AutoConfig.for_model(values["model_type"], **kept)
        config.num_labels = 2
    except Exception as error:  # config classes raise errors of their own for a value of a wrong type
        raise CheckpointError(f"{where} cannot be read: {' '.join(str(error).split())[:300]}") from None
    return config


def require_no_code(values: Mapping[str, Any], where: str) -> None:
    """Do nothing if a config.json or tokenizer_config.json names no code of a stranger's.

    transformers would ask on the terminal whether to run it. Here nobody is asked, and nothing is run.

    Raises:
        CheckpointError: it does.
    """
    if values.get("auto_map"):
        raise CheckpointError(
            f"{where} says that the model has code of its own (auto_map); bskim-export runs none. If the model is one "
            "of the supported types all the same, load it with transformers and save it anew without auto_map."
        )


def _require_plain_encoder(values: Mapping[str, Any], where: str) -> None:
    """Refuse what changes how tokens attend, and weights that are no plain numbers, before anything is loaded."""
    for name in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        if values.get(name):
            raise CheckpointError(
                f"{where} has {name}: the model reads from left to right, or reads another model. Only encoders are "
                f"supported. If it was trained as one, set {name} to false."
            )
    kind = values.get("position_embedding_type", "absolute")
    if kind not in ("absolute", None):
        raise CheckpointError(
            f"{where} has position_embedding_type {kind!r}: such models are not supported, because blocks that are "
            "dropped would change the distances between the others. Use a model with absolute positions."
        )
    quantised = values.get("quantization_config") or values.get("compression_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise CheckpointError(
            f"{where} has a quantization_config ({method or 'of an unknown method'}): the weights are quantised. Load "
            "the model with transformers, call model.dequantize(), and save it in fp32 or fp16."
        )


def _require_possible(values: Mapping[str, Any], where: str) -> None:
    for name, value in values.items():
        if name in _LARGEST and not _is_whole(value, 1, _LARGEST[name]):
            wanted = f"a whole number from 1 to {_LARGEST[name]:,}"
        elif name == "type_vocab_size" and not _is_whole(value, 0, 2**16):
            wanted = f"a whole number from 0 to {2**16:,}"
        elif name in _NUMBERS and not (_is_number(value) and 0 < value <= _NUMBERS[name]):
            wanted = f"a number above 0, up to {_NUMBERS[name]:g}"
        elif name in _SHARES and value is not None and not (_is_number(value) and 0 <= value <= 1):
            wanted = "a number from 0 to 1"
        elif name == "augment_layers" and not (value is None or _are_whole(value)):
            wanted = "a list of layers"
        elif name == "pruned_heads" and not (value is None or _are_heads(value)):
            wanted = 'an object that names heads to each layer, like {"0": [1, 2]}'
        elif name in _ACTIVATIONS and not (isinstance(value, str) and value in ACT2FN):
            wanted = "the name of an activation that transformers knows, like 'gelu'"
        else:
            continue
        raise CheckpointError(f"{where} cannot be read: {name} must be {wanted}, got {_short(value)}.")


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _are_whole(value: object) -> bool:
    return isinstance(value, list) and all(_is_whole(one, 0, 2**20) for one in value)


def _are_heads(value: object) -> bool:
    return isinstance(value, dict) and all(i.isdecimal() and len(i) < 6 and _are_whole(h) for i, h in value.items())


def _is_number(value: object) -> bool:
    # A whole number may be too large for a float, which math.isfinite would make of it.
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30 and math.isfinite(value)
    )


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return "a number of more than 30 digits"  # Python refuses to write the longest ones
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."

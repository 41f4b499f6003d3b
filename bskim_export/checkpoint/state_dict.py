"""Fits a checkpoint's state dict to a model: names, shapes, and numbers that are numbers."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from bskim_export.errors import CheckpointError

_log = logging.getLogger(__name__)

_UNUSED = ("pooler.", "position_ids", "num_batches_tracked", ".conv3.")
"""Parts of a state dict that question answering does not need, by a piece of their names."""

_WRAPPERS = ("_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_orig_mod", "module")
"""What torch.compile, DataParallel and FSDP put into names wherever a module was wrapped. No encoder has such parts."""

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)

HEAD = "qa_outputs."
RETRIEVAL = "skim_retrieval."
"""Before the names of a split model's retrieval predictor."""


def used_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without the parts that question answering does not need, under the names of today.

    LayerNorm parameters of checkpoints that were converted from TensorFlow have older names. Wrapped modules have
    longer ones.

    Raises:
        CheckpointError: two weights come to have one name.

    Example:
        >>> list(used_weights({"module.x.LayerNorm.gamma": torch.ones(1), "module.pooler.bias": torch.ones(1)}))
        ['x.LayerNorm.weight']
    """
    used: dict[str, Tensor] = {}
    for name, value in state.items():
        modern = _modern(name)
        if not _is_used(modern):
            continue
        if modern in used:
            raise CheckpointError(f"Two weights of the checkpoint are called '{modern}'. Save one model's state dict.")
        used[modern] = value
    return used


def without_prefix(state: Mapping[str, Tensor], base: str) -> dict[str, Tensor]:
    """Return a state dict without the prefix that a model inside another one has, like "model." or "net.encoder.".

    It is what stands before the question-answering head, else before the encoder. Weights outside are kept as they are.

    Args:
        base: the name of the encoder in a question-answering model, like "bert"

    Raises:
        CheckpointError: there are several such models.

    Example:
        >>> names = "model.bert.embeddings.weight", "model.qa_outputs.weight", "model.qa_outputs.bias"
        >>> list(without_prefix(dict.fromkeys(names, torch.ones(1)), "bert"))
        ['bert.embeddings.weight', 'qa_outputs.weight', 'qa_outputs.bias']
    """
    prefixes = {name[: -len("qa_outputs.weight")] for name in state if ends_with(name, "qa_outputs.weight")}
    if not prefixes:
        prefixes = {name[: -len(found)] for name in state if (found := _from_part(name, base))}
    if not prefixes and state:
        prefixes = {_shared_prefix(list(state))}  # an encoder that was saved alone
    if "" in prefixes or not prefixes:
        return dict(state)
    if len(prefixes) > 1:
        raise CheckpointError(
            f"The checkpoint holds several models, under the names {', '.join(sorted(prefixes)[:4])}. Save one of them."
        )
    (prefix,) = prefixes
    _log.info("The weights' names begin with '%s', which was taken off.", prefix)
    short = {name.removeprefix(prefix): value for name, value in state.items()}
    if len(short) < len(state):
        raise CheckpointError(f"The checkpoint has the same weights with '{prefix}' and without. Save one model alone.")
    return short


def encoder_weights(state: dict[str, Tensor], base: str) -> dict[str, Tensor]:
    """Return a state dict without heads other than for question answering, under the names of a model with one. A split
    model's retrieval predictor stays.

    Args:
        base: the name of the encoder in such a model, like "bert"; an encoder that was saved alone has names without it
    """
    if not any(name.startswith(f"{base}.") for name in state):
        state = {f"{base}.{name}": value for name, value in state.items()}
    return {name: value for name, value in state.items() if name.startswith((f"{base}.", HEAD, RETRIEVAL))}


def require_fit(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str, base: str) -> None:
    """Do nothing if a state dict has the names and shapes that a model needs, and numbers in them.

    Weights beside the encoder and the question-answering head are other heads. They are left out with a note in the
    log, as transformers does.

    Args:
        expected: the model's own; it may be on the meta device
        state: from the checkpoint, after `used_weights`
        source: the checkpoint's name, for errors
        base: the name of the encoder, see `encoder_weights`

    Raises:
        CheckpointError: it has not; the message names the head that the checkpoint has, or some weights that are wrong.
    """
    expected = {k: v for k, v in expected.items() if _is_used(k)}
    missing = sorted(expected.keys() - state.keys())
    extra = sorted(k for k in state.keys() - expected.keys() if "skim_predictor" not in k)
    if adapters := [k for k in extra if "lora_" in k or ".adapter" in k]:
        raise CheckpointError(
            f"'{source}' has the weights of an adapter ({_some(adapters)}). Merge it into its base: "
            "model.merge_and_unload(), then save_pretrained(...)."
        )
    # A model for another task lacks the head; what it has too much tells which head that is.
    if any(k.startswith("qa_outputs") for k in missing):
        encoder = {base} | {k.split(".")[1] for k in expected}  # saved alone, it has no prefix
        heads = sorted({k.split(".")[0] for k in extra} - encoder) or ["none"]
        raise CheckpointError(
            f"'{source}' has no question-answering head (qa_outputs); its head is: {', '.join(heads)}. "
            "Fine-tune it as a ...ForQuestionAnswering model first."
        )
    unknown = [k for k in extra if k.startswith((f"{base}.", HEAD))]
    if missing or unknown:
        raise CheckpointError(
            f"The weights of '{source}' do not fit its config.json. Missing: {_some(missing)}. Unknown: "
            f"{_some(unknown)}."
        )
    wrong = [
        f"{k} is {list(state[k].shape)}, expected {list(v.shape)}"
        for k, v in expected.items()
        if state[k].shape != v.shape
    ]
    if wrong:
        raise CheckpointError(f"The weights of '{source}' do not fit its config.json: {_some(wrong)}.")
    if extra:
        spare = ", ".join(sorted({k.split(".")[0] for k in extra})[:5])
        _log.warning("'%s' has weights that question answering does not use, which were left out: %s.", source, spare)
    for name in expected:
        _require_numbers(name, state[name], source)
    # A file whose many weights are all the same bytes would take far more memory than it has.
    held = {state[k].untyped_storage().data_ptr(): state[k].untyped_storage().nbytes() for k in expected}
    if sum(4 * v.numel() for v in expected.values()) > 8 * sum(held.values()):
        raise CheckpointError(f"The weights of '{source}' are copies of a few numbers; it is no trained model.")


def ends_with(name: str, parts: str) -> bool:
    """Return whether a dotted name ends with these parts, whole ones.

    Example:
        >>> ends_with("model.head.weight", "head.weight"), ends_with("no_head.weight", "head.weight")
        (True, False)
    """
    return f".{name}".endswith(f".{parts}")


def _require_numbers(name: str, value: Tensor, source: str) -> None:
    """Refuse a weight that is no plain tensor of finite floating-point numbers."""
    if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided or value.is_nested:
        raise CheckpointError(
            f"'{name}' in '{source}' is no plain tensor (sparse or nested). Save it after to_dense()."
        )
    if value.device.type != "cpu":
        raise CheckpointError(f"'{name}' in '{source}' has no numbers (device {value.device}). Save the loaded model.")
    if value.is_quantized or value.dtype not in _FLOATS:
        kind = str(value.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"'{name}' in '{source}' holds {kind} numbers, which mean nothing without their scales: the checkpoint is "
            "quantised or damaged. Load it as it was made, call model.dequantize(), and save it in fp32 or fp16."
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(
            f"'{name}' in '{source}' is an expanded view of fewer numbers. Save it after contiguous()."
        )
    # As fp32, which is what everything computes in: an fp64 number may be too large for it.
    bad = int((~torch.isfinite(value.float())).sum())
    if bad:
        raise CheckpointError(
            f"'{name}' in '{source}' has {bad:,} of {value.numel():,} values that are not numbers (NaN or infinite). "
            "Training has diverged, or the file is damaged: save an earlier checkpoint, or download it again."
        )


def _is_used(name: str) -> bool:
    return not any(part in name for part in _UNUSED)


def _modern(name: str) -> str:
    if any(part in name for part in _WRAPPERS):
        name = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _from_part(name: str, base: str) -> str:
    """Return a dotted name from its part `base` on, or "" if it has none."""
    place = f".{name}".find(f".{base}.")
    return name[place:] if place >= 0 else ""


def _shared_prefix(names: list[str]) -> str:
    """Return the leading parts that all names have, the last part of each excepted."""
    shared = names[0].split(".")[:-1]
    for name in names[1:]:
        parts = name.split(".")[:-1]
        same = [a == b for a, b in zip(shared, parts, strict=False)]
        shared = shared[: same.index(False) if False in same else len(same)]
    return "".join(f"{part}." for part in shared)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"

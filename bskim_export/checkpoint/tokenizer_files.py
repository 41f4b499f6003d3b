"""Reads tokenizers: as AutoTokenizer makes them of a directory, from a tokenizer.json, or from an object."""

import inspect
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

from bskim_export.checkpoint.config import require_no_code
from bskim_export.checkpoint.files import (
    LARGEST_JSON,
    first_line,
    is_there,
    read_object,
    read_text,
    require_file,
)
from bskim_export.errors import CheckpointError
from bskim_export.model.families import require_supported

_log = logging.getLogger(__name__)

_JSON = "tokenizer.json"
_CONFIG = "tokenizer_config.json"
_VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
_BESIDE = ("merges.txt", "added_tokens.json", "special_tokens_map.json")

LARGEST_ID = 2**24
"""A hundred times the largest vocabulary of an encoder."""

_ALWAYS_READ = (
    "add_bos_token", "add_eos_token", "add_prefix_space", "added_tokens_decoder", "additional_special_tokens",
    "extra_special_tokens", "split_special_tokens",
)  # fmt: skip
"""Fields of tokenizer_config.json that every tokenizer class obeys, besides those that end with _token."""

_SAVE = "Save it there with tokenizer.save_pretrained(...)."


def read_tokenizer(folder: Path) -> str:
    """Return the tokenizer of a Hugging Face directory as JSON, as `tokenizer_json` does.

    It is what AutoTokenizer makes of the directory, because the model was trained with that: tokenizer_config.json
    decides over tokenizer.json. Where there is no tokenizer_config.json, AutoTokenizer would put its class's defaults
    over tokenizer.json (it lower-cases every BERT); then tokenizer.json is taken as it stands.

    transformers sees a copy of the tokenizer's own files, and of tokenizer_config.json only the fields that it names
    itself. So none of them can bring code, or have other files read.

    Raises:
        CheckpointError: there is no tokenizer, or it cannot be read, or it has code of its own.
    """
    # The model's type and its config.json choose the class.
    config = read_object(folder / "config.json") if is_there(folder / "config.json") else {}
    require_no_code(config, f"'{folder}/config.json'")
    stated = None
    settings: dict[str, Any] = {}
    if is_there(folder / _CONFIG):
        settings = read_object(folder / _CONFIG)
        require_no_code(settings, f"'{folder}/{_CONFIG}'")
    if is_there(folder / _JSON):
        stated = tokenizer_json(read_text(folder / _JSON))
        if not is_there(folder / _CONFIG):
            return stated
    elif not any(is_there(folder / name) for name in _VOCABULARIES):
        raise CheckpointError(f"'{folder}' has no tokenizer: neither {_JSON} nor a vocabulary. {_SAVE}")
    require_supported(config.get("model_type"))
    name = _tokenizer_class(settings, config, folder)
    made = _made_by_transformers(folder, config["model_type"], name, settings)
    made = _without_own_mask(made, stated, config.get("vocab_size"))
    if stated is not None and (part := _first_difference(made, stated)):
        _log.warning(
            "'%s': tokenizer_config.json and tokenizer.json disagree (%s). The former was followed, as transformers "
            "does.",
            folder, part,
        )  # fmt: skip
    return made


def tokenizer_json(tokenizer: str | Tokenizer | PreTrainedTokenizerBase) -> str:
    """Return the tokenizer as JSON, checked, without the padding and truncation that training left in it.

    Args:
        tokenizer: the contents of a tokenizer.json, or a fast tokenizer

    Raises:
        CheckpointError: it is a slow tokenizer, or not a valid tokenizer.json.
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise CheckpointError("The tokenizer is a slow one; the runtime needs a fast one (tokenizer.json).")
        tokenizer = backend
    try:
        text = tokenizer if isinstance(tokenizer, str) else tokenizer.to_str()
        _require_possible_ids(json.loads(text))
        own = Tokenizer.from_str(text)
        own.no_padding()
        own.no_truncation()
        if getattr(own.model, "dropout", None):  # BPE's, for training: the same text would give other tokens each time
            own.model.dropout = None
        return own.to_str()
    except (KeyboardInterrupt, SystemExit, CheckpointError):
        raise
    except BaseException as error:  # tokenizers raises plain Exception, and a panic of Rust's is not even that
        raise CheckpointError(f"The tokenizer is not a valid tokenizer.json: {first_line(error)}") from None


def pad_token_id(tokenizer: str) -> int:
    """Return the padding token of a tokenizer.json.

    Raises:
        CheckpointError: it has none.
    """
    own = Tokenizer.from_str(tokenizer)
    special = [token.content for token in own.get_added_tokens_decoder().values() if token.special]
    for name in ("[PAD]", "<pad>", *(token for token in special if "pad" in token.lower())):
        if (found := own.token_to_id(name)) is not None:
            return found
    raise CheckpointError(
        "config.json has no pad_token_id, and the tokenizer has no padding token that could stand in. Set it in "
        "config.json."
    )


def _tokenizer_class(settings: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> str | None:
    """Return the name of the tokenizer class that a directory asks for, if it is one of a fast tokenizer.

    AutoTokenizer would call whatever has this name in transformers: pipelines, and classes that load other folders.
    """
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    if not isinstance(name, str):
        return None
    try:
        # For the bare base class of slow tokenizers AutoTokenizer takes that of fast ones.
        found = None if name in ("PreTrainedTokenizer", "PythonBackend") else tokenizer_class_from_name(name)
    except Exception:  # a part of transformers that needs another library
        found = object
    if found is None:
        return PreTrainedTokenizerFast.__name__ if is_there(folder / _JSON) else None
    if not isinstance(found, type) or not issubclass(found, PreTrainedTokenizerFast):
        raise CheckpointError(
            f"'{folder}' asks for the tokenizer class {name[:80]!r}, which is no fast one; the runtime needs a fast "
            "one. Save the tokenizer as a tokenizer.json, if it can be converted."
        )
    return name


def _made_by_transformers(folder: Path, model_type: str, name: str | None, settings: Mapping[str, Any]) -> str:
    """Return what AutoTokenizer makes of copies of a directory's tokenizer files."""
    own_class = name or TOKENIZER_MAPPING_NAMES.get(model_type) or PreTrainedTokenizerFast.__name__
    found = tokenizer_class_from_name(own_class)
    needed = [file for file in getattr(found, "vocab_files_names", {}).values() if file != _JSON]
    if not is_there(folder / _JSON) and not all(is_there(folder / file) for file in needed):
        others = ", ".join(file for file in _VOCABULARIES if is_there(folder / file))
        raise CheckpointError(
            f"'{folder}' has {others}, but no tokenizer of a {model_type} model: {own_class} reads "
            f"{' and '.join(needed)}. {_SAVE}"
        )
    kept = _known(settings, found)
    if isinstance(added := kept.get("added_tokens_decoder"), dict):
        _require_ids(int(i) if i.isdecimal() and len(i) < 10 else i for i in added)
    if name is not None:
        kept["tokenizer_class"] = name
    with tempfile.TemporaryDirectory() as copy:
        for file in (_JSON, *_VOCABULARIES, *_BESIDE):
            if is_there(folder / file):
                require_file(folder / file, LARGEST_JSON)
                if file in ("vocab.json", "added_tokens.json"):
                    ids = list(read_object(folder / file).values())
                    _require_ids(ids)
                    _require_distinct(ids)
                os.symlink((folder / file).resolve(), Path(copy) / file)
        (Path(copy) / _CONFIG).write_text(json.dumps(kept), encoding="utf-8")
        try:
            # No code of a stranger's, no question on the terminal, no network.
            made = AutoTokenizer.from_pretrained(
                copy, config=AutoConfig.for_model(model_type), trust_remote_code=False, local_files_only=True
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # panics of Rust's included
            reason = first_line(error).replace(copy, str(folder))
            raise CheckpointError(f"The tokenizer in '{folder}' cannot be read: {reason}") from None
        return tokenizer_json(made)


def _require_possible_ids(content: Any) -> None:
    """Refuse ids that no vocabulary has, before tokenizers makes a list that is as long as the largest one.

    Args:
        content: of a tokenizer.json; anything else in it is for tokenizers to judge
    """
    content = content if isinstance(content, dict) else {}
    model = content.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else []
    _require_distinct(ids)
    added = content.get("added_tokens")
    ids += [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    _require_ids(ids)


def _require_distinct(ids: list[object]) -> None:
    """Refuse a vocabulary with one id for two tokens: one of the two is lost when it is written."""
    if len(set(map(str, ids))) < len(ids):
        raise CheckpointError(
            "The tokenizer is not a valid tokenizer: two tokens of its vocabulary have the same id. Save the model's "
            "own with tokenizer.save_pretrained(...)."
        )


def _require_ids(ids: Iterable[object]) -> None:
    for i in ids:
        if not isinstance(i, int) or not 0 <= i < LARGEST_ID:
            raise CheckpointError(
                f"The tokenizer is not a valid tokenizer: a token has the id {str(i)[:40]}, where a whole number from "
                f"0 to {LARGEST_ID - 1:,} can be. Save the model's own with tokenizer.save_pretrained(...)."
            )


def _without_own_mask(made: str, stated: str | None, vocab_size: object) -> str:
    """Return a tokenizer without the mask token that its class has added beyond the model's embeddings.

    Masks are for pre-training. A class adds one if the vocabulary has none; a tokenizer.json that has one is obeyed.
    """
    content = json.loads(made)
    own = {t["content"] for t in json.loads(stated)["added_tokens"]} if stated else set()
    added = [t for t in content["added_tokens"] if t["content"] in {"[MASK]", "<mask>"} - own and t["id"] == vocab_size]
    if not added:
        return made
    content["added_tokens"] = [t for t in content["added_tokens"] if t not in added]
    return tokenizer_json(json.dumps(content))


def _known(settings: Mapping[str, Any], tokenizer_class: Any) -> dict[str, Any]:
    """Return the fields of a tokenizer_config.json that its class has by name: none that names a file or an object."""
    named = set(_ALWAYS_READ)
    for one in inspect.getmro(tokenizer_class):
        if one is not object and (own_init := vars(one).get("__init__")):
            named |= {p for p in inspect.signature(own_init).parameters if not p.startswith("_")}
    named -= {
        "self",
        "args",
        "kwargs",
        "vocab",
        "merges",
        "vocab_file",
        "merges_file",
        "tokenizer_file",
        "tokenizer_object",
    }
    return {k: v for k, v in settings.items() if k in named or (k.endswith("_token") and isinstance(v, (str, dict)))}


def _first_difference(one: str, other: str) -> str:
    """Return the part in which two tokenizers cut texts differently, or "" if there is none."""
    a, b = json.loads(one), json.loads(other)
    parts = [("vocabulary", a["model"].get("vocab"), b["model"].get("vocab"))]
    parts += [(p, a[p], b[p]) for p in ("normalizer", "pre_tokenizer", "post_processor", "added_tokens")]
    return next((part for part, mine, theirs in parts if mine != theirs), "")

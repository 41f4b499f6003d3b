"""Reads tokenizers: from a tokenizer.json, from a vocabulary, or from an object."""

from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bskim_export.errors import CheckpointError


def read_tokenizer(path: Path) -> str:
    """Return the tokenizer of a Hugging Face directory as JSON, as `tokenizer_json` does.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    if (path / "tokenizer.json").is_file():
        try:
            return tokenizer_json((path / "tokenizer.json").read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise CheckpointError(f"'{path}/tokenizer.json' is damaged: {error}") from None
    if not any(
        (path / name).is_file() for name in ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
    ):
        raise CheckpointError(
            f"'{path}' has no tokenizer: neither tokenizer.json nor a vocabulary. Save it there with "
            "tokenizer.save_pretrained(...)."
        )
    try:
        return tokenizer_json(AutoTokenizer.from_pretrained(path))
    except (ValueError, OSError, ImportError) as error:
        raise CheckpointError(f"The tokenizer in '{path}' cannot be read: {error}") from None


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
        own = Tokenizer.from_str(tokenizer if isinstance(tokenizer, str) else tokenizer.to_str())
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"The tokenizer is not a valid tokenizer.json: {error}") from None
    own.no_padding()
    own.no_truncation()
    return own.to_str()

"""Whether a tokenizer can be a model's: its ids, its special tokens, and words that it knows."""

import json

from tokenizers import Encoding, Tokenizer
from transformers import PretrainedConfig

from bskim_export.checkpoint.files import first_line
from bskim_export.errors import CheckpointError

_OTHER = "they do not belong together."
_SAVE = "Save the model's own there with tokenizer.save_pretrained(...), which writes a tokenizer.json."

LEAST_SHARE = 0.5
"""A vocabulary with a smaller share of the model's tokens is not the model's. Published models have 5 % to spare."""

MOST_UNKNOWN = 0.5
"""Share of its own words that a tokenizer may not know: those with accents, say, that it strips."""

_PROBES = 200
_BEGINS_WORD = ("\u0120", "\u2581")
"""What byte-level BPE and SentencePiece put before the first piece of a word. WordPiece marks the other pieces."""

_ODD = "\U0001f9ec \u6771\u4eac \u0301 \u202e\u200d \x00 \ufffd"
"""Characters that a vocabulary may not have, and a tokenizer must bear."""


def require_tokenizer(tokenizer: Tokenizer, config: PretrainedConfig) -> Encoding:
    """Return how the tokenizer encodes a question and a passage, if it can be the tokenizer of this model.

    Raises:
        CheckpointError: an id is beyond the embeddings; the vocabulary is far too small, so it was not read or is
            another model's; it does not know its own words; it adds no special tokens around the two texts, or token
            types that the model does not have.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if len(vocabulary) < LEAST_SHARE * config.vocab_size:
        raise CheckpointError(
            f"The tokenizer has {len(vocabulary):,} tokens, the model {config.vocab_size:,}: its vocabulary was not "
            f"read, or {_OTHER} {_SAVE}"
        )
    pair = _encode(tokenizer, "a", "b")
    # The ids count, not the tokens: a vocabulary may have gaps, and special tokens of their own.
    largest = max([*vocabulary.values(), *pair.ids], default=-1)
    if largest >= config.vocab_size:
        named = next((repr(token)[:60] for token, i in vocabulary.items() if i == largest), "a special token")
        raise CheckpointError(
            f"The tokenizer has {len(vocabulary):,} tokens, up to id {largest:,} ({named}), the model only "
            f"{config.vocab_size:,}: {_OTHER} If tokens were added, save the model after "
            "model.resize_token_embeddings(len(tokenizer))."
        )
    # The two texts must lie one after the other, with something before the first.
    texts = [i for i in pair.sequence_ids if i is not None]
    if tokenizer.num_special_tokens_to_add(True) == 0 or pair.sequence_ids[0] is not None or texts != sorted(texts):
        raise CheckpointError(
            "The tokenizer adds no special tokens around a question and a passage; is it this model's?"
        )
    types = getattr(config, "type_vocab_size", 0)  # up to 1 means that the runtime gives zeros
    if types > 1 and max(pair.type_ids) >= types:
        raise CheckpointError(f"The tokenizer gives token type {max(pair.type_ids)}, the model has {types}: {_OTHER}")
    _require_known_words(tokenizer, vocabulary)
    return pair


def _require_known_words(tokenizer: Tokenizer, vocabulary: dict[str, int]) -> None:
    """Refuse a tokenizer that does not know the words of its own vocabulary: it was made for another kind."""
    _encode(tokenizer, _ODD, _ODD)
    model = json.loads(tokenizer.to_str())["model"]
    unknown = vocabulary.get(str(model.get("unk_token")), model.get("unk_id"))
    words = _words(tokenizer, vocabulary)
    probes = words[:: max(1, len(words) // _PROBES)]
    lost = [word for word in probes if not _knows(_encode(tokenizer, word), unknown)]
    if len(lost) > MOST_UNKNOWN * len(probes):
        raise CheckpointError(
            f"The tokenizer knows only {len(probes) - len(lost)} of {len(probes)} words of its own vocabulary; "
            f"{lost[0]!r} is unknown to it. The vocabulary is another kind of tokenizer's, or its settings are. {_SAVE}"
        )


def _words(tokenizer: Tokenizer, vocabulary: dict[str, int]) -> list[str]:
    """Return the words that a vocabulary has as one token, those of several letters if there are such."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    marked = [token[1:] for token in vocabulary if token.startswith(_BEGINS_WORD)]
    plain = [token for token in vocabulary if token not in special and not token.startswith("##")]
    words = sorted(word for word in (marked if len(marked) > len(vocabulary) // 10 else plain) if word.isalpha())
    return [word for word in words if len(word) > 2] or words


def _knows(encoding: Encoding, unknown: int | None) -> bool:
    words = [i for i, special in zip(encoding.ids, encoding.special_tokens_mask, strict=True) if not special]
    return bool(words) and unknown not in words


def _encode(tokenizer: Tokenizer, text: str, pair: str | None = None) -> Encoding:
    try:
        return tokenizer.encode(text, pair)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # tokenizers raises plain Exception, and a panic of Rust's is not even that
        raise CheckpointError(f"The tokenizer cannot cut a text into tokens: {first_line(error)}. {_SAVE}") from None

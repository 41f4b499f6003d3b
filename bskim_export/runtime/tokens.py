"""The tokens of a question and its context. A long context is tokenised piece by piece.

The tokenizer library needs some 600 bytes a token while it works, of which 20 are needed.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

PIECE = 50_000
"""Characters that are tokenised together, if that makes no difference."""
_CUT = re.compile(r"(?<=[0-9A-Za-z.,;:!?])(?= [0-9A-Za-z])", re.ASCII)
"""Before a single space between two words."""
_NORMALIZERS = ("NoneType", "BertNormalizer", "Lowercase")


@dataclass(frozen=True, eq=False)
class Tokens:
    """All T tokens of a question, its context and the special tokens, in one row.

    ids: int32 [T]
    types: uint8 [T], token types
    offsets: int32 [T, 2], the characters of the question or of the context that each stands for
    words: int32 [T], the word of each, numbered over the question and over the context; -1 for none
    sequence: int8 [T], 0 for a token of the question, 1 for one of the context, -1 for a special one
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int32]
    words: npt.NDArray[np.int32]
    sequence: npt.NDArray[np.int8]


def encode(tokenizer: Tokenizer, question: str, context: str, piece: int = PIECE) -> Tokens:
    """Return the tokens of a question and a context, without lone surrogates.

    They are those of `tokenizer.encode(question, context)`. Where that is certain whatever the text, because no token
    and no rule of the tokenizer reaches over a space between two words, a context of more than `piece` characters is
    cut at such spaces.
    """
    places = _cuts(context, piece) if len(context) > piece and splits_at_spaces(tokenizer) else [0, len(context)]
    whole = _read(tokenizer.encode(question, context[: places[1]]))
    if len(places) == 2:
        return whole

    # What a piece adds belongs behind the last token of the context, before the special tokens at the end.
    end = int(np.flatnonzero(whole.sequence == 1)[-1]) + 1
    parts = [_part(whole, slice(0, end))]
    for start, stop in pairwise(places[1:]):
        found = _read(tokenizer.encode(context[start:stop], add_special_tokens=False))
        words = found.words + np.where(found.words < 0, 0, parts[-1].words[-1] + 1)
        types = np.full(len(found.ids), whole.types[end - 1], np.uint8)
        parts.append(Tokens(found.ids, types, found.offsets + start, words, np.ones(len(found.ids), np.int8)))
    parts.append(_part(whole, slice(end, None)))
    return Tokens(
        np.concatenate([p.ids for p in parts]),
        np.concatenate([p.types for p in parts]),
        np.concatenate([p.offsets for p in parts]).astype(np.int32),
        np.concatenate([p.words for p in parts]).astype(np.int32),
        np.concatenate([p.sequence for p in parts]),
    )


def splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Return whether a text's tokens are those of its words, each by itself: so it is in BERT's kind.

    A byte-level tokenizer trims the offsets of a text's first token otherwise than those of the following ones.
    """
    kinds = type(tokenizer.pre_tokenizer).__name__, type(tokenizer.normalizer).__name__
    return kinds[0] == "BertPreTokenizer" and kinds[1] in _NORMALIZERS


def _cuts(context: str, piece: int) -> list[int]:
    """Return where pieces begin, and the end: each is the first place to cut after so many characters."""
    places = [0]
    while found := _CUT.search(context, places[-1] + piece):
        places.append(found.start())
    return [*places, len(context)]


def _read(encoding: Encoding) -> Tokens:
    return Tokens(
        np.array(encoding.ids, np.int32),
        np.array(encoding.type_ids, np.uint8),
        np.array(encoding.offsets, np.int32).reshape(-1, 2),
        np.array([-1 if w is None else w for w in encoding.word_ids], np.int32),
        np.array([-1 if i is None else i for i in encoding.sequence_ids], np.int8),
    )


def _part(tokens: Tokens, which: slice) -> Tokens:
    return Tokens(
        tokens.ids[which], tokens.types[which], tokens.offsets[which], tokens.words[which], tokens.sequence[which]
    )

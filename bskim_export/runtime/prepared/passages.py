"""Passages and questions as a split model reads them: tokens in whole blocks, apart from each other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bskim_export.blocks import count_blocks
from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError
from bskim_export.runtime.prepared.cut import Section
from bskim_export.runtime.tokens import encode
from bskim_export.runtime.windows import NoWordsError, replace_surrogates


@dataclass(frozen=True, eq=False)
class PassageTokens:
    """The tokens of one passage, cut into blocks.

    ids: int32 [K, block_size], the last block padded
    offsets: int32 [T, 2], the characters that each token stands for
    words: int32 [T], the word of each token; -1 for none
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    words: npt.NDArray[np.int32]

    @property
    def blocks(self) -> int:
        """Return how many blocks it has."""
        return len(self.ids)

    @classmethod
    def empty(cls, block_size: int) -> "PassageTokens":
        """Return those of a passage without words: no blocks."""
        return cls(np.zeros((0, block_size), np.int32), np.zeros((0, 2), np.int32), np.zeros(0, np.int32))

    @property
    def padded_offsets(self) -> npt.NDArray[np.int32]:
        """Return the offsets in blocks, int32 [K, block_size, 2]; (0, 0) for padding."""
        padded = np.zeros((self.ids.size, 2), np.int32)
        padded[: len(self.offsets)] = self.offsets
        return padded.reshape(*self.ids.shape, 2)

    @property
    def padded_words(self) -> npt.NDArray[np.int32]:
        """Return the words in blocks, int32 [K, block_size]; -1 for padding."""
        padded = np.full(self.ids.size, -1, np.int32)
        padded[: len(self.words)] = self.words
        return padded.reshape(self.ids.shape)

    @property
    def real(self) -> npt.NDArray[np.bool_]:
        """Return bool [K, block_size], tokens, not padding."""
        return (np.arange(self.ids.size) < len(self.offsets)).reshape(self.ids.shape)


def cut_passage(tokenizer: Tokenizer, text: str, model: Model) -> PassageTokens:
    """Return a passage's tokens, in blocks.

    Raises:
        NoWordsError: it has no words.
    """
    tokens = encode(tokenizer, "", replace_surrogates(text))
    own = tokens.sequence == 1
    count = int(np.count_nonzero(own))
    if not count:
        raise NoWordsError("A passage cannot be empty: it has no words.")
    ids = np.full(count_blocks(count, model.block_size) * model.block_size, model.pad_token_id, np.int32)
    ids[:count] = tokens.ids[own]
    return PassageTokens(ids.reshape(-1, model.block_size), tokens.offsets[own], tokens.words[own])


def first_token(model: Model) -> int:
    """Return the token that stands before each section: `[CLS]`, or padding for a model without it."""
    return model.pad_token_id if model.cls_token_id is None else model.cls_token_id


def section_ids(passage: PassageTokens, section: Section, model: Model) -> npt.NDArray[np.int64]:
    """Return the tokens of a section, int64 [S], not padded."""
    stop = min(section.stop * model.block_size, len(passage.offsets))
    return passage.ids.ravel()[section.first * model.block_size : stop].astype(np.int64)


def question_ids(tokenizer: Tokenizer, question: str, model: Model) -> npt.NDArray[np.int64]:
    """Return `[CLS] question [SEP]`, int64 [T], not padded.

    Raises:
        InputError: the question has no words, or too many.
    """
    encoding = tokenizer.encode(replace_surrogates(question))
    ids = np.array(encoding.ids, np.int64)
    if len(ids) <= sum(encoding.special_tokens_mask):
        raise InputError("`question` cannot be empty: it has no words.")
    room = model.max_seq_len // model.block_size * model.block_size
    if len(ids) > room:
        raise InputError(f"The question has {len(ids)} tokens; this model takes {room}. Shorten it.")
    return ids

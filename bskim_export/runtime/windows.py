"""Windows: `[CLS] question [SEP] passage part [SEP]` sequences, cut and tokenised with the bundle's own tokenizer."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from bskim_export.blocks import count_blocks, count_question_blocks
from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError

MAX_WINDOWS = 4096
"""Windows of one question at most: some 700,000 words, at the usual 384 positions."""
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class Window:
    """One window, padded to whole blocks.

    input_ids, token_type_ids, position_ids: int64 [K * block_size]
    length: real tokens
    question_length: tokens before the first passage token
    question_blocks: leading blocks that hold any of those; they always stay
    may_leave: the window may leave the batch once its passage blocks are gone, because the passage tokens that share
        a block with the question are also in the window before it
    encoding: the tokenizer's record of offsets and words
    is_first, is_last: where it is among the windows of its context
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    position_ids: np.ndarray
    length: int
    question_length: int
    question_blocks: int
    may_leave: bool
    encoding: Encoding
    is_first: bool = True
    is_last: bool = True

    @property
    def is_passage(self) -> np.ndarray:
        """Return bool [K * block_size]: which positions hold a passage token."""
        mask = np.zeros(len(self.input_ids), bool)
        ids = self.encoding.sequence_ids
        mask[: len(ids)] = [i == 1 for i in ids]
        return mask


class WindowMaker:
    """Cuts a question and its context into windows.

    Args:
        tokenizer: a fast tokenizer, or the path of its tokenizer.json
        model: shapes and special positions of the model
    """

    def __init__(self, tokenizer: Tokenizer | Path | str, model: Model):
        if not isinstance(tokenizer, Tokenizer):
            tokenizer = Tokenizer.from_file(str(tokenizer))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.model = model
        self.tokenizer = tokenizer
        self._specials = tokenizer.num_special_tokens_to_add(True)
        # A tokenizer keeps its truncation as state, so each setting gets a copy: calls from threads do not disturb
        # each other.
        self._truncating = lru_cache(maxsize=16)(self._copy_with_truncation)

    def __call__(
        self, question: str, context: str, max_seq_len: int, doc_stride: int, max_windows: int = MAX_WINDOWS
    ) -> list[Window]:
        """Return the windows of one question, in the order of the passage.

        Args:
            max_seq_len: positions of a window at most, special tokens included
            doc_stride: passage tokens that neighbouring windows share; half of the room for the passage at most, so
                that a long question does not make windows that bring hardly anything new
            max_windows: of one question at most

        Raises:
            InputError: the question or the context has no words, the question fills the window, or there are more
                windows than allowed.
        """
        question = replace_surrogates(question)
        context = replace_surrogates(context)
        question_tokens = len(self.tokenizer.encode(question, add_special_tokens=False))
        room = max_seq_len - question_tokens - self._specials
        if question_tokens == 0:
            raise InputError("`question` cannot be empty: it has no words.")
        if room < 1:
            raise InputError(
                f"The question has {question_tokens} tokens, which leaves no room for the passage in a window of "
                f"{max_seq_len}. Shorten the question or raise max_seq_len (up to {self.model.max_seq_len} here)."
            )
        stride = min(doc_stride, room // 2)
        first = self._truncating(max_seq_len, stride).encode(question, context)
        if 1 not in first.sequence_ids:
            raise InputError("`context` cannot be empty: it has no words.")
        encodings = [first, *first.overflowing]
        if len(encodings) > max_windows:
            raise InputError(
                f"`context` makes {len(encodings)} windows, more than max_windows {max_windows}. Raise max_windows, "
                f"raise max_seq_len (now {max_seq_len}), lower doc_stride (now {doc_stride}), or split the context."
            )
        last = len(encodings) - 1
        return [self._window(e, stride if i else 0, i == 0, i == last) for i, e in enumerate(encodings)]

    def _window(self, encoding: Encoding, overlap: int, is_first: bool, is_last: bool) -> Window:
        model = self.model
        size = model.block_size
        length = len(encoding.ids)
        padded = count_blocks(length, size) * size
        # Ids, types and positions, padded to whole blocks.
        ids = np.full(padded, model.pad_token_id, np.int64)
        ids[:length] = encoding.ids
        types = np.zeros(padded, np.int64)
        if model.type_vocab_size > 1:
            types[:length] = encoding.type_ids
        positions = np.arange(padded, dtype=np.int64) + model.position_offset
        if model.pad_position is not None:
            positions[length:] = model.pad_position
        # The last question block may hold passage tokens: the window may leave if the one before it has them too.
        question_length = encoding.sequence_ids.index(1)
        question_blocks = count_question_blocks(question_length, size)
        shared = min(question_blocks * size, length) - question_length
        may_leave = overlap >= shared
        return Window(
            ids, types, positions, length, question_length, question_blocks, may_leave, encoding, is_first, is_last
        )

    def _copy_with_truncation(self, max_seq_len: int, stride: int) -> Tokenizer:
        copy = Tokenizer.from_str(self.tokenizer.to_str())
        copy.enable_truncation(max_seq_len, stride=stride, strategy="only_second")
        return copy


def replace_surrogates(text: str) -> str:
    """Return a text that tokenizers take: a lone surrogate is no character, and UTF-8 cannot hold it.

    Each is replaced by one character, so that offsets stay valid.
    """
    return _SURROGATES.sub("\ufffd", text)

"""Windows: `[CLS] question [SEP] passage part [SEP]` sequences, cut and tokenised with the bundle's own tokenizer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bskim_export.blocks import count_blocks, count_question_blocks
from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError
from bskim_export.runtime.tokens import encode

MAX_WINDOWS = 4096
"""Windows of one question at most: some 700,000 words, at the usual 384 positions."""
_SURROGATES = re.compile("[\ud800-\udfff]")


class NoWordsError(InputError):
    """A context has no words."""


@dataclass(frozen=True, eq=False)
class Window:
    """One window, padded to whole blocks.

    input_ids, token_type_ids, position_ids: int64 [K * block_size]
    length: real tokens
    question_length: tokens before the first passage token
    question_blocks: leading blocks that hold any of those; they always stay
    may_leave: the window may leave the batch once its passage blocks are gone
    offsets: int32 [P, 2], the characters of the context that each of its P passage tokens stands for
    words: int32 [P], the word of each passage token, numbered over the whole context; -1 for none
    is_first, is_last: where it is among the windows of its context
    judge_shared: predictors also judge the question block that holds passage tokens. It is never dropped by itself,
        but the window may leave only once it is refused too. Not needed where the window before has these tokens
    states: of a window of a split model, float32 [K, block_size, H], the hidden states behind its lower layers; ids,
        types and positions mean nothing then
    tokens: bool [K * block_size], which positions hold a token; default: the first `length` ones
    """

    input_ids: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]
    position_ids: npt.NDArray[np.int64]
    length: int
    question_length: int
    question_blocks: int
    may_leave: bool
    offsets: npt.NDArray[np.int32]
    words: npt.NDArray[np.int32]
    is_first: bool = True
    is_last: bool = True
    judge_shared: bool = False
    states: npt.NDArray[np.float32] | None = None
    tokens: npt.NDArray[np.bool_] | None = None

    @property
    def is_token(self) -> npt.NDArray[np.bool_]:
        """Return bool [K * block_size]: which positions hold a token."""
        return np.arange(len(self.input_ids)) < self.length if self.tokens is None else self.tokens

    @property
    def unjudged_blocks(self) -> int:
        """Return how many blocks no predictor judges."""
        return self.question_blocks - self.judge_shared

    @property
    def passage(self) -> slice:
        """Return the positions of the passage tokens, which stand together."""
        return slice(self.question_length, self.question_length + len(self.offsets))

    @property
    def is_passage(self) -> npt.NDArray[np.bool_]:
        """Return bool [K * block_size]: which positions hold a passage token."""
        mask = np.zeros(len(self.input_ids), bool)
        mask[self.passage] = True
        return mask

    @property
    def ranges(self) -> npt.NDArray[np.int64]:
        """Return int64 [K * block_size, 2], the characters of all positions; (0, 0) where there is no passage token."""
        ranges = np.zeros((len(self.input_ids), 2), np.int64)
        ranges[self.passage] = self.offsets
        return ranges


class Windows(Sequence[Window]):
    """The windows of one question, in the order of the passage. Each is made when it is asked for: of a long context,
    the tokens are all that stays in memory.

    Args:
        model: shapes and special positions of the model
        ids, types, offsets, words: of all tokens of question, context and special tokens, in one row
        passage: where the context's tokens are among them
        room: passage tokens of a window at most
        stride: passage tokens that neighbouring windows share
        least: positions that windows are padded to at least
        alone: the question is asked of this context only. Its single window does not leave while it holds passage
            tokens that share a block with the question: it would only have to run once more
    """

    def __init__(
        self,
        model: Model,
        ids: npt.NDArray[np.int32],
        types: npt.NDArray[np.uint8],
        offsets: npt.NDArray[np.int32],
        words: npt.NDArray[np.int32],
        passage: slice,
        room: int,
        stride: int,
        least: int,
        alone: bool,
    ):
        self._model = model
        self._ids = ids
        self._types = types
        self._offsets = offsets
        self._words = words
        self._passage = passage
        self._room = room
        self._stride = stride
        self._least = least
        beyond_first: int = passage.stop - passage.start - room
        self._count = 1 + max(0, -(-beyond_first // (room - stride)))
        self._alone = alone and self._count == 1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> Window: ...

    @overload
    def __getitem__(self, number: slice) -> list[Window]: ...

    def __getitem__(self, number: int | slice) -> Window | list[Window]:
        if isinstance(number, slice):
            return [self._make(i) for i in range(*number.indices(self._count))]
        return self._make(range(self._count)[number])

    def _make(self, number: int) -> Window:
        model = self._model
        size = model.block_size
        # What is before the passage, this window's part of it, and what is behind it.
        first = self._passage.start + number * (self._room - self._stride)
        last = min(first + self._room, self._passage.stop)
        parts = (slice(0, self._passage.start), slice(first, last), slice(self._passage.stop, None))
        found = np.concatenate([self._ids[part] for part in parts])
        length = len(found)
        padded = count_blocks(max(length, self._least), size) * size
        # Ids, types and positions, padded to whole blocks.
        ids = np.full(padded, model.pad_token_id, np.int64)
        ids[:length] = found
        types = np.zeros(padded, np.int64)
        if model.type_vocab_size > 1:
            types[:length] = np.concatenate([self._types[part] for part in parts])
        positions = np.arange(padded, dtype=np.int64) + model.position_offset
        if model.pad_position is not None:
            positions[length:] = model.pad_position
        elif length < self._least:
            positions[length:] = model.position_offset  # of no consequence, but one that the model has
        # The last question block may hold passage tokens: without them the window may leave only if the one before it
        # has them too, or if they are refused as well.
        question_length = self._passage.start
        question_blocks = count_question_blocks(question_length, size)
        shared = min(question_blocks * size, length) - question_length
        covered = (self._stride if number else 0) >= shared
        return Window(
            input_ids=ids,
            token_type_ids=types,
            position_ids=positions,
            length=length,
            question_length=question_length,
            question_blocks=question_blocks,
            may_leave=covered or not self._alone,
            judge_shared=not covered and not self._alone,
            offsets=self._offsets[first:last],
            words=self._words[first:last],
            is_first=number == 0,
            is_last=number == self._count - 1,
        )


class WindowMaker:
    """Cuts a question and its context into windows.

    Args:
        tokenizer: a fast tokenizer, or the path of its tokenizer.json
        model: shapes and special positions of the model
        pad_to_max_length: pad every window to the full length, as deployments of static shapes do; default: to whole
            blocks
    """

    def __init__(self, tokenizer: Tokenizer | Path | str, model: Model, pad_to_max_length: bool = False):
        if not isinstance(tokenizer, Tokenizer):
            tokenizer = Tokenizer.from_file(str(tokenizer))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.model = model
        self.tokenizer = tokenizer
        self._pads = pad_to_max_length
        self._specials = tokenizer.num_special_tokens_to_add(True)

    def __call__(
        self,
        question: str,
        context: str,
        max_seq_len: int,
        doc_stride: int,
        max_windows: int = MAX_WINDOWS,
        alone: bool = True,
    ) -> Windows:
        """Return the windows of one question.

        They are those that the tokenizer's own truncation makes ("only_second", with a stride), but for the offsets of
        byte-level tokenizers, which trim a window's first token differently there.

        Args:
            max_seq_len: positions of a window at most, special tokens included
            doc_stride: passage tokens that neighbouring windows share; half of the room for the passage at most, so
                that a long question does not make windows that bring hardly anything new
            max_windows: of one question at most
            alone: the question is asked of no other context; see Windows

        Raises:
            InputError: the question or the context has no words, the question fills the window, or there are more
                windows than allowed.
        """
        # Tokens of the whole context: cut into windows, a word may be tokenised otherwise.
        tokens = encode(self.tokenizer, replace_surrogates(question), replace_surrogates(context))
        sequence = tokens.sequence
        question_tokens = int(np.count_nonzero(sequence == 0))
        room = max_seq_len - question_tokens - self._specials
        if question_tokens == 0:
            raise InputError("`question` cannot be empty: it has no words.")
        if room < 1:
            raise InputError(
                f"The question has {question_tokens} tokens, which leaves no room for the passage in a window of "
                f"{max_seq_len}. Shorten the question or raise max_seq_len (up to {self.model.max_seq_len} here)."
            )
        passage = np.flatnonzero(sequence == 1)
        if not len(passage):
            raise NoWordsError("`context` cannot be empty: it has no words.")
        windows = Windows(
            self.model,
            tokens.ids,
            tokens.types,
            tokens.offsets,
            tokens.words,
            slice(int(passage[0]), int(passage[-1]) + 1),
            room,
            min(doc_stride, room // 2),
            max_seq_len if self._pads else 0,
            alone,
        )
        if len(windows) > max_windows:
            raise InputError(
                f"`context` makes {len(windows)} windows, more than max_windows {max_windows}. Raise max_windows, "
                f"raise max_seq_len (now {max_seq_len}), lower doc_stride (now {doc_stride}), or split the context."
            )
        return windows


def replace_surrogates(text: str) -> str:
    """Return a text that tokenizers take: a lone surrogate is no character, and UTF-8 cannot hold it.

    Each is replaced by one character, so that offsets stay valid.
    """
    return _SURROGATES.sub("\ufffd", text)

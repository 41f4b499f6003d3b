"""How questions are run: the one place where windows, strides and answer lengths are chosen."""

import operator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import SupportsIndex, TypedDict

import numpy as np

from bskim_export.bundle.manifest import WINDOW_SCALES, RunDefaults
from bskim_export.errors import InputError
from bskim_export.runtime.windows import MAX_WINDOWS

BATCH_SIZE = 8
LARGEST = 1 << 31
"""No count of tokens, windows or answers is larger."""


class GivenOptions(TypedDict, total=False):
    """The settings that a call may give, but for `top_k`; None stands for the default. See RunOptions."""

    max_seq_len: int | None
    doc_stride: int | None
    max_answer_len: int | None
    handle_impossible_answer: bool
    align_to_words: bool
    batch_size: int | None
    max_windows: int | None
    max_blocks: int | None
    window_scale: str | None


@dataclass(frozen=True)
class RunOptions:
    """The settings of a run. `resolve` makes them from a bundle's defaults and what a call says otherwise.

    max_seq_len: positions of a window, question and special tokens included
    doc_stride: passage tokens that neighbouring windows share; half of the room for the passage at most
    max_answer_len: tokens of an answer at most
    top_k: answers per question
    handle_impossible_answer: the empty answer may be returned. A question whose windows have all left gets no second
        run then, and answers are scored as SQuAD 2.0 scores them
    align_to_words: answers are widened to whole words
    batch_size: windows that run together; answers do not depend on it
    max_windows: of one question at most; more are refused, since their time and memory grow with them
    max_blocks: passage blocks of one question that go beyond the first predictor at most, the best-scored of its whole
        document; None for no bound. See runtime/budget.py
    window_scale: how answers of different windows are compared, one of WINDOW_SCALES
    """

    max_seq_len: int
    doc_stride: int
    max_answer_len: int
    top_k: int = 1
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    batch_size: int = BATCH_SIZE
    max_windows: int = MAX_WINDOWS
    max_blocks: int | None = None
    window_scale: str = WINDOW_SCALES[0]

    @classmethod
    def resolve(
        cls,
        defaults: RunDefaults,
        limit: int,
        *,
        max_seq_len: int | None = None,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        top_k: int = 1,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        batch_size: int | None = None,
        max_windows: int | None = None,
        max_blocks: int | None = None,
        window_scale: str | None = None,
    ) -> "RunOptions":
        """Return the settings of a run; None stands for the default.

        Windows that are shorter than the default share no more than half of their positions.

        Args:
            defaults: the bundle's
            limit: positions that the model takes at most

        Raises:
            InputError: a number is too small, max_seq_len is above the limit, or there is no such scale.

        Example:
            >>> RunOptions.resolve(RunDefaults.of_length(384), 384, max_seq_len=160).doc_stride
            80
        """
        length = defaults.max_seq_len if max_seq_len is None else check_count(1, "max_seq_len", max_seq_len)
        if length > limit:
            raise InputError(f"max_seq_len is {length}; the bundle was exported for at most {limit}.")
        if doc_stride is None:
            shorter = length < defaults.max_seq_len
            doc_stride = min(defaults.doc_stride, length // 2) if shorter else defaults.doc_stride
        if max_answer_len is None:
            max_answer_len = defaults.max_answer_len
        if batch_size is None:
            batch_size = BATCH_SIZE
        if max_windows is None:
            max_windows = MAX_WINDOWS
        if window_scale is None:
            window_scale = defaults.window_scale
        if window_scale not in WINDOW_SCALES:
            raise InputError(f"window_scale must be one of {', '.join(WINDOW_SCALES)}, got {window_scale!r:.60}.")
        return cls(
            max_seq_len=length,
            doc_stride=check_count(0, "doc_stride", doc_stride),
            max_answer_len=check_count(1, "max_answer_len", max_answer_len),
            top_k=check_count(1, "top_k", top_k),
            handle_impossible_answer=check_flag("handle_impossible_answer", handle_impossible_answer),
            align_to_words=check_flag("align_to_words", align_to_words),
            batch_size=check_count(1, "batch_size", batch_size),
            max_windows=check_count(1, "max_windows", max_windows),
            max_blocks=None if max_blocks is None else check_count(1, "max_blocks", max_blocks),
            window_scale=window_scale,
        )

    @classmethod
    def of_length(cls, max_seq_len: int) -> "RunOptions":
        """Return the default settings for windows of so many positions, where there is no bundle yet."""
        return cls.resolve(RunDefaults.of_length(max_seq_len), max_seq_len)

    def allowing_null(self, allowed: bool) -> "RunOptions":
        """Return these settings with `handle_impossible_answer` set."""
        return replace(self, handle_impossible_answer=allowed)


def check_count(least: int, name: str, value: SupportsIndex) -> int:
    """Return a whole number, NumPy's included, as an int. Raises InputError if it is none, too small or too large."""
    if isinstance(value, bool) or not isinstance(value, Integral) or operator.index(value) < least:
        raise InputError(f"{name} parameter should be >= {least} (got {value!r})")
    if operator.index(value) > LARGEST:
        raise InputError(f"{name} is {value!r}; no more than {LARGEST} makes sense.")
    return operator.index(value)


def check_flag(name: str, value: object) -> bool:
    """Return a truth value, NumPy's and 0 and 1 included, as a bool. Raises InputError for anything else."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise InputError(f"{name} must be True or False, got {value!r}.")

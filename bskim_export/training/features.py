"""Questions -> labelled windows, cut exactly as the runtime cuts them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.runtime.windows import Window, WindowMaker

NO_LABEL = -100
"""Marks the blocks that have no label, as PyTorch's losses skip it."""

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "question_mask")
"""The part of a batch that a model reads."""


@dataclass(frozen=True, eq=False)
class Feature:
    """One labelled window.

    input_ids, token_type_ids: int32 [length]
    question_length: tokens of the first segment
    start, end: the answer's first and last token; 0 and 0, [CLS], if the window does not hold a whole answer
    block_labels: int64 [K]: 1 if a passage block holds at least one answer token, 0 if not, NO_LABEL for question
        blocks (paper, equation 2)
    """

    input_ids: npt.NDArray[np.int32]
    token_type_ids: npt.NDArray[np.int32]
    question_length: int
    start: int
    end: int
    block_labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.input_ids)


def make_features(
    questions: Sequence[Question],
    maker: WindowMaker,
    max_seq_len: int,
    doc_stride: int,
    evidence: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> list[Feature]:
    """Return the labelled windows of all questions; those whose question fills the window are left out.

    Args:
        evidence: blocks with a token of a supporting fact are positive too (paper, Table 3, row 12)
        progress: called after each question

    Raises:
        InputError: nothing is left, or evidence is wanted and there is none.
    """
    if evidence and not any(q.supporting for q in questions):
        raise InputError("No question has supporting facts: evidence labels need a data set such as HotpotQA.")
    size = maker.model.block_size
    return [
        label_window(window, question, size, evidence)
        for question, windows in cut_questions(questions, maker, max_seq_len, doc_stride, progress)
        for window in windows
    ]


def cut_questions(
    questions: Sequence[Question],
    maker: WindowMaker,
    max_seq_len: int,
    doc_stride: int,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Question, list[Window]]]:
    """Yield each question with its windows; those whose question fills the window are left out.

    Args:
        progress: called after each question

    Raises:
        InputError: nothing is left.
    """
    empty = True
    for question in questions:
        try:
            windows = maker(question.question, question.context, max_seq_len, doc_stride)
        except InputError:
            windows = []
        if windows:
            empty = False
            yield question, windows
        progress()
    if empty:
        raise InputError(f"No window can be made of {len(questions)} questions at max_seq_len {max_seq_len}.")


def label_window(window: Window, question: Question, block_size: int, evidence: bool = False) -> Feature:
    """Return a window of a question with its labels.

    Args:
        evidence: blocks with a token of a supporting fact are positive too
    """
    offsets = np.array(window.encoding.offsets).reshape(-1, 2)
    passage = window.is_passage[: window.length]

    # Mark the tokens of all answers. Start and end are those of the first answer that lies in the window as a whole.
    positive = np.zeros(len(window.input_ids), bool)
    first = 0
    last = 0
    for begin, text in zip(question.starts, question.answers, strict=True):
        finish = begin + len(text)
        tokens = np.flatnonzero(passage & (offsets[:, 0] < finish) & (offsets[:, 1] > begin))
        positive[tokens] = True
        whole = len(tokens) and offsets[tokens[0], 0] <= begin and offsets[tokens[-1], 1] >= finish
        if whole and not last:
            first = int(tokens[0])
            last = int(tokens[-1])
    for begin, finish in question.supporting if evidence else ():
        positive[: window.length] |= passage & (offsets[:, 0] < finish) & (offsets[:, 1] > begin)

    # A block is positive if any of its tokens is.
    labels = np.any(positive.reshape(-1, block_size), axis=1).astype(np.int64)
    labels[: window.question_blocks] = NO_LABEL
    return replace(without_labels(window, block_size), start=first, end=last, block_labels=labels)


def without_labels(window: Window, block_size: int) -> Feature:
    """Return a window as a feature, none of whose blocks has a label."""
    n = window.length
    labels = np.full(len(window.input_ids) // block_size, NO_LABEL, np.int64)
    return Feature(
        window.input_ids[:n].astype(np.int32),
        window.token_type_ids[:n].astype(np.int32),
        window.question_length,
        0,
        0,
        labels,
    )


class Collator:
    """Makes a batch of features: padded to whole blocks, no longer than the longest needs.

    Returns:
        input_ids, attention_mask, token_type_ids, question_mask: int64 [B, S]
        start_positions, end_positions: int64 [B]; block_labels: int64 [B, K], NO_LABEL for padding blocks
    """

    def __init__(self, block_size: int, pad_token_id: int):
        self._size = block_size
        self._pad = pad_token_id

    def __call__(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        count = len(features)
        blocks = max(len(f.block_labels) for f in features)
        shape = (count, blocks * self._size)
        batch = {name: np.zeros(shape, np.int64) for name in ("attention_mask", "token_type_ids", "question_mask")}
        batch["input_ids"] = np.full(shape, self._pad, np.int64)
        batch["block_labels"] = np.full((count, blocks), NO_LABEL, np.int64)
        for i, feature in enumerate(features):
            n = len(feature)
            batch["input_ids"][i, :n] = feature.input_ids
            batch["token_type_ids"][i, :n] = feature.token_type_ids
            batch["attention_mask"][i, :n] = 1
            batch["question_mask"][i, : feature.question_length] = 1
            batch["block_labels"][i, : len(feature.block_labels)] = feature.block_labels
        batch["start_positions"] = np.array([f.start for f in features])
        batch["end_positions"] = np.array([f.end for f in features])
        return {name: torch.from_numpy(array) for name, array in batch.items()}

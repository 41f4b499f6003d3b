"""Questions -> labelled windows, cut exactly as the runtime cuts them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.runtime.token_ranges import answer_tokens, holders, overlapping, token_ranges
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
    block_labels: int64 [K]: 1 if a block with passage tokens holds at least one answer token, 0 if not, NO_LABEL for
        blocks of the question alone (paper, equation 2). The block that question and passage share has one too: it is
        never dropped by itself, but says whether a window may leave, and what `highlight` keeps
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
    """Return the labelled windows of all questions.

    Args:
        evidence: blocks with a token of a supporting fact are positive too (paper, Table 3, row 12)
        progress: called after each question

    Raises:
        InputError: a question cannot be run (see `evaluate.usable`), or evidence is wanted and there is none.
    """
    if evidence and not any(q.supporting for q in questions):
        raise InputError("No question has supporting facts: evidence labels need a data set such as HotpotQA.")
    features = []
    for question in questions:
        try:
            windows = maker(question.question, question.context, max_seq_len, doc_stride)
        except InputError as error:
            raise InputError(f"Question '{question.id}': {error}") from None
        features += label_windows(windows, question, maker.model.block_size, evidence)
        progress()
    return features


def label_windows(
    windows: Sequence[Window], question: Question, block_size: int, evidence: bool = False
) -> list[Feature]:
    """Return the windows of a question with their labels.

    Args:
        windows: all of one question's, in the order of the passage
        evidence: blocks with a token of a supporting fact are positive too
    """
    ranges = token_ranges(windows, question.context)
    features = [without_labels(window, block_size) for window in windows]
    positive = [np.zeros(len(window.input_ids), bool) for window in windows]

    # Start and end are those of the first answer that lies in the window as a whole.
    for begin, text in zip(question.starts, question.answers, strict=True):
        inside = answer_tokens(ranges, begin, text)
        for w in holders(inside, ranges):
            if not features[w].end:
                features[w] = replace(features[w], start=int(inside[w][0]), end=int(inside[w][-1]))
        for own, tokens in zip(positive, inside, strict=True):
            own[tokens] = True
    for begin, finish in question.supporting if evidence else ():
        for own, its_ranges in zip(positive, ranges, strict=True):
            own[overlapping(its_ranges, begin, finish)] = True

    # A block is positive if any of its tokens is. Those of the question alone have no label.
    for w, window in enumerate(windows):
        labels = np.any(positive[w].reshape(-1, block_size), axis=1).astype(np.int64)
        labels[: window.question_length // block_size] = NO_LABEL
        features[w] = replace(features[w], block_labels=labels)
    return features


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

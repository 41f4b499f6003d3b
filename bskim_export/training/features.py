"""Questions -> labelled windows, cut exactly as the runtime cuts them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.runtime.windows import Window, WindowMaker

NO_LABEL = -100
"""Marks the blocks that have no label, as PyTorch's losses skip it."""


@dataclass(frozen=True, eq=False)
class Feature:
    """One labelled window.

    input_ids, token_type_ids: int32 [length]
    question_length: tokens of the first segment
    start, end: the answer's first and last token; 0 and 0, [CLS], if the window does not hold a whole answer
    block_labels: int64 [K]: 1 if a passage block holds at least one answer token, 0 if not, NO_LABEL for question
        blocks (paper, equation 2)
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    question_length: int
    start: int
    end: int
    block_labels: np.ndarray

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
    features = []
    for question in questions:
        try:
            windows = maker(question.question, question.context, max_seq_len, doc_stride)
        except InputError:
            windows = []
        features += [_label(w, question, maker.model.block_size, evidence) for w in windows]
        progress()
    if not features:
        raise InputError(f"No window can be made of {len(questions)} questions at max_seq_len {max_seq_len}.")
    return features


def _label(window: Window, question: Question, block_size: int, evidence: bool) -> Feature:
    spans = [(s, s + len(a)) for s, a in zip(question.starts, question.answers, strict=True)]
    offsets = np.array(window.encoding.offsets).reshape(-1, 2)
    passage = window.is_passage[: window.length]
    first = last = 0
    positive = np.zeros(len(window.input_ids), bool)
    for begin, finish in spans:
        tokens = np.flatnonzero(passage & (offsets[:, 0] < finish) & (offsets[:, 1] > begin))
        positive[tokens] = True
        whole = len(tokens) and offsets[tokens[0], 0] <= begin and offsets[tokens[-1], 1] >= finish
        if whole and not last:
            first, last = int(tokens[0]), int(tokens[-1])
    for begin, finish in question.supporting if evidence else ():
        positive[: window.length] |= passage & (offsets[:, 0] < finish) & (offsets[:, 1] > begin)
    labels = positive.reshape(-1, block_size).any(1).astype(np.int64)
    labels[: window.question_blocks] = NO_LABEL
    n = window.length
    return Feature(
        window.input_ids[:n].astype(np.int32),
        window.token_type_ids[:n].astype(np.int32),
        window.question_length,
        first,
        last,
        labels,
    )


class Collator:
    """Makes a batch of features: padded to whole blocks, no longer than the longest needs.

    Returns:
        input_ids, attention_mask, token_type_ids, question_mask: int64 [B, S]
        start_positions, end_positions: int64 [B]; block_labels: int64 [B, K], NO_LABEL for padding blocks
    """

    def __init__(self, block_size: int, pad_token_id: int):
        self._size, self._pad = block_size, pad_token_id

    def __call__(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        count, blocks = len(features), max(len(f.block_labels) for f in features)
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

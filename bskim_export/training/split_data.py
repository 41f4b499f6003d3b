"""Steps for a split model: a few sections of documents, many questions about them, and what a teacher reads."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from bskim_export.bundle.manifest import Model
from bskim_export.data.documents import by_paragraph, join
from bskim_export.data.question import Question
from bskim_export.runtime.prepared.cut import cut_sections, section_blocks
from bskim_export.runtime.prepared.lower import pad_rows
from bskim_export.runtime.prepared.passages import (
    PassageTokens,
    cut_passage,
    first_token,
    question_ids,
    section_ids,
)
from bskim_export.runtime.token_ranges import overlapping
from bskim_export.runtime.tokens import encode

SLICE_BLOCKS = 64
"""Blocks of a part of a document, about: what a question's blocks are told from while it learns."""
QUESTIONS = 12
"""Questions about a part that learn together."""
APART = 0.3
"""Share of the parts whose paragraphs are prepared one by one, as `qa.prepare(passages=...)` does it."""
ALONE = 0.5
"""Share of the questions about such parts that read their own paragraph only."""
FORCED = 0.9
"""Share of the questions that read the blocks of their answer, also where these are not among the best."""
ROOM = (5, 8, 11, 14)
"""How many blocks are read at most; drawn for each part, and for a batch it is the most of its parts."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A question about a part.

    ids: int64 [T], `[CLS] question [SEP]`
    start, end: the answer's first and last token, as positions of the part's blocks; -1 without an answer
    positive: bool [N], the blocks with a token of an answer
    readable: bool [N], the blocks that it may read
    teacher: int64 [S], what a teacher reads: `[CLS] question [SEP] paragraph [SEP]`
    offset: where the paragraph begins there
    first, count: the paragraph's tokens, as positions of the part's blocks
    forced: it reads the blocks of its answer in any case
    """

    ids: npt.NDArray[np.int64]
    start: int
    end: int
    positive: npt.NDArray[np.bool_]
    readable: npt.NDArray[np.bool_]
    teacher: npt.NDArray[np.int64]
    offset: int
    first: int
    count: int
    forced: bool


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a document with N blocks, and questions about it.

    sections: for each window of the lower layers its ids, int64 [1 + S]
    kept: the blocks of each window whose states are kept, as ranges
    real: bool [N, block_size]
    passage: int64 [N], the passage of each block: blocks of one are neighbours
    asked: the questions
    room: how many blocks they read at most
    """

    sections: list[npt.NDArray[np.int64]]
    kept: list[range]
    real: npt.NDArray[np.bool_]
    passage: npt.NDArray[np.int64]
    asked: list[Asked]
    room: int


class SplitParts(Sequence[Part]):
    """Parts of documents, each with some of its questions; every question stands in one.

    What is drawn for a part depends on its number and the seed alone, so that each epoch meets the same ones.

    Args:
        questions: all can be run, those of an article in its order
        tokenizer, model: of the split model
        seed: of all draws
    """

    def __init__(self, questions: Sequence[Question], tokenizer: Tokenizer, model: Model, seed: int):
        self._tokenizer = tokenizer
        self._model = model
        self._seed = seed
        self._width = section_blocks(model.max_seq_len, model.block_size)
        self._middle, self._end = _special_tokens(tokenizer)
        self._parts: list[tuple[list[str], list[Question]]] = []
        draw = random.Random(seed)
        for paragraphs in self._slices(questions):
            own = questions_of(paragraphs)
            draw.shuffle(own)
            texts = list(paragraphs)
            self._parts += [(texts, own[i : i + QUESTIONS]) for i in range(0, len(own), QUESTIONS)]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int) -> Part:  # type: ignore[override]  # no slices: nothing needs them
        texts, questions = self._parts[number]
        size = self._model.block_size
        draw = random.Random(f"{self._seed} {number}")

        # One text, or its paragraphs one by one. `at` says in which passage a paragraph is, and where it begins there.
        apart = draw.random() < APART
        document, places = join(texts)
        if apart:
            passages = [cut_passage(self._tokenizer, text, self._model) for text in texts]
            at = {text: (i, 0) for i, text in enumerate(texts)}
        else:
            passages = [cut_passage(self._tokenizer, document, self._model)]
            at = {text: (0, places[text]) for text in texts}
        bases = np.cumsum([0, *(p.blocks for p in passages)])
        passage = np.repeat(np.arange(len(passages)), [p.blocks for p in passages])

        # The sections through which the lower layers read them.
        first = first_token(self._model)
        sections, kept = [], []
        for one in passages:
            for section in cut_sections(one.blocks, self._width):
                sections.append(np.concatenate([[first], section_ids(one, section, self._model)]))
                kept.append(range(section.keep_first - section.first, section.keep_stop - section.first))

        # Who reads its own paragraph only must find its answer there.
        asked = []
        for question in questions:
            which, place = at[question.context]
            alone = apart and draw.random() < ALONE
            forced = draw.random() < FORCED
            readable = passage == which if alone else np.ones(len(passage), bool)
            asked.append(
                self._ask(question, passages[which], place, int(bases[which]) * size, readable, forced or alone)
            )
        real = np.concatenate([p.real for p in passages])
        return Part(sections, kept, real, passage, asked, draw.choice(ROOM))

    def _ask(
        self,
        question: Question,
        passage: PassageTokens,
        place: int,
        base: int,
        readable: npt.NDArray[np.bool_],
        forced: bool,
    ) -> Asked:
        """Return a question about a paragraph.

        Args:
            passage: holds the paragraph
            place: where it begins in the passage, in characters
            base: where the passage begins in the part, in positions
        """
        size = self._model.block_size
        offsets = passage.offsets.astype(np.int64)
        positive = np.zeros(len(readable), bool)
        start = end = -1
        for begin, text in zip(question.starts, question.answers, strict=True):
            inside = overlapping(offsets, place + begin, place + begin + len(text))
            if not len(inside):
                continue
            positive[(base + inside) // size] = True
            if start < 0:
                start, end = base + int(inside[0]), base + int(inside[-1])

        # A teacher reads as much of the paragraph as its window holds, with the special tokens that it knows.
        ids = question_ids(self._tokenizer, question.question, self._model)
        before = np.concatenate([ids[: len(ids) - 1], self._middle])
        inside = overlapping(offsets, place, place + len(question.context))
        own = np.arange(inside[0], inside[-1] + 1)  # also the tokens between that stand for no character of their own
        own = own[: self._model.max_seq_len - len(before) - len(self._end)]
        teacher = np.concatenate([before, passage.ids.ravel()[own], self._end]).astype(np.int64)
        return Asked(ids, start, end, positive, readable, teacher, len(before), base + int(own[0]), len(own), forced)

    def _slices(self, questions: Sequence[Question]) -> list[dict[str, list[Question]]]:
        """Return consecutive paragraphs of one title, about SLICE_BLOCKS together, each with its questions."""
        slices = []
        characters = SLICE_BLOCKS * self._model.block_size * 4.5  # of English text
        for paragraphs in by_paragraph(questions).values():
            now: dict[str, list[Question]] = {}
            for text, own in paragraphs.items():
                now[text] = own
                if sum(map(len, now)) > characters:
                    slices.append(now)
                    now = {}
            if now:
                slices.append(now)
        return slices


def questions_of(paragraphs: dict[str, list[Question]]) -> list[Question]:
    """Return the questions of some paragraphs."""
    return [question for own in paragraphs.values() for question in own]


def _special_tokens(tokenizer: Tokenizer) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the special tokens between a question and its context, and those behind: RoBERTa has two between."""
    pair = encode(tokenizer, "a", "a")
    context = np.flatnonzero(pair.sequence == 1)
    question = np.flatnonzero(pair.sequence == 0)
    ids = pair.ids.astype(np.int64)
    return ids[question[-1] + 1 : context[0]], ids[context[-1] + 1 :]


class PartCollator:
    """Makes a batch of parts. Their blocks, N together, are numbered through.

    Returns:
        section_ids, section_mask: int64 [W, 1 + S]
        kept: int64 [N], for each block its place among the blocks of all sections, [W, S / block_size]
        real: bool [N, block_size]; passage: int64 [N], numbered through
        question_ids, question_mask: int64 [Q, T], T a multiple of the block size
        readable, positive: bool [Q, N]
        start, end: int64 [Q], positions of the blocks, -1 without an answer
        forced: bool [Q]; room: int64 [parts]
        teacher_ids, teacher_mask, teacher_types: int64 [Q, U]
        teacher_first, teacher_count, teacher_offset: int64 [Q]: the first of the paragraph's tokens among the blocks'
            positions, how many there are, and where they begin in what the teacher reads
    """

    def __init__(self, model: Model):
        self._model = model

    def __call__(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        size, pad = self._model.block_size, self._model.pad_token_id
        sections = [ids for part in parts for ids in part.sections]
        asked = [one for part in parts for one in part.asked]
        counts = [len(part.real) for part in parts]
        owners = [i for i, part in enumerate(parts) for _ in part.asked]
        first_block = np.cumsum([0, *counts])[:-1]
        batch: dict[str, npt.NDArray[np.generic]] = {}

        # The sections of all parts, and where their blocks are among all.
        batch["section_ids"], batch["section_mask"] = pad_rows(sections, pad, size, first=1)
        width = (batch["section_ids"].shape[1] - 1) // size
        kept = [r for part in parts for r in part.kept]
        batch["kept"] = np.array([w * width + i for w, own in enumerate(kept) for i in own])
        batch["real"] = np.concatenate([part.real for part in parts])
        passages = np.cumsum([0, *(part.passage.max() + 1 for part in parts)])
        batch["passage"] = np.concatenate([part.passage + base for part, base in zip(parts, passages, strict=False)])

        # The questions. Each knows the blocks of its own part only.
        batch["question_ids"], batch["question_mask"] = pad_rows([one.ids for one in asked], pad, size)
        for name in ("readable", "positive"):
            rows = np.zeros((len(asked), sum(counts)), bool)
            for row, one, owner in zip(rows, asked, owners, strict=True):
                row[first_block[owner] : first_block[owner] + counts[owner]] = getattr(one, name)
            batch[name] = rows
        base = first_block[owners] * size
        for name in ("start", "end"):
            found = np.array([getattr(one, name) for one in asked])
            batch[name] = np.where(found < 0, -1, found + base)
        batch["forced"] = np.array([one.forced for one in asked])
        batch["room"] = np.array([part.room for part in parts])

        # What a teacher reads.
        ids, mask = pad_rows([one.teacher for one in asked], pad, 1)
        offset = np.array([one.offset for one in asked])
        batch["teacher_ids"], batch["teacher_mask"] = ids, mask
        batch["teacher_types"] = ((np.arange(ids.shape[1]) >= offset[:, None]) & mask).astype(np.int64)
        batch["teacher_offset"] = offset
        batch["teacher_first"] = np.array([one.first for one in asked]) + base
        batch["teacher_count"] = np.array([one.count for one in asked])
        for name in ("section_mask", "question_mask", "teacher_mask"):
            batch[name] = batch[name].astype(np.int64)
        return {name: torch.from_numpy(values) for name, values in batch.items()}

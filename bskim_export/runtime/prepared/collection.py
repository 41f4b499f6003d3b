"""Prepared passages as one row of blocks, and the windows in which a question reads some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model, Split
from bskim_export.errors import InputError
from bskim_export.runtime.prepared.choosing import choose_blocks, runs, score_blocks
from bskim_export.runtime.prepared.lower import Question
from bskim_export.runtime.prepared.prepared import Prepared
from bskim_export.runtime.windows import Window

OVERLAP = 2
"""Blocks that two windows share where a stretch of blocks is too long for one."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A window in which a question reads some blocks, and which blocks these are.

    window: question and blocks, with their states
    blocks: int64 [M], by their numbers in the collection, in order
    best: the question's best block of all, by its place in the window; None if it is in another window
    """

    window: Window
    blocks: npt.NDArray[np.intp]
    best: int | None


class Collection:
    """One or more Prepared, their N blocks and their passages numbered through.

    Args:
        parts: at least one
        identity: of the pipeline; see `prepared.identity_of`

    Raises:
        InputError: one was prepared by another model.
    """

    def __init__(self, parts: Sequence[Prepared], identity: str):
        if not parts:
            raise InputError("`prepared` cannot be empty: there is nothing to ask.")
        for one in parts:
            if one.identity != identity:
                raise InputError(
                    "`prepared` was made by another model, or with other settings, than this pipeline's: their hidden "
                    "states mean different things. Prepare the documents again, with this bundle."
                )
        self.parts = list(parts)
        self._first_block = np.cumsum([0, *(len(one) for one in parts)])
        self._first_passage = np.cumsum([0, *(len(one.passages) for one in parts)])

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return int(self._first_block[-1])

    @cached_property
    def passage(self) -> npt.NDArray[np.int64]:
        """Return int64 [N], the passage of each block."""
        return np.concatenate([p.passage + at for p, at in zip(self.parts, self._first_passage, strict=False)])

    def scores(self, question: Question) -> npt.NDArray[np.float32]:
        """Return the score of every block for a question, float32 [N]."""
        return np.concatenate([score_blocks(question.queries, one.features) for one in self.parts])

    def part_of(self, passage: int) -> tuple[Prepared, int]:
        """Return the part that holds a passage, and the passage's number there."""
        i = int(np.searchsorted(self._first_passage, passage, side="right")) - 1
        return self.parts[i], passage - int(self._first_passage[i])

    def place(self, block: int) -> tuple[Prepared, int]:
        """Return the part that holds a block, and the block's number there."""
        i = int(np.searchsorted(self._first_block, block, side="right")) - 1
        return self.parts[i], block - int(self._first_block[i])

    def readings(
        self, question: Question, split: Split, model: Model, max_blocks: int | None, max_windows: int
    ) -> list[Reading]:
        """Return the windows in which a question reads its best blocks.

        Args:
            max_blocks: blocks that are read; None for the bundle's own number
            max_windows: more are refused

        Raises:
            InputError: they make more windows, or states are not those that were written.
        """
        budget = split.max_blocks if max_blocks is None else max_blocks
        scores = self.scores(question)
        best = int(scores.argmax())
        chosen = choose_blocks(scores, self.passage, budget)
        together = self._together(chosen, split.window_blocks)
        if len(together) > max_windows:
            raise InputError(
                f"The {len(chosen)} blocks that max_blocks allows make {len(together)} windows, more than max_windows "
                f"{max_windows}. Lower max_blocks, or raise max_windows."
            )
        return [self._reading(question, blocks, best, model) for blocks in together]

    def _together(self, chosen: npt.NDArray[np.intp], most: int) -> list[npt.NDArray[np.intp]]:
        """Return the blocks of each window: whole stretches as long as they fit, longer ones cut with an overlap."""
        if len(chosen) <= most:
            return [chosen]
        pieces: list[range] = []
        overlap = min(OVERLAP, most - 1)
        for stretch in runs(chosen, self.passage):
            starts = range(stretch.start, max(stretch.start + 1, stretch.stop - overlap), most - overlap)
            pieces += [range(s, min(s + most, stretch.stop)) for s in starts]
        windows: list[list[int]] = []
        for piece in pieces:
            if windows and len(windows[-1]) + len(piece) <= most and piece.start >= windows[-1][-1] + 1:
                windows[-1] += piece
            else:
                windows.append(list(piece))
        return [np.array(own, np.intp) for own in windows]

    def _reading(self, question: Question, blocks: npt.NDArray[np.intp], best: int, model: Model) -> Reading:
        size = model.block_size
        places = [self.place(int(block)) for block in blocks]
        states = np.stack([part.states_of(own) for part, own in places])
        tokens = np.concatenate([part.is_token(own) for part, own in places])
        asked = len(question.states) * size
        ids = np.zeros(asked + len(tokens), np.int64)
        ids[: len(question.ids)] = question.ids
        ids[len(question.ids) :] = model.pad_token_id
        is_token = np.concatenate([np.arange(asked) < len(question.ids), tokens])
        window = Window(
            input_ids=ids,
            token_type_ids=ids,
            position_ids=ids,
            length=len(ids),
            question_length=len(question.ids),
            question_blocks=len(question.states),
            may_leave=False,
            offsets=np.zeros((0, 2), np.int32),
            words=np.zeros(0, np.int32),
            states=np.concatenate([question.states, states]),
            tokens=is_token,
        )
        place = np.flatnonzero(blocks == best)
        return Reading(window, blocks, int(place[0]) + len(question.states) if len(place) else None)

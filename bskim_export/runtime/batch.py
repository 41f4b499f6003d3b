"""The live blocks of a batch, between two stages: where each one is, and what becomes of it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.backends.base import Backend
from bskim_export.blocks import KEPT, MASKED, build_grid, diagonal_rows, question_cells
from bskim_export.bundle.manifest import Model
from bskim_export.bundle.tensors import TOKEN_INPUTS
from bskim_export.errors import BundleError
from bskim_export.runtime.leaving import leaves
from bskim_export.runtime.policy import Policy, reaches
from bskim_export.runtime.runner import NOT_JUDGED, WindowResult
from bskim_export.runtime.windows import Window


class Batch:
    """N live blocks, packed, each with its window and its place there.

    Between two stages of 2 ms, every NumPy call counts: what did not change is not computed again, and what no graph
    takes is not computed at all.

    Args:
        windows: at least one
        protected: for each window a passage block that must stay, or None
        model: shapes
        backend: its tensors are what `tokens` and `layout` return
        wanted: names of the inputs that the graphs take
        layers: those that have a predictor
    """

    def __init__(
        self,
        windows: Sequence[Window],
        protected: Sequence[int | None] | None,
        model: Model,
        backend: Backend,
        wanted: Collection[str],
        layers: Sequence[int] = (),
    ):
        self._inputs = windows
        self._size = model.block_size
        self._heads = model.num_heads
        self._backend = backend
        self._wanted = wanted
        # One row for each block: its window, and its number there.
        counts = np.array([len(w.input_ids) // self._size for w in windows])
        self._window = np.repeat(np.arange(len(windows)), counts)
        self._block = np.concatenate([np.arange(c) for c in counts])
        # Which blocks may be dropped: no question block, and none that is protected.
        stays = np.array([-1 if p is None else p for p in protected or [None] * len(windows)])
        questions = np.array([w.question_blocks for w in windows])
        self._passage = (self._block >= questions[self._window]) & (self._block != stays[self._window])
        # Which ones are judged: those, and what a question's last block shares with the passage, if that is wanted.
        unjudged = np.array([w.unjudged_blocks for w in windows])
        self._judged = (self._block >= unjudged[self._window]) & (self._block != stays[self._window])
        self._initial = np.bincount(self._window[self._judged], minlength=len(windows))
        self._began = np.zeros((len(windows), counts.max()), bool)
        self._began[self._window, self._block] = self._judged
        self._may_leave = np.array([w.may_leave for w in windows]) & (stays < 0)
        # Which positions hold a token, and which of them one of the question.
        positions = self._block[:, None] * self._size + np.arange(self._size)
        tokens = np.concatenate([w.is_token for w in windows]).reshape(-1, self._size)
        self._mask = np.where(tokens, np.float32(0), MASKED)
        asked = np.array([w.question_length for w in windows])
        self._question = positions < asked[self._window, None]
        self._layers = layers
        self._probability = np.full((len(windows), len(layers), counts.max()), NOT_JUDGED)
        self.results = [
            _nothing_dropped(int(c), self._size, found) for c, found in zip(counts, self._probability, strict=True)
        ]
        self._steady: dict[str, Any] = {}
        self._layout: dict[str, Any] = {}
        self._arrange()

    @property
    def live(self) -> int:
        """Return how many blocks are left."""
        return len(self._window)

    @property
    def scored(self) -> int:
        """Return how many of them are judged."""
        return len(self._scored)

    def tokens(self) -> dict[str, Any]:
        """Return the model's inputs: int64 [N, block_size] each, or the states of a split one."""
        states = [w.states for w in self._inputs if w.states is not None]
        if states:
            return {"states": self._backend.to_device(np.concatenate(states))}
        arrays = {name: np.concatenate([getattr(w, name) for w in self._inputs]) for name in TOKEN_INPUTS}
        return {name: self._backend.to_device(a.reshape(-1, self._size)) for name, a in arrays.items()}

    def layout(self) -> dict[str, Any]:
        """Return the index inputs of the next stage."""
        layout = self._layout
        self._layout = self._steady  # the one after it, if nothing is dropped between them, gathers all that is there
        return layout

    def drop(self, layer: int, score: npt.NDArray[np.float32], policy: Policy) -> None:
        """Drop what the policy does not keep, and every block of the windows that may leave and keep nothing.

        Args:
            layer: whose predictor gave the scores
            score: float32 [P], keep probabilities of the blocks that are judged

        Raises:
            BundleError: some are not numbers.
        """
        require_numbers(score, f"keep probabilities after layer {layer}")
        scored = self._scored
        window = self._window[scored]
        block = self._block[scored]
        row = self._layers.index(layer)
        self._probability[window, row, block] = score
        stay = reaches(score, policy.threshold(layer))
        allowed = policy.allowed(layer, self._began)
        if allowed is not None:
            stay &= allowed[window, block]
        if stay.all():
            return
        keep = np.ones(self.live, bool)
        keep[scored] = stay | ~self._passage[scored]
        # Windows in which everything is refused leave, and take their question blocks with them.
        there = np.bincount(window, minlength=len(self._inputs)) > 0  # else it left before
        remaining = np.bincount(window[stay], minlength=len(self._inputs))
        leaving = there & leaves(self._may_leave, self._initial, remaining)
        for w in np.flatnonzero(leaving).tolist():
            self.results[w].leave(row)
        if leaving.any():
            keep &= ~leaving[self._window]
        elif keep.all():
            return
        for w, block in zip(self._window[~keep].tolist(), self._block[~keep].tolist(), strict=True):
            self.results[w].dropped_after[block] = layer
        # Lay out what is left; the next stage gathers it from the blocks and cells of the one before.
        cells = self._cells[keep]
        self._window = self._window[keep]
        self._block = self._block[keep]
        self._passage = self._passage[keep]
        self._judged = self._judged[keep]
        self._mask = self._mask[keep]
        self._question = self._question[keep]
        if self.live:
            self._arrange()
            self._layout = self._steady | self._put({"keep": np.flatnonzero(keep), "keep_cells": cells})

    def finish(self, outputs: Mapping[str, Any]) -> list[WindowResult]:
        """Scatter the logits of the live blocks, float32 [N, block_size], into the results.

        Raises:
            BundleError: some are not numbers.
        """
        start = self._backend.to_host(outputs["start_logits"])
        end = self._backend.to_host(outputs["end_logits"])
        require_numbers(start, "start_logits")
        require_numbers(end, "end_logits")
        for i, (w, block) in enumerate(zip(self._window.tolist(), self._block.tolist(), strict=True)):
            place = slice(block * self._size, (block + 1) * self._size)
            self.results[w].start_logits[place] = start[i]
            self.results[w].end_logits[place] = end[i]
        return self.results

    def _arrange(self) -> None:
        """Lay the live blocks out anew."""
        grid = build_grid(self._window, self._mask)
        self._cells = grid.back
        self._scored = np.flatnonzero(self._judged)
        # Graphs do not take empty tensors everywhere: with nothing to score, look at some block and ignore it.
        scored = self._scored if self.scored else np.zeros(1, np.int64)
        arrays: dict[str, npt.NDArray[Any]] = {
            "keep": np.arange(self.live),
            "keep_cells": grid.back,
            "table": grid.table,
            "back": grid.back,
            "mask": grid.mask,
            "scored": grid.back[scored],
        }
        if "probe" in self._wanted:
            arrays["probe"] = diagonal_rows(grid.back[scored], grid, self._heads)
        if "asked" in self._wanted:
            arrays |= question_cells(self._window, grid, self._mask, self._question)
        self._steady = self._put(arrays)
        self._layout = self._steady

    def _put(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        return {name: self._backend.to_device(a) for name, a in arrays.items() if name in self._wanted}


def require_numbers(values: npt.NDArray[np.float32], what: str) -> None:
    """Raise BundleError if a value is NaN or infinite: every comparison with it would be false, in silence."""
    if not np.isfinite(values).all():
        raise BundleError(
            f"The model's {what} are not numbers: its weights are damaged, or an activation was too large for the "
            "precision of its graphs. Export the model again, in bf16 or fp32 if it was fp16."
        )


def _nothing_dropped(blocks: int, size: int, probabilities: npt.NDArray[np.float32]) -> WindowResult:
    return WindowResult(
        np.full(blocks * size, -np.inf, np.float32),
        np.full(blocks * size, -np.inf, np.float32),
        np.full(blocks, KEPT, np.int16),
        probabilities=probabilities[:, :blocks],
    )

"""Runs the stages of a bundle over a batch of windows and drops blocks between them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bskim_export.backends.base import Backend
from bskim_export.blocks import MASKED, build_grid, diagonal_rows, question_cells
from bskim_export.bundle import Graph, Manifest, Model, Stamps, check_unchanged
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.windows import Window

KEPT = np.iinfo(np.int16).max
"""Stands for "never dropped" where a layer number says when a block was dropped."""


@dataclass(eq=False)
class WindowResult:
    """What became of one window.

    start_logits, end_logits: float32 [K * block_size]; -inf where the block was dropped
    dropped_after: int16 [K], the layer after which each block was dropped, KEPT if it never was
    left: the window left the batch when its passage blocks were all gone
    best_block, best_score: of a window that left, the passage block with the highest keep probability then
    earlier: of a window that was run once more with its best block held, the first run
    """

    start_logits: np.ndarray
    end_logits: np.ndarray
    dropped_after: np.ndarray
    left: bool = False
    best_block: int = -1
    best_score: float = 0.0
    earlier: "WindowResult | None" = None


class Orchestrator:
    """The engines of one bundle.

    Args:
        folder: the bundle's directory
        manifest: its manifest
        backend: what compiles and runs the graphs
        stamps: what `verify_files` returned
    """

    def __init__(self, folder: Path, manifest: Manifest, backend: Backend, stamps: Stamps):
        # Where a link leads may change; engines that are loaded later are of the same bundle
        self._folder, self._manifest, self._backend = Path(folder).resolve(), manifest, backend
        self._stamps = stamps
        self.block_size = manifest.model.block_size

    @cached_property
    def _stages(self):
        return [(s, self._load(s.graph), self._load(s.skim) if s.skim else None) for s in self._manifest.stages]

    @cached_property
    def _dense(self):
        return self._load(self._manifest.dense)

    def load(self, dense: bool, skim: bool) -> None:
        """Compile the engines that will be needed, so that the first request does not wait for it."""
        _ = dense and self._dense, skim and self._stages

    def run(
        self, windows: Sequence[Window], policy: Policy | None, held: Sequence[int | None] | None = None
    ) -> list[WindowResult]:
        """Run a batch of windows; each one's result is the same in any batch.

        Args:
            windows: at least one
            policy: decides which blocks stay; None runs the dense model as one graph
            held: for each window a passage block that must stay, or None
        """
        skims = policy is not None and any(policy.scores(layer) for layer in self._manifest.skim_layers)
        inputs = self._skim_inputs if skims else self._manifest.dense.inputs
        batch = _Batch(windows, held or [None] * len(windows), self._manifest.model, self._backend, inputs)
        if not skims:
            feeds = batch.tokens() | batch.layout()
            outputs = self._dense.run({name: feeds[name] for name in self._manifest.dense.inputs})
            return batch.finish(outputs)
        boundary = batch.tokens()
        for stage, engine, predictor in self._stages:
            feeds = boundary | batch.layout()
            outputs = engine.run({name: feeds[name] for name in stage.graph.inputs})
            if predictor is None:
                break
            boundary = {"last_context": outputs["context"], "last_residual": outputs["residual"]}
            if batch.scored and policy.scores(stage.skim_layer):
                feeds |= outputs
                scores = predictor.run({name: feeds[name] for name in stage.skim.inputs})["keep_probability"]
                batch.drop(stage.skim_layer, self._backend.to_host(scores), policy)
                if not batch.live:
                    return batch.results
        return batch.finish(outputs)

    @cached_property
    def _skim_inputs(self) -> set[str]:
        graphs = [g for s in self._manifest.stages for g in (s.graph, s.skim) if g is not None]
        return {name for graph in graphs for name in graph.inputs}

    def _load(self, graph: Graph):
        try:
            return self._backend.load(self._folder, self._manifest, graph)
        finally:  # also of a load that failed: this is why, then
            check_unchanged(self._folder, self._manifest, self._stamps)


class _Batch:
    """The live blocks of a batch: N of them, packed, each with its window and its place there.

    Between two stages of 2 ms, every NumPy call counts: what did not change is not computed again, and what no graph
    takes (`wanted` names what they take) not at all.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        held: Sequence[int | None],
        model: Model,
        backend: Backend,
        wanted: Collection[str],
    ):
        block_size = model.block_size
        counts = np.array([len(w.input_ids) // block_size for w in windows])
        self._inputs, self._size, self._heads, self._backend = windows, block_size, model.num_heads, backend
        self._wanted = wanted
        self._window = np.repeat(np.arange(len(windows)), counts)
        self._block = np.concatenate([np.arange(c) for c in counts])
        questions = np.array([w.question_blocks for w in windows])
        forced = np.array([-1 if h is None else h for h in held])
        self._passage = (self._block >= questions[self._window]) & (self._block != forced[self._window])
        self._initial = np.bincount(self._window[self._passage], minlength=len(windows))
        self._may_leave = np.array([w.may_leave for w in windows]) & (forced < 0)
        lengths = np.array([w.length for w in windows])
        positions = self._block[:, None] * block_size + np.arange(block_size)
        self._mask = np.where(positions < lengths[self._window, None], np.float32(0), MASKED)
        asked = np.array([w.question_length for w in windows])
        self._question = positions < asked[self._window, None]
        self.results = [
            WindowResult(
                np.full(c * block_size, -np.inf, np.float32),
                np.full(c * block_size, -np.inf, np.float32),
                np.full(c, KEPT, np.int16),
            )
            for c in counts
        ]
        self._arrange()

    @property
    def live(self) -> int:
        """How many blocks are left."""
        return len(self._window)

    @property
    def scored(self) -> int:
        """How many of them may be dropped."""
        return len(self._probe)

    def tokens(self) -> dict[str, Any]:
        """Return the model's inputs, int64 [N, block_size] each."""
        names = ("input_ids", "token_type_ids", "position_ids")
        arrays = (np.concatenate([getattr(w, name) for w in self._inputs]) for name in names)
        return {n: self._backend.to_device(a.reshape(-1, self._size)) for n, a in zip(names, arrays, strict=True)}

    def layout(self) -> dict[str, Any]:
        """Return the index inputs of the next stage."""
        layout, self._layout = self._layout, self._steady
        return layout

    def drop(self, layer: int, score: np.ndarray, policy: Policy) -> None:
        """Drop what the policy does not keep, and every block of the windows that may leave and have nothing left."""
        probe = self._probe
        window = self._window[probe]
        stay = policy.keep(layer, window, score, self._initial[window])
        if stay.all():
            return
        keep = np.ones(self.live, bool)
        keep[probe] = stay
        remaining = np.bincount(window[stay], minlength=len(self._inputs))
        leaving = np.zeros(len(self._inputs), bool)
        leaving[window] = True
        leaving &= self._may_leave & (remaining == 0)
        for w in np.flatnonzero(leaving):
            own = window == w
            result = self.results[w]
            result.left, result.best_score = True, float(score[own].max())
            result.best_block = int(self._block[probe[own][np.argmax(score[own])]])
        if leaving.any():
            keep &= ~leaving[self._window]
        for w, block in zip(self._window[~keep].tolist(), self._block[~keep].tolist(), strict=True):
            self.results[w].dropped_after[block] = layer
        cells = self._cells[keep]
        self._window, self._block = self._window[keep], self._block[keep]
        self._passage, self._mask, self._question = self._passage[keep], self._mask[keep], self._question[keep]
        if self.live:
            self._arrange()
            self._layout = self._steady | self._put({"keep": np.flatnonzero(keep), "keep_cells": cells})

    def finish(self, outputs: Mapping[str, Any]) -> list[WindowResult]:
        """Scatter the logits of the live blocks, float32 [N, block_size], into the results."""
        start, end = (self._backend.to_host(outputs[name]) for name in ("start_logits", "end_logits"))
        for i, (w, block) in enumerate(zip(self._window.tolist(), self._block.tolist(), strict=True)):
            place = slice(block * self._size, (block + 1) * self._size)
            self.results[w].start_logits[place] = start[i]
            self.results[w].end_logits[place] = end[i]
        return self.results

    def _arrange(self) -> None:
        """Lay the live blocks out anew."""
        grid = build_grid(self._window, self._mask)
        self._cells = grid.back
        self._probe = np.flatnonzero(self._passage)
        # graphs do not take empty tensors everywhere: with nothing to score, look at some block and ignore it
        scored = self._probe if self.scored else np.zeros(1, np.int64)
        arrays = {
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
        self._layout = self._steady = self._put(arrays)

    def _put(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {name: self._backend.to_device(a) for name, a in arrays.items() if name in self._wanted}

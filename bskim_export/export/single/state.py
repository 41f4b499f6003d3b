"""The batch between two stages, inside the graph: what `runtime.batch` decides on the host, as operators."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from bskim_export.blocks import KEPT, MASKED
from bskim_export.bundle.manifest import Manifest
from bskim_export.bundle.tensors import TensorSpec
from bskim_export.export.single.builder import Builder, Result
from bskim_export.export.single.layout import Facts, Grid, Layout, OneWindow, diagonal_rows
from bskim_export.export.single.settings import Settings
from bskim_export.runtime.runner import NOT_JUDGED


class State:
    """What changes from one skim point to the next.

    Args:
        alone: the batch is one window

    Attributes:
        feeds: what the next stage takes of the layout, and its predictor
    """

    _layout: Layout
    _judged_now: ir.Value
    """bool [B, K], the blocks that are judged and live."""
    _any_judged: ir.Value
    """bool [B], whether there are any."""

    def __init__(self, b: Builder, manifest: Manifest, facts: Facts, settings: Settings, alone: bool):
        self._b = b
        self._model = manifest.model
        self._layers = manifest.skim_layers
        self._alone = alone
        self._with_probe = any("probe" in stage.graph.input_names for stage in manifest.stages)
        self._facts = facts
        self._settings = settings
        self._hold_best = settings.hold_best
        self._held: ir.Value | None = None
        self._batch = b.op("Shape", facts.real, start=0, end=2)
        self._number = b.count_up(b.size(facts.real, 1))
        self._unjudged = b.filled(self._batch, np.array([NOT_JUDGED]))
        self._judgements: list[ir.Value] = []
        self._there = b.some(facts.real)
        self._live = self._there
        self._lives: list[ir.Value] = []
        self._layouts = (OneWindow if alone else Grid)(b, facts, facts.question_blocks(b), self._model.block_size)
        self._arrange()

    def tokens(self, ids: ir.Value) -> dict[str, ir.Value]:
        """Return the first stage's inputs, [N, k] each; ids: [B, K, k]."""
        b, model, place = self._b, self._model, self._layout.place
        by_block = np.array([-1, model.block_size])
        every = b.op("Add", b.count_up(b.op("Mul", b.size(ids, 1), model.block_size)), model.position_offset)
        positions = b.op("Gather", b.op("Reshape", every, by_block), b.op("Mod", place, b.size(ids, 1)))
        real = b.op("Gather", b.op("Reshape", self._facts.real, by_block), place)
        if model.pad_position is not None:
            positions = b.op("Where", real, positions, model.pad_position)
        ids = b.op("Gather", b.op("Reshape", ids, by_block), place)
        types = b.op("Mul", ids, 0)
        if model.type_vocab_size > 1:
            asks = b.op("Gather", b.op("Reshape", self._facts.question, by_block), place)
            types = b.number(b.op("And", real, b.op("Not", asks)))
        return {"input_ids": ids, "token_type_ids": types, "position_ids": positions}

    def unless_left(self, run: Callable[[], dict[str, ir.Value]], outputs: Sequence[TensorSpec]) -> dict[str, ir.Value]:
        """Return the outputs of a stage that runs only if something is live; else they are empty.

        Branches do not stand in branches: of a weight further out than one, ONNX Runtime packs nothing ahead of time,
        and a matrix product takes a tenth longer.
        """
        b = self._b
        if not self._alone:
            return run()

        def nothing() -> list[Result]:
            shapes = [np.array([0, *spec.axes[1:]]) for spec in outputs]
            return [
                Result(b.filled(b.value(s), np.zeros(1, np.float32)), o.dtype, [None] * len(s))
                for s, o in zip(shapes, outputs, strict=True)
            ]

        def everything() -> list[Result]:
            found = run()
            return [Result(found[spec.name], spec.dtype, [None] * len(spec.axes)) for spec in outputs]

        results = b.choose(b.some(self._live), everything, nothing)
        return {spec.name: value for spec, value in zip(outputs, results, strict=True)}

    def judge(self, number: int, predict: Callable[[], dict[str, ir.Value]]) -> None:
        """Ask a predictor about the live blocks, if any of them is judged.

        Args:
            number: of its layer among those with a predictor
            predict: appends the predictor, and returns its outputs
        """
        b = self._b

        def ask() -> list[Result]:
            # Of the blocks that are not judged, what it says is forgotten.
            found = predict()["keep_probability"]
            all_of_them = b.op("ScatterElements", b.flat(self._unjudged), self._layout.place, found)
            score = b.op("Where", self._judged_now, b.op("Reshape", all_of_them, self._batch), self._unjudged)
            return [Result(score, "float32", ["batch", "blocks"])]

        self._judged_now = b.op("And", self._live, self._settings.judged[number])
        if self._held is not None:
            self._judged_now = b.op("And", self._judged_now, b.op("Not", self._held))
        self._any_judged = b.some(self._judged_now)
        if self._alone:
            nothing = [Result(self._unjudged, "float32", ["batch", "blocks"])]
            (score,) = b.choose(self._any_judged, ask, lambda: nothing)
        else:
            score = ask()[0].value
        self._judgements.append(score)

    def drop(self, number: int) -> dict[str, ir.Value]:
        """Drop what is refused after a layer that was judged, and every block of a window that leaves; return which
        blocks and cells of the stage before go on."""
        b = self._b
        settings = self._settings
        score = self._judgements[-1]
        stays = b.op("And", self._judged_now, b.op("GreaterOrEqual", score, settings.thresholds[number]))
        gone = b.op("And", b.op("Xor", self._judged_now, stays), settings.droppable)
        empty = b.op("And", self._any_judged, b.op("Not", b.some(stays)))
        if settings.may_leave is not None:
            gone = b.op("Or", gone, b.op("And", settings.may_leave, empty))
        if self._hold_best is not None:
            # In a window that must not leave, the surest block is held from now on.
            best = b.op("Equal", self._number, b.op("ArgMax", score, axis=1, keepdims=1))
            held = b.op("And", b.column(b.op("And", self._hold_best, empty)), best)
            self._held = held if self._held is None else b.op("Or", self._held, held)
            gone = b.op("And", gone, b.op("Not", held))
            self._hold_best = b.op("And", self._hold_best, b.op("Not", empty))
        before = self._layout
        self._live = b.op("And", self._live, b.op("Not", gone))
        self._lives.append(self._live)
        keep = self._layouts.still(self._live, before.place)
        self._arrange()
        return {"keep": keep, "keep_cells": keep if self._alone else b.op("Gather", before.back, keep)}

    def pass_on(self) -> dict[str, ir.Value]:
        """Let all go on, unjudged."""
        self._judgements.append(self._unjudged)
        self._lives.append(self._live)
        place = self._layout.place
        return {"keep": self._b.count_up(self._b.size(place, 0)), "keep_cells": self._layout.back}

    def probability(self) -> ir.Value:
        """Return float32 [B, L, K], what the predictor of each layer says of each block; -1 where it judged none."""
        return self._stacked(self._judgements)

    def dropped_after(self) -> ir.Value:
        """Return int64 [B, K], the layer after which each block was dropped; KEPT if it never was."""
        b = self._b
        survived = b.op("ReduceSum", b.number(self._stacked(self._lives)), np.array([1]), keepdims=0)
        after = b.op("Gather", np.array([*self._layers, KEPT]), survived)
        return b.op("Where", self._there, after, KEPT)

    def _stacked(self, rows: Sequence[ir.Value]) -> ir.Value:
        """Return what there is for each layer, [B, K], as [B, L, K]."""
        b = self._b
        axis = np.array([1])
        return b.op("Concat", *(b.op("Unsqueeze", row, axis) for row in rows), axis=1)

    def unpack(self, logits: ir.Value) -> ir.Value:
        """Return logits [N, k] where their tokens stand, [B, K * k]; MASKED where a token was dropped or is padding."""
        b = self._b
        every = b.shape(b.op("ReduceProd", self._batch), self._model.block_size)
        laid = b.op("ScatterND", b.filled(every, np.array([MASKED], np.float32)), b.column(self._layout.place), logits)
        live = b.op("And", self._facts.real, b.op("Unsqueeze", self._live, np.array([2])))
        by_window = b.shape(b.size(live, 0), -1)
        return b.op("Where", b.op("Reshape", live, by_window), b.op("Reshape", laid, by_window), np.float32(MASKED))

    def _arrange(self) -> None:
        """Lay out the blocks that go on. The next predictor looks at all of them."""
        self._layout = self._layouts.arrange(self._live)
        cells = self._layout.back
        self.feeds = self._layout.feeds | {"scored": cells}
        if self._with_probe:
            table = self._layout.feeds["table"]
            self.feeds["probe"] = diagonal_rows(self._b, cells, table, self._model.num_heads, self._model.block_size)

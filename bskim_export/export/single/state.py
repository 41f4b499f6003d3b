"""The batch between two stages, inside the graph: what `runtime.batch` decides on the host, as operators."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from bskim_export.blocks import KEPT, MASKED
from bskim_export.bundle.manifest import Manifest
from bskim_export.bundle.tensors import TensorSpec
from bskim_export.export.single.builder import Builder, Result
from bskim_export.export.single.layout import Facts, Grid, OneWindow, diagonal_rows
from bskim_export.export.single.settings import Settings


class State:
    """What changes from one skim point to the next.

    Args:
        alone: the batch is one window

    Attributes:
        feeds: what the next stage takes of the layout, and its predictor
        dropped_after: int64 [B, K], the layer after which each block was dropped
    """

    _judged_now: ir.Value
    """bool [B, K], the blocks that are judged and live."""
    _judged_places: ir.Value
    """int64 [P], their numbers in the batch."""

    def __init__(self, b: Builder, manifest: Manifest, facts: Facts, settings: Settings, alone: bool):
        self._b = b
        self._model = manifest.model
        self._alone = alone
        self._with_probe = any("probe" in stage.graph.input_names for stage in manifest.stages)
        self._facts = facts
        self._settings = settings
        self._batch = b.op("Shape", facts.real, start=0, end=2)
        self._number = b.count_up(b.size(facts.real, 1))

        # Which blocks are there, which may be dropped, and which are judged.
        there = b.some(facts.real)
        question_blocks = facts.question_blocks(b)
        free = there if settings.held is None else b.op("And", there, b.op("Not", settings.held))
        behind = b.column(question_blocks)
        self._passage = b.op("And", free, b.op("GreaterOrEqual", self._number, behind))
        self._judged = self._passage
        if settings.judge_shared is not None:
            first = b.op("Sub", behind, b.column(b.number(settings.judge_shared)))
            self._judged = b.op("And", free, b.op("GreaterOrEqual", self._number, first))
        self._may_leave = settings.may_leave
        if settings.may_leave is not None and settings.held is not None:
            self._may_leave = b.op("And", settings.may_leave, b.op("Not", b.some(settings.held)))
        self._hold_best = settings.hold_best

        self._unjudged = b.filled(self._batch, np.array([-1], np.float32))
        self._judgements: list[ir.Value] = []
        self.dropped_after = b.filled(self._batch, np.array([KEPT]))
        self._live = there
        self._layouts = (OneWindow if alone else Grid)(b, facts, question_blocks, self._model.block_size)
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
        """Ask a predictor about the blocks that are judged, if there are any and it is to run at all.

        Args:
            number: of its layer among those with a predictor
            predict: appends the predictor, and returns its outputs
        """
        b = self._b

        def ask() -> list[Result]:
            found = predict()["keep_probability"]
            if not self._alone:
                found = b.op("Slice", found, np.array([0]), np.array([-1]))
            places = self._judged_places
            score = b.op("Reshape", b.op("ScatterElements", b.flat(self._unjudged), places, found), self._batch)
            return [Result(score, "float32", ["batch", "blocks"])]

        if self._settings.judges is None:
            (found,) = ask()
            score = found.value
        else:
            runs = b.op("Gather", self._settings.judges, number)
            self._judged_now = b.op("And", self._judged_now, runs)
            any_judged = b.some(self._judged_now)
            (score,) = b.choose(any_judged, ask, lambda: [Result(self._unjudged, "float32", ["batch", "blocks"])])
        self._judgements.append(score)

    def drop(self, number: int, layer: int) -> dict[str, ir.Value]:
        """Drop what is refused after a layer that was judged, and every block of a window that leaves; return which
        blocks and cells of the stage before go on."""
        b = self._b
        settings = self._settings
        judged = self._judged_now
        score = self._judgements[-1]
        # A block stays if it is sure enough, and allowed to.
        stays = b.op("GreaterOrEqual", score, b.op("Gather", settings.thresholds, number))
        if settings.allowed is not None:
            stays = b.op("And", stays, b.op("Gather", settings.allowed, number, axis=0))
        refused = b.op("And", judged, b.op("Not", stays))
        gone = b.op("And", refused, self._passage)
        empty = b.op("And", b.some(judged), b.op("Not", b.some(b.op("And", judged, stays))))
        if self._may_leave is not None:
            gone = b.op("Or", gone, b.op("And", self._may_leave, empty))
        if self._hold_best is not None:
            # In a window that must not leave, the surest block is held from now on.
            best = b.op("ArgMax", score, axis=1, keepdims=1)
            keeps = b.column(b.op("And", self._hold_best, empty))
            free = b.op("Not", b.op("And", keeps, b.op("Equal", self._number, best)))
            gone = b.op("And", gone, free)
            self._passage = b.op("And", self._passage, free)
            self._judged = b.op("And", self._judged, free)
            self._hold_best = b.op("And", self._hold_best, b.op("Not", empty))
        gone = b.op("And", self._live, gone)
        self.dropped_after = b.op("Where", gone, layer, self.dropped_after)
        self._live = b.op("And", self._live, b.op("Not", gone))
        before = self._layout
        keep = b.places(b.op("Gather", b.flat(self._live), before.place))  # of the blocks that were live
        self._arrange()
        return {"keep": keep, "keep_cells": keep if self._alone else b.op("Gather", before.back, keep)}

    def pass_on(self) -> dict[str, ir.Value]:
        """Let all go on, unjudged."""
        self._judgements.append(self._unjudged)
        place = self._layout.place
        return {"keep": self._b.count_up(self._b.size(place, 0)), "keep_cells": self._layout.back}

    def probability(self) -> ir.Value:
        """Return float32 [B, L, K], what the predictor of each layer says of each block; -1 where it judged none."""
        rows = (self._b.op("Unsqueeze", row, np.array([1])) for row in self._judgements)
        return self._b.op("Concat", *rows, axis=1)

    def unpack(self, logits: ir.Value) -> ir.Value:
        """Return logits [N, k] where their tokens stand, [B, K * k]; MASKED where a token was dropped or is padding."""
        b = self._b
        every = b.shape(b.op("ReduceProd", self._batch), self._model.block_size)
        laid = b.op("ScatterND", b.filled(every, np.array([MASKED], np.float32)), b.column(self._layout.place), logits)
        live = b.op("And", self._facts.real, b.op("Unsqueeze", self._live, np.array([2])))
        by_window = b.shape(b.size(live, 0), -1)
        return b.op("Where", b.op("Reshape", live, by_window), b.op("Reshape", laid, by_window), np.float32(MASKED))

    def _arrange(self) -> None:
        """Lay out the blocks that go on, and find the cells that the next predictor judges."""
        b = self._b
        self._layout = self._layouts.arrange(self._live)
        self._judged_now = b.op("And", self._judged, self._live)
        self._judged_places = self._layouts.places(self._judged_now)
        cells = b.op("Gather", self._layout.cells, self._judged_places)
        if not self._alone:
            # One more than there are: with nothing to judge, graphs would get an empty tensor.
            cells = b.op("Concat", cells, np.array([0]), axis=0)
        self.feeds = self._layout.feeds | {"scored": cells}
        if self._with_probe:
            table = self._layout.feeds["table"]
            self.feeds["probe"] = diagonal_rows(b, cells, table, self._model.num_heads, self._model.block_size)

"""What steers the single graph: inputs of its own where the runtime does it, constants where nobody does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bskim_export.export.single.builder import Builder
from bskim_export.export.single.layout import Facts


@dataclass(frozen=True)
class Settings:
    """Values of the graph; see `bundle.single_graph.steering_specs`.

    judged: bool [B, K], for each layer with a predictor
    thresholds: float32 [B, K] or [], for each of them
    droppable: bool [B, K]
    may_leave: bool [B]; None if no window may
    hold_best: bool [B], the surest block of a window stays once everything in it is refused, and is judged no more:
        what the runtime does for a question's only window, by running it once more. None if the runtime is there
    """

    judged: list[ir.Value]
    thresholds: list[ir.Value]
    droppable: ir.Value
    may_leave: ir.Value | None = None
    hold_best: ir.Value | None = None


def read_settings(b: Builder, layers: int) -> Settings:
    """Return the inputs of a graph that has them."""

    def rows(name: str) -> list[ir.Value]:
        return [b.op("Gather", b.inputs[name], number) for number in range(layers)]

    return Settings(rows("judged"), rows("thresholds"), b.inputs["droppable"], b.inputs["may_leave"])


def fixed_settings(b: Builder, thresholds: Sequence[float], facts: Facts) -> Settings:
    """Return the settings of a graph that nobody steers: every window is a question's only one.

    A window whose question ends within a block that holds passage tokens too never loses its whole passage.
    """
    passage = b.op("And", b.some(facts.real), facts.behind_question(b))
    return Settings(
        [passage] * len(thresholds),
        [b.value(np.float32(threshold)) for threshold in thresholds],
        passage,
        hold_best=b.op("Not", facts.ends_inside(b)),
    )

"""What steers the single graph: inputs of its own where the runtime does it, constants where nobody does."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import onnx_ir as ir

from bskim_export.export.single.builder import Builder


@dataclass(frozen=True)
class Settings:
    """Values of the graph; None where nothing is to be done about one.

    thresholds, may_leave, judge_shared, held, judges, allowed: see `bundle.single_graph.steering_specs`
    hold_best: bool [batch], the surest block of a window stays once everything in it is refused, and is judged no more:
        what the runtime does for a question's only window, by running it once more
    """

    thresholds: ir.Value
    may_leave: ir.Value | None = None
    judge_shared: ir.Value | None = None
    held: ir.Value | None = None
    judges: ir.Value | None = None
    allowed: ir.Value | None = None
    hold_best: ir.Value | None = None


def read_settings(b: Builder) -> Settings:
    """Return the inputs of a graph that has them."""
    return Settings(**{f.name: b.inputs[f.name] for f in fields(Settings) if f.name in b.inputs})


def fixed_settings(b: Builder, thresholds: Sequence[float], ends_inside: ir.Value) -> Settings:
    """Return the settings of a graph that nobody steers: every window is a question's only one.

    Args:
        ends_inside: bool [batch], the question ends within a block that holds passage tokens too. Such a window never
            loses its whole passage
    """
    return Settings(b.value(np.array(thresholds, np.float32)), hold_best=b.op("Not", ends_inside))

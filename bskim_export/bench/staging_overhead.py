"""The cost of splitting: all stages and predictors with nothing dropped, against the model as one whole graph."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from bskim_export.evaluate.timing import interleaved
from bskim_export.runtime.policy import KeepSchedule
from bskim_export.runtime.runner import Runner
from bskim_export.runtime.windows import Window


def measure_overhead(runner: Runner, batches: Sequence[Sequence[Window]], repeats: int) -> float:
    """Return the time of the staged model over that of the whole graph, minus 1: medians of each batch, summed."""
    total = np.zeros(2)
    for batch in batches:
        ways = [partial(runner.run, batch, policy) for policy in (None, KeepSchedule([1.0]))]
        total += np.median(interleaved(ways, repeats), axis=0)
    return float(total[1] / total[0] - 1)

"""The cost of predictors and of what stands between stages: all of it with nothing dropped, against the dense graph."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from bskim_export.evaluate.timing import interleaved
from bskim_export.runtime.policy import KeepSchedule
from bskim_export.runtime.runner import Runner
from bskim_export.runtime.windows import Window


def measure_overhead(runners: Sequence[Runner], batches: Sequence[Sequence[Window]], repeats: int) -> list[float]:
    """Return of each runner the time with every predictor over that of its dense graph, minus 1: medians of each batch,
    summed, all taking turns."""
    policies = (None, KeepSchedule([1.0]))
    total = np.zeros((len(runners), len(policies)))
    for batch in batches:
        ways = [partial(runner.run, batch, policy) for runner in runners for policy in policies]
        total += np.median(interleaved(ways, repeats), axis=0).reshape(total.shape)
    overheads: list[float] = (total[:, 1] / total[:, 0] - 1).tolist()
    return overheads

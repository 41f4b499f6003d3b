"""What splitting costs: all stages and predictors with nothing dropped, against the same model as one whole graph."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import KeepSchedule
from bskim_export.runtime.windows import Window


def interleaved(runs: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Return seconds [repeats, runs], measured in turns after one warm-up each."""
    for run in runs:
        run()
    seconds = np.empty((repeats, len(runs)))
    for r in range(repeats):
        for i in np.roll(np.arange(len(runs)), -r):
            start = time.perf_counter()
            runs[i]()
            seconds[r, i] = time.perf_counter() - start
    return seconds


def measure_overhead(pipeline: QAPipeline, batches: Sequence[Sequence[Window]], repeats: int) -> float:
    """Return the time of the staged model over that of the whole graph, minus 1: medians of each batch, summed."""
    total = np.zeros(2)
    for batch in batches:
        ways = [partial(pipeline.orchestrator.run, batch, policy) for policy in (None, KeepSchedule([1.0]))]
        total += np.median(interleaved(ways, repeats), axis=0)
    return total[1] / total[0] - 1

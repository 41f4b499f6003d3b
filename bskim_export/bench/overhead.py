"""What splitting costs: all stages and predictors with nothing dropped, against the same model as one whole graph.

python -m bskim_export.bench.overhead engines/
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np

from bskim_export.commands.common import console, tidy
from bskim_export.data.squad import load_squad, sample
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


@click.command()
@click.argument("engines", type=click.Path(path_type=Path), default="engines")
@click.option("--windows", "count", default=64, show_default=True, help="Real SQuAD windows, unpadded.")
@click.option("--repeats", default=7, show_default=True)
@tidy
def main(engines, count, repeats):
    """Print how much slower the staged model is than one whole graph when nothing is dropped."""
    pipeline = QAPipeline(engines)
    limit = pipeline.manifest.model.max_seq_len
    windows = [w for q in sample(load_squad(), count) for w in pipeline.windows(q.question, q.context, limit, 128)]
    windows = sorted(windows[:count], key=lambda w: len(w.input_ids))
    for size in (1, 8):
        batches = [windows[i : i + size] for i in range(0, len(windows), size)]
        overhead = measure_overhead(pipeline, batches, repeats)
        console.print(
            f"batch {size}: staged with every predictor, nothing dropped: {overhead:+.1%} over one whole graph"
        )


if __name__ == "__main__":
    main()

"""bskim overhead: the cost of predictors and of what stands between stages."""

from pathlib import Path

import click

from bskim_export.commands.common import backend_options, bundle_argument, command, open_for
from bskim_export.commands.terminal import console
from bskim_export.commands.types import Whole


@command
@bundle_argument
@click.option("--windows", "count", type=Whole(min=1), default=64, show_default=True,
              help="Real SQuAD windows, unpadded.")  # fmt: skip
@click.option("--repeats", type=Whole(min=1), default=7, show_default=True, help="Runs of each batch.")
@backend_options
def main(bundle: Path, count: int, repeats: int, threads: int | None, precision: str, backend_name: str | None) -> None:
    """Print how much slower the single graph of BUNDLE (default: engines/) and its stages are than the dense graph
    when nothing is dropped, and how fast they are at the bundle's thresholds."""
    from bskim_export.bench.staging_overhead import measure_times
    from bskim_export.data.question import sample
    from bskim_export.data.squad import load_squad
    from bskim_export.runtime.orchestrator import Orchestrator
    from bskim_export.runtime.pipeline import QAPipeline
    from bskim_export.runtime.runner import Runner

    pipeline = QAPipeline(bundle, backend=open_for(bundle, backend_name, threads, precision))
    answerer = pipeline.answerer()
    windows = [w for q in sample(load_squad(), count) for w in answerer.windows(q.question, q.context)]
    windows = sorted(windows[:count], key=lambda w: len(w.input_ids))
    runners: dict[str, Runner] = {"staged": Orchestrator(pipeline.bundle, pipeline.backend)}
    if pipeline.runner.alone:
        runners = {"single graph": pipeline.runner} | runners
    for size in (1, 8):
        batches = [windows[i : i + size] for i in range(0, len(windows), size)]
        times = measure_times(list(runners.values()), batches, pipeline.policy, repeats)
        for name, one in zip(runners, times, strict=True):
            console.print(
                f"{size} at a time, {name}: every predictor, nothing dropped {one.overhead:+.1%} over dense; "
                f"{len(windows) / one.dense:.1f} windows a second dense, {len(windows) / one.skim:.1f} at the bundle's "
                f"thresholds ({one.dense / one.skim:.2f}x)",
                highlight=False,
                soft_wrap=True,
            )

"""bskim overhead: what splitting a model into stages costs."""

from pathlib import Path

import click

from bskim_export.bench.staging_overhead import measure_overhead
from bskim_export.commands.common import backend_options, console, handle_errors, open_for
from bskim_export.data.question import sample
from bskim_export.data.squad import load_squad
from bskim_export.runtime.pipeline import QAPipeline


@click.command()
@click.argument("engines", type=click.Path(path_type=Path), default="engines")
@click.option("--windows", "count", default=64, show_default=True, help="Real SQuAD windows, unpadded.")
@click.option("--repeats", default=7, show_default=True)
@backend_options
@handle_errors
def main(engines, count, repeats, threads, precision, backend_name):
    """Print how much slower the staged model is than one whole graph when nothing is dropped."""
    pipeline = QAPipeline(engines, backend=open_for(engines, backend_name, threads, precision))
    limit = pipeline.manifest.model.max_seq_len
    windows = [w for q in sample(load_squad(), count) for w in pipeline.windows(q.question, q.context, limit, 128)]
    windows = sorted(windows[:count], key=lambda w: len(w.input_ids))
    for size in (1, 8):
        batches = [windows[i : i + size] for i in range(0, len(windows), size)]
        overhead = measure_overhead(pipeline, batches, repeats)
        console.print(
            f"batch {size}: staged with every predictor, nothing dropped: {overhead:+.1%} over one whole graph"
        )

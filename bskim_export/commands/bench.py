"""bskim-bench: the worth of a bundle, measured."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bskim_export.commands.bench_peers import parse_peers, peer_rows, show_fastest
from bskim_export.commands.bench_profile import profile_rows, show_profile
from bskim_export.commands.common import (
    align_option,
    backend_options,
    bundle_argument,
    command,
    deliver,
    impossible_option,
    json_option,
    limit_option,
    max_blocks_option,
    max_seq_len_option,
    open_for,
    parse_numbers,
    progress_bar,
    seed_option,
    threshold_option,
    window_scale_option,
    write_report,
)
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import Named, Whole


@command
@bundle_argument
@click.option(
    "--dataset",
    default="squad",
    show_default=True,
    metavar="SPEC",
    help="'squad' (the SQuAD 1.1 dev set that travels with the package: 10,570 questions), FILE (SQuAD format, 1.1 or "
    "2.0), mrqa:FILE, hotpotqa:FILE, hub:NAME[[:CONFIG]:SPLIT], articles[:FILE] (whole articles), or "
    "documents:N:FILE (N paragraphs for each question). Files may be gzipped.",
)
@limit_option
@seed_option
@click.option(
    "--batch-size",
    type=Whole(min=1),
    default=8,
    show_default=True,
    help="Windows that run together when throughput is measured.",
)
@max_seq_len_option
@align_option
@max_blocks_option
@window_scale_option
@impossible_option
@backend_options
@threshold_option
@click.option(
    "--keep-schedule",
    metavar="1,0.5,0.3",
    callback=parse_numbers(float),
    help="Impose the share of each window's passage blocks kept after each layer, the first ones (the "
    "last share serves all later layers). Measures speed only: the answers mean nothing.",
)
@click.option("--baseline", type=Named(), metavar="BUNDLE", help="Another bundle, say of a finer "
              "precision, whose dense model is one more row; speed-ups are then over that.")  # fmt: skip
@click.option("--warm-up", is_flag=True, help="Run everything once before measuring, for the times of a process that "
              "has been up for long. OpenVINO compiles kernels for every new shape.")  # fmt: skip
@click.option("--repeats", type=Whole(min=1), default=3, show_default=True, help="Runs of each question, of which "
              "the median counts.")  # fmt: skip
@click.option("--peers", "peer_names", metavar="NAMES", callback=parse_peers, help="More rows: what else runs the "
              "dense model on a CPU, each as its own users run it. 'all', or some of torch, torch-compile, "
              "onnxruntime, openvino, optimum, ctranslate2. Needs --model.")  # fmt: skip
@click.option("--model", "checkpoint", type=Named(), metavar="DIRECTORY", help="The checkpoint that BUNDLE was "
              "exported from, as Hugging Face has it: what the peers run.")  # fmt: skip
@click.option("--profile", "profiles", is_flag=True, help="Print instead where the time of a question goes, text to "
              "answer: tokenising, windows, engine (and what is in it, on ONNX Runtime), decoding.")  # fmt: skip
@json_option
def main(
    bundle: Path,
    dataset: str,
    limit: int | None,
    seed: int,
    batch_size: int,
    max_seq_len: int | None,
    align_to_words: bool,
    max_blocks: int | None,
    window_scale: str | None,
    impossible: bool | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    threshold: float | None,
    keep_schedule: list[float] | None,
    baseline: Path | None,
    warm_up: bool,
    repeats: int,
    peer_names: list[str] | None,
    checkpoint: Path | None,
    profiles: bool,
    json_path: Path | None,
) -> None:
    """Measure BUNDLE (default: engines/) on real questions.

    Prints three rows, on one backend and in one run, taking turns every few questions: dense with every window padded
    to full length, dense without padding, and without padding plus skimming. The second is what skimming must beat.

    Answers are scored as SQuAD 1.1 and MRQA define it; if the data set has questions without an answer, as SQuAD 2.0
    does, and the model may then answer nothing.
    """
    from bskim_export.bench.rows import make_rows, measure, paper_speedup, summarise
    from bskim_export.data.question import sample
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.machine import describe_machine
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.pipeline import QAPipeline

    if profiles and (keep_schedule or baseline or max_blocks or warm_up or peer_names):
        raise click.UsageError("--profile measures the bundle's own rows: it takes no --keep-schedule, --baseline, "
                               "--max-blocks, --warm-up or --peers.")  # fmt: skip
    if (peer_names is None) != (checkpoint is None):
        raise click.UsageError("--peers and --model belong together: peers run the checkpoint of the bundle.")
    notes: list[str] = []

    def on_note(line: str) -> None:
        # Shown at once: a guess is to be seen even if an error follows.
        note(line)
        notes.append(line)

    found = read_questions(dataset, on_note)
    if impossible is None:
        impossible = any(not q.gold for q in found)
    backend = open_for(bundle, backend_name, threads, precision)
    pipeline = QAPipeline(bundle, threshold=threshold, backend=backend)
    options = pipeline.options(
        max_seq_len=max_seq_len,
        batch_size=batch_size,
        handle_impossible_answer=impossible,
        align_to_words=align_to_words,
        max_blocks=max_blocks,
        window_scale=window_scale,
    )
    other = QAPipeline(baseline, threshold=0, backend=backend) if baseline else None
    for one in filter(None, (pipeline, other)):
        found = usable(found, one.maker, options, on_note)
    questions = sample(found, limit, seed)
    graphs = "" if pipeline.bundle.manifest.precision == "fp32" else f"graphs in {pipeline.bundle.manifest.precision}, "
    where = f"{graphs}{backend.name} {backend.precision}, {backend.threads} threads"
    title = f"{pipeline.bundle.model.source} on {dataset}, {len(questions)} questions, {where}"
    if profiles:
        parts = profile_rows(pipeline, pipeline.answerer(options), questions)
        content = {"machine": describe_machine(backend), "options": asdict(options), "profile": parts}
        deliver(lambda: show_profile(parts, title), lambda: write_report(json_path, content))
        return
    rows = make_rows(pipeline.answerer(options), keep_schedule, other.answerer(options) if other else None)
    over = rows[-1] if baseline else rows[1]
    ours = next(row for row in reversed(rows) if row.name in ("skim", "dense"))
    with ExitStack() as stack:
        if peer_names and checkpoint:
            rows += stack.enter_context(peer_rows(peer_names, checkpoint, rows[1], backend.threads, on_note))
        with progress_bar() as bar:
            task = bar.add_task("Measuring", total=2 * (repeats + warm_up) * len(questions))
            measure(rows, questions, lambda: bar.advance(task), warm_up, repeats)
    report: dict[str, Any] = {
        "dataset": {
            "name": dataset,
            "notes": notes,
            "questions": len(questions),
            "seed": seed,
            "limit": limit,
            "max_seq_len": options.max_seq_len,
            "batch_size": options.batch_size,
            "warm_up": warm_up,
        },
        "options": asdict(options),
        "machine": describe_machine(backend),
        "model": pipeline.bundle.model.source,
        "graphs": pipeline.bundle.manifest.precision,
        "keep_schedule": keep_schedule,
        "rows": [summarise(row, over, backend.name) for row in rows],
        "speedup_macs_over_padded_512": paper_speedup(ours),
    }

    def show() -> None:
        alone = pipeline.runner.alone
        together = "windows side by side, a core each" if alone else f"in batches of {batch_size} windows"
        _show(report, title, together, over.name, keep_schedule)
        if peer_names:
            show_fastest(report["rows"])

    deliver(show, lambda: write_report(json_path, report))


def _show(
    report: dict[str, Any],
    title: str,
    together: str,
    over: str,
    keep_schedule: list[float] | None,
) -> None:
    from bskim_export.bench.report import print_table

    print_table(console, report["rows"], title, together, over)
    console.print(
        "Counted as the paper counts, against windows padded to 512: "
        f"{report['speedup_macs_over_padded_512']:.2f}x fewer MACs, most of it for padding."
    )
    if keep_schedule:
        console.print("The keep schedule was imposed: times are real, answers mean nothing.")

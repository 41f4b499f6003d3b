"""bskim-calibrate: thresholds that come with evidence."""

import sys
from pathlib import Path
from typing import Any

import click

from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    calibration_folder,
    command,
    deliver,
    max_seq_len_option,
    open_for,
    work_dir_option,
)
from bskim_export.commands.terminal import console, errors, note
from bskim_export.commands.types import OutputFile, Real, Whole
from bskim_export.errors import InputError


@command
@bundle_argument
@click.option("--recipe", metavar="NAME|FILE", help="A recipe for threshold calibration that ships with the project "
              "(squad, squad-risk) or a TOML file. Options given beside it override it.")  # fmt: skip
@click.option("--dataset", metavar="SPEC", help="Questions with answers: squad (the packaged dev set), a file, ...; "
              "see docs/datasets.md. Best are passages that the model was not trained on, other than those that you "
              "report scores on.")  # fmt: skip
@click.option("--max-f1-drop", type=Real(), metavar="POINTS", help="The cheapest thresholds that cost at most this "
              "much F1.")  # fmt: skip
@click.option("--risk", type=Real(), metavar="SHARE", help="Instead: at most this share of questions may lose an "
              "answer block that they needed ...")  # fmt: skip
@click.option("--confidence", type=Real(), help="... with this confidence.  [default: 0.95]")
@click.option("--objective", type=click.Choice(["macs", "latency"]), help="The cost to save: multiply-accumulates, or "
              "measured time on this machine.  [default: macs]")  # fmt: skip
@click.option("--sample", type=Whole(), metavar="N", help="Questions to calibrate thresholds on, drawn at random.  "
              "[default: 1000]")  # fmt: skip
@click.option("--held-out", type=Whole(), metavar="N", help="Further questions, only to report on.  [default: 500]")
@click.option("--seed", type=Whole(), help="Seed of the draw.  [default: 42]")
@click.option("--documents", is_flag=True, help="The thresholds are for questions of several windows only: those of "
              "one keep theirs. Pass a --dataset of documents, as articles:FILE.")  # fmt: skip
@max_seq_len_option
@click.option("--curve", type=OutputFile(), metavar="FILE", help="Write the whole trade-off, F1 against "
              "MACs and measured time: FILE.json, and for an .svg, .png or .pdf the picture beside it.")  # fmt: skip
@work_dir_option
@backend_options
def main(
    bundle: Path,
    recipe: str | None,
    documents: bool,
    curve: Path | None,
    work_dir: Path | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    **options: Any,
) -> None:
    """Choose the thresholds of BUNDLE (default: engines/) and write them into it, with the evidence in its report.json.

    Of a split model, also how many blocks a question reads; then --max-f1-drop counts from what most of them give.

    \b
    Examples:
      bskim-calibrate engines/ --dataset held_out.json --max-f1-drop 0.2
      bskim-calibrate engines/ --dataset held_out.json --risk 0.02 --sample 2000
      bskim-calibrate engines/ --recipe squad --curve curve.svg
      bskim-calibrate engines/ --dataset articles:held_out.json --max-f1-drop 0.7 --documents
    """
    from bskim_export.atomic import check_folder, check_output, write_json
    from bskim_export.bundle.bundle import MANIFEST, REPORT, Bundle
    from bskim_export.calibrate.plot import plot_curve
    from bskim_export.calibrate.recipes import Recipe, load_recipe, override
    from bskim_export.calibrate.session import Session
    from bskim_export.calibrate.split import SplitSession
    from bskim_export.commands.calibrate_report import Steps, answerable, print_evidence, print_split_evidence
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.plotting import SUFFIXES, check_plotting
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.pipeline import QAPipeline

    chosen = override(load_recipe(recipe) if recipe else Recipe(), **options)
    if chosen.max_f1_drop is None and chosen.risk is None:
        raise InputError("What may skimming cost? Pass --max-f1-drop, --risk or --recipe.")
    if curve and curve.suffix in SUFFIXES:
        check_plotting()
    elif curve and curve.suffix != ".json":
        raise InputError(f"--curve writes .json, {', '.join(SUFFIXES)}; '{curve}' is neither.")
    # What is written at the end is looked at now: it may be hours until then.
    work = work_dir or calibration_folder(bundle)
    check_folder(work)
    if curve:
        check_output(curve.with_suffix(".json"))
    Bundle.open(bundle, verify=False).check_calibratable()
    backend = open_for(bundle, backend_name, threads, precision)
    machine = f"{backend.name} {backend.version}, {backend.precision}, {backend.threads} threads"
    pipeline = QAPipeline(bundle, backend=backend)
    questions = answerable(read_questions(chosen.dataset, note))
    questions = usable(questions, pipeline.maker, pipeline.options(max_seq_len=chosen.max_seq_len), note)
    split = pipeline.bundle.manifest.split is not None
    if split and (curve or documents):
        raise InputError("A split model reads all questions alike, and its calibration has no curve: pass neither "
                         "--documents nor --curve.")  # fmt: skip
    try:
        with Steps() as steps:
            trade_off: dict[str, Any] = {}
            if split:
                evidence = SplitSession(pipeline, questions, chosen, work, machine, steps).calibrate()
            else:
                session = Session(pipeline, questions, chosen, work, machine, steps)
                evidence = session.calibrate()
                trade_off = session.curve() if curve else {}
    except KeyboardInterrupt:
        errors.print("Interrupted; the bundle is as it was. The same command goes on from here.")
        sys.exit(130)
    for warning in evidence["warnings"]:
        note(warning)

    def write() -> None:
        pipeline.bundle.write_calibration(evidence["thresholds"], evidence, documents, evidence.get("max_blocks"))
        console.print(f"Thresholds: {bundle / MANIFEST}. Evidence: {bundle / REPORT}.")

    def write_curve() -> None:
        if curve:
            write_json(curve.with_suffix(".json"), trade_off)
            if curve.suffix != ".json":
                plot_curve(trade_off, curve)
            console.print(f"Curve: {curve}.")

    show = print_split_evidence if split else print_evidence
    deliver(lambda: show(console, evidence), write, write_curve)

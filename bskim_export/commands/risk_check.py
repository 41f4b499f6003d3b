"""bskim risk-check: does calibrated risk hold on questions that calibration did not see?"""

from pathlib import Path

import click

from bskim_export.commands.calibrate_report import Steps, answerable
from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    calibration_folder,
    command,
    dataset_option,
    open_for,
    seed_option,
    work_dir_option,
)
from bskim_export.commands.terminal import console, note
from bskim_export.commands.types import Real, Whole


@command
@bundle_argument
@dataset_option
@click.option("--sample", type=Whole(min=8), metavar="N", help="Questions of it.  [default: all]")
@click.option("--splits", type=Whole(min=1), default=200, show_default=True, help="Draws of two parts.")
@click.option("--risk", type=Real(0, 1, True, True), default=0.02, show_default=True,
              help="The share of questions that may lose an answer block that they needed ...")  # fmt: skip
@click.option("--confidence", type=Real(0, 1, True, True), default=0.95, show_default=True,
              help="... with this confidence.")  # fmt: skip
@click.option("--simulated", is_flag=True, help="Predict losses from one recorded pass, instead of a true run of every "
              "candidate.")  # fmt: skip
@seed_option
@work_dir_option
@backend_options
def main(
    bundle: Path,
    dataset: str,
    sample: int | None,
    splits: int,
    risk: float,
    confidence: float,
    simulated: bool,
    seed: int,
    work_dir: Path | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
) -> None:
    """Certify thresholds of BUNDLE (default: engines/) on one part of a data set, look at another, and count how often
    the promise is broken there.

    A fifth of the questions, set aside, finds the candidates. Each of them is run truly, once, over all others, and
    these runs serve all splits. A split certifies on a quarter of the others, drawn at random, as bskim-calibrate
    --risk does, and counts the losses in another half of them, which is unseen.
    """
    import numpy as np

    from bskim_export.calibrate.recipes import Recipe
    from bskim_export.calibrate.risk import check_splits
    from bskim_export.calibrate.session import Session
    from bskim_export.data.readers import read_questions
    from bskim_export.evaluate.usable import usable
    from bskim_export.runtime.pipeline import QAPipeline

    backend = open_for(bundle, backend_name, threads, precision)
    pipeline = QAPipeline(bundle, backend=backend)
    questions = usable(answerable(read_questions(dataset, note)), pipeline.maker, pipeline.options(), note)
    total = min(len(questions), sample or len(questions))
    recipe = Recipe(dataset, total // 5, total - total // 5, seed, risk=risk, confidence=confidence)
    with Steps() as steps:
        session = Session(pipeline, questions, recipe, work_dir or calibration_folder(bundle), backend.name, steps)
        lost, thresholds = session.losses(simulated)
    outcome = check_splits(lost, splits, risk, confidence, seed)
    how = "simulated" if simulated else "true runs"
    for t, rate in zip(thresholds, lost.mean(axis=1), strict=True):
        console.print(
            f"candidate {np.round(t, 4).tolist()}: {rate:.2%} lost among all {lost.shape[1]} ({how})", highlight=False
        )
    console.print(
        f"{splits} splits, risk {risk:.1%} at confidence {confidence:.0%}; something was certified in "
        f"{outcome.certified}. The bound is broken on the unseen half in {outcome.broken / splits:.1%} of the splits, "
        f"over all questions in {outcome.broken_overall / splits:.1%}; promised: at most {1 - confidence:.0%}. Unseen "
        f"questions lost {outcome.mean_loss:.2%} on average, {outcome.worst_loss:.2%} at most.",
    )

"""From a model to the bundle that is fastest on this CPU, with what was measured in its manifest."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from bskim_export.backends.base import thread_count
from bskim_export.backends.choose import thresholds_in_order
from bskim_export.backends.processor import processor_name
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.directory import atomic_directory
from bskim_export.bundle.manifest import CpuChoice, Manifest
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError, ParityError, only_own_errors
from bskim_export.evaluate.usable import usable
from bskim_export.export.cpu.measure import measure_trials
from bskim_export.export.cpu.trial import Trial, find_trials, prove
from bskim_export.export.exporter import PARITY_QUESTIONS, PARITY_QUESTIONS_BELOW_FP32, Progress, export_bundle
from bskim_export.export.int8.recipe import Int8Calibration
from bskim_export.export.parity import COARSE, Limits, limits_for
from bskim_export.export.split_write import check_joint

PRECISIONS = ("fp32", "int8")
"""Of graphs that CPUs are fast with."""
REPORT = "cpu"
"""The evidence's name in report.json."""
MEASURING = "Measuring on this processor"


@only_own_errors
def export_fastest(
    checkpoint: Checkpoint,
    out: str | Path,
    timed: Sequence[Question],
    *,
    precisions: Sequence[str] = PRECISIONS,
    coarse: Limits = COARSE,
    int8_calibration: Int8Calibration | None = None,
    questions: Sequence[Question] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> tuple[Manifest, list[Trial]]:
    """Export a model in several precisions, try each on every backend that is installed and with several sets of
    predictors, and put the bundle that answers fastest at `out`, in one step.

    What is further from PyTorch than the limits allow is not tried. All others stand in the manifest, fastest first:
    the runtime takes the first whose library and processor features are there.

    Args:
        checkpoint: from load_checkpoint
        out: the directory; an older bundle there is replaced
        timed: the questions to measure time on, one at a time
        precisions: of the graphs, some of PRECISIONS
        coarse: the limits of what is not fp32 in graphs and computation
        int8_calibration, questions, progress: see `export_bundle`

    Returns:
        The manifest, and all that was tried, the one that was kept first.

    Raises:
        BskimError: see `export_bundle`; ParityError only if nothing is left to try.
    """
    check_joint(checkpoint.model, "the choice of the fastest way")
    out = Path(out)
    if not precisions or set(precisions) - set(PRECISIONS):
        raise InputError(f"On a CPU, graphs are in {' or '.join(PRECISIONS)}, not in {', '.join(precisions)}.")
    if not timed:
        raise InputError("There is no question to measure time on. Give some.")

    def compared(exact: bool) -> Sequence[Question]:
        if questions is not None:
            return questions
        return sample(load_squad(), PARITY_QUESTIONS if exact else PARITY_QUESTIONS_BELOW_FP32)

    with atomic_directory(out) as folder, ExitStack() as stack:
        bundles: dict[str, Bundle] = {}
        trials: list[Trial] = []
        for precision in precisions:
            try:
                export_bundle(
                    checkpoint, folder / precision, precision=precision, questions=questions,
                    limits=limits_for("fp32") if precision == "fp32" else coarse,
                    int8_calibration=int8_calibration if precision == "int8" else None,
                    progress=_named(progress, precision),
                )  # fmt: skip
            except ParityError as error:
                if precision == "fp32" or len(precisions) == 1:
                    raise
                trials.append(Trial(precision, "", "", "", refused=str(error).replace(" No bundle was written.", "")))
                continue
            bundles[precision] = Bundle.open(folder / precision, verify=False)
            trials += find_trials(bundles[precision])
        for trial in trials:
            if trial.refused is None:
                what = f"Comparing {trial.backend} {trial.precision}, graphs in {trial.graphs}"
                prove(trial, bundles[trial.graphs], checkpoint.model, compared, coarse, partial(progress, what))
            if trial.pipeline is not None:
                stack.callback(trial.pipeline.close)
        running = [trial for trial in trials if trial.pipeline is not None]
        if not running:
            raise ParityError(f"Nothing is left to measure: {'; '.join(str(trial.refused) for trial in trials)}")
        asked = _usable(running[0], timed)
        measure_trials(running, asked, partial(progress, MEASURING))
        running.sort(key=lambda trial: trial.seconds)
        best = bundles[running[0].graphs]
        manifest = replace(best.manifest, cpu=_choice(best.manifest, running))
        kept = Bundle.create(best.folder, manifest)
        found = [*running, *(trial for trial in trials if trial.pipeline is None)]
        kept.write_report(REPORT, {"processor": processor_name(), "trials": [trial.as_dict() for trial in found]})
        _lift(best.folder, folder, [bundle.folder for bundle in bundles.values()])
    return manifest, found


def _usable(trial: Trial, questions: Sequence[Question]) -> list[Question]:
    assert trial.pipeline is not None
    return usable(questions, trial.pipeline.maker, trial.pipeline.options())


def _choice(manifest: Manifest, running: Sequence[Trial]) -> CpuChoice:
    """Return the ways to run one of the bundles, fastest first, as its manifest has them."""
    own = [trial for trial in running if trial.graphs == manifest.precision]
    ways = [trial.way(manifest.skim_layers) for trial in own]
    return CpuChoice(processor_name(), thread_count(None), *thresholds_in_order(manifest), ways)


def _named(progress: Progress, precision: str) -> Progress:
    return lambda what, done, total: progress(f"{what} ({precision})", done, total)


def _lift(best: Path, folder: Path, bundles: Sequence[Path]) -> None:
    """Move the files of the best bundle up to where the bundle is to be, and remove the others."""
    for path in best.iterdir():
        path.rename(folder / path.name)
    for path in bundles:
        shutil.rmtree(path)

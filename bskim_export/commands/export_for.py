"""bskim-export --for: its options, and the table of what was tried."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bskim_export.commands.terminal import console
from bskim_export.errors import InputError

if TYPE_CHECKING:
    from bskim_export.bundle.manifest import Manifest
    from bskim_export.export.cpu.trial import Trial

TIMED_QUESTIONS = 64


def check_target_options(
    target: str | None,
    dataset: str | None,
    limit: int | None,
    layout: str,
    backend_name: str | None,
    precisions: Sequence[str],
) -> None:
    """Raise InputError if options of bskim-export do not go together with --for, or need it."""
    if target is None:
        if dataset is not None or limit is not None:
            raise InputError("--dataset and --limit choose the questions of --for; pass --for cpu with them.")
    elif layout == "single":
        raise InputError("--for writes what it found into a bundle: pass no --layout single with it.")
    elif backend_name:
        raise InputError("--backend compiles for an NVIDIA GPU; export for one thing at a time, without --for cpu.")
    elif set(precisions) - {"fp32", "int8"}:
        raise InputError(f"--for cpu tries graphs in fp32 and int8, not in {', '.join(precisions)}.")


def show_trials(trials: "Sequence[Trial]", manifest: "Manifest") -> None:
    """Print what was tried, the one that was kept first, and why others were not.

    Args:
        trials: those that were measured, fastest first, then those that were refused
        manifest: of the bundle that was kept
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    choice = manifest.cpu
    measured = [trial for trial in trials if trial.pipeline is not None]
    if choice is None or not measured:
        return
    table = Table(box=SIMPLE_HEAD, title=f"{choice.processor}, {choice.threads} threads")
    for header in ("graphs", "backend", "computes in"):
        table.add_column(header)
    for header in ("dense ms", "best ms", "predictors after layers", "F1", "faster"):
        table.add_column(header, justify="right")
    usual = (trial for trial in measured if trial.backend == "onnxruntime" and trial.graphs == "fp32")
    base = next(usual, measured[-1])
    for trial in measured:
        table.add_row(*_row(trial, base))
    console.print(table)
    console.print(
        f"ms: a question, alone, text to answer. faster: over {base.backend} in {base.precision}, graphs in "
        f"{base.graphs}, dense. A predictor that is not named does not run: it took longer than it saved."
    )
    for trial in trials:
        if trial.refused is not None:
            what = " ".join(filter(None, (trial.backend, trial.precision)))
            console.print(f"Not measured: graphs in {trial.graphs}{f' on {what}' if trial.backend else ''}: "
                          f"{trial.refused}")  # fmt: skip


def _row(trial: "Trial", base: "Trial") -> list[str]:
    """Return the cells of one trial, all kinds of questions together."""
    count = trial.questions
    dense, best = trial.dense_seconds, trial.seconds
    chosen = [trial.fastest(kind) for kind in (False, True)]
    layers = [", ".join(map(str, one)) or "none" for one in chosen if one is not None]
    return [
        trial.graphs,
        trial.backend,
        trial.precision,
        f"{1e3 * dense / count:.1f}",
        f"{1e3 * best / count:.1f}",
        "; documents: ".join(layers) if len(layers) > 1 else layers[0],
        f"{trial.f1:.2f}",
        f"{base.dense_seconds / best:.2f}x",
    ]

"""True runs: the bundle over the questions at given thresholds, and how near the simulation came to them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bskim_export.blocks import KEPT
from bskim_export.calibrate.needed_blocks import lost, occurrences
from bskim_export.calibrate.simulate import Outcome
from bskim_export.calibrate.spans import text_hash
from bskim_export.calibrate.store import Arrays, fingerprint, shards
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import evaluate
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.policy import Thresholds


def run_truly(
    answerer: Answerer,
    questions: Sequence[Question],
    thresholds: npt.NDArray[np.float64],
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Run the questions at these thresholds, or read the part of it that `folder` has.

    Args:
        answerer: whose runner and options are used, not its policy
        thresholds: float64 [L], one per skim layer; all 0 is the dense model
        folder: where finished shards are; named by `work_key`
        progress: called with the number of questions that were just done

    Raises:
        InputError: a question cannot be run.
    """
    values = [float(t) for t in thresholds]
    skimming = replace(answerer, policy=Thresholds(dict(zip(answerer.runner.skim_layers, values, strict=True))))
    parts = []
    for done, arrays in shards(
        folder / f"run-{fingerprint(values)}", questions, lambda part: _run_shard(skimming, part)
    ):
        parts.append(arrays)
        progress(done)
    return Outcome(**{name: np.concatenate([p[name] for p in parts]) for name in parts[0]})


def agreement(simulated: Outcome, true: Outcome) -> dict[str, float]:
    """Return how near a simulation is to the true run: the share of questions with the same answer, of questions
    whose loss was predicted, of blocks with the same fate, and both F1 (percent) and MACs (true over simulated)."""
    return {
        "same_answers": float((simulated.answer == true.answer).mean()),
        "same_losses": float((simulated.lost == true.lost).mean()),
        "same_blocks": float((simulated.stays == true.stays).mean()),
        "f1_simulated": 100 * float(simulated.f1.mean()),
        "f1_true": 100 * float(true.f1.mean()),
        "macs_true_over_simulated": float(true.macs.sum() / simulated.macs.sum()),
    }


def _run_shard(answerer: Answerer, questions: Sequence[Question]) -> Arrays:
    """Return the fields of the outcome of these questions."""
    done = list(evaluate(answerer, questions, together=len(questions)))
    # Each occurrence of a gold answer: its question, and whether all its blocks were kept.
    found: list[int] = []
    whole: list[bool] = []
    for q, one in enumerate(done):
        for w, first, last in occurrences(one.question, one.windows, answerer.runner.model.block_size):
            found.append(q)
            whole.append(bool((one.results[w].dropped_after[first : last + 1] == KEPT).all()))
    return {
        "em": np.array([one.em for one in done]),
        "f1": np.array([one.f1 for one in done]),
        "answer": np.array([text_hash(one.text) for one in done]),
        "macs": np.array([one.macs for one in done]),
        "kept": np.array([one.kept for one in done]),
        "lost": lost(np.array(found, np.int64), np.array(whole, bool), len(questions)),
        "stays": np.concatenate([r.dropped_after == KEPT for one in done for r in one.results]),
    }

"""True runs: the bundle over the questions at given thresholds, and how near the simulation came."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bskim_export.bench.macs import window_macs
from bskim_export.calibrate.needs import lost, occurrences
from bskim_export.calibrate.record import Settings, make_windows, text_hash
from bskim_export.calibrate.simulate import Outcome
from bskim_export.calibrate.store import fingerprint, shards
from bskim_export.data.metrics import exact_match, f1
from bskim_export.data.question import Question
from bskim_export.runtime.orchestrator import KEPT
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import Thresholds


def run_truly(
    pipeline: QAPipeline,
    questions: Sequence[Question],
    thresholds: np.ndarray,
    settings: Settings,
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Run the questions at these thresholds, or read what `folder` has of it.

    Args:
        thresholds: float [L], one per skim layer; all 0 is the dense model
        folder: where finished shards are; named by `work_key`
        progress: called with the number of questions that were just done

    Raises:
        InputError: a question cannot be run.
    """
    layers = pipeline.manifest.skim_layers
    policy = Thresholds(dict(zip(layers, map(float, thresholds), strict=True)))
    parts = []
    own = folder / f"run-{fingerprint([float(t) for t in thresholds])}"
    for done, arrays in shards(own, questions, lambda part: _run_shard(pipeline, part, policy, settings)):
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


def _run_shard(
    pipeline: QAPipeline, questions: Sequence[Question], policy: Thresholds, settings: Settings
) -> dict[str, np.ndarray]:
    model = pipeline.manifest.model
    layers = [i for i in pipeline.manifest.skim_layers if policy.scores(i)]
    windows = [make_windows(pipeline, q, settings) for q in questions]
    results = pipeline.skim(windows, policy=policy, batch_size=settings.batch_size)
    rows = {name: [] for name in ("em", "f1", "answer", "macs", "kept")}
    found, whole = [], []
    for q, (question, own, outcome) in enumerate(zip(questions, windows, results, strict=True)):
        answer = pipeline.decode(question.context, own, outcome, max_answer_len=settings.max_answer_len)[0]["answer"]
        rows["em"].append(exact_match(answer, question.gold))
        rows["f1"].append(f1(answer, question.gold))
        rows["answer"].append(text_hash(answer))
        rows["macs"].append(
            sum(window_macs(model, r, w.question_blocks, layers) for w, r in zip(own, outcome, strict=True))
        )
        after = np.concatenate([r.dropped_after for r in outcome])
        rows["kept"].append((after > np.arange(model.num_layers)[:, None]).sum(axis=1))
        for w, first, last in occurrences(question, own, model.block_size):
            found.append(q)
            whole.append(bool((outcome[w].dropped_after[first : last + 1] == KEPT).all()))
    return {
        **{name: np.array(values) for name, values in rows.items()},
        "lost": lost(np.array(found, int), np.array(whole, bool), len(questions)),
        "stays": np.concatenate([r.dropped_after == KEPT for own in results for r in own]),
    }

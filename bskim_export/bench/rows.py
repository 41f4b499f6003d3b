"""The three rows of every speed table: padded dense, unpadded dense, unpadded + skim, on one backend, in one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bskim_export.data.metrics import evaluate as score
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import padded_macs
from bskim_export.evaluate.macs import analytic_speedup
from bskim_export.evaluate.turns import Timing, time_in_turns
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.policy import KeepSchedule, Thresholds
from bskim_export.runtime.windows import WindowMaker

F1_LEEWAY = 0.1
"""Points of F1 that a way to run the dense model may be worse by, and still count as the same."""
TURN = 16
"""Questions that a row answers one at a time before it is the next one's turn."""
REPEATS = 3
"""Runs of each question, of which the median counts."""
NOTHING = Timing([], np.zeros((1, 0)))
PARTS = 8
"""Batches whose questions run together when throughput is measured."""


@dataclass
class Row:
    """One way to run the model, and its measurements.

    alone: the questions one at a time, for latency, answers and MACs
    together: many at once, for throughput
    """

    name: str
    answerer: Answerer
    alone: Timing = NOTHING
    together: Timing = NOTHING

    @property
    def macs(self) -> int:
        """Return the MACs of all questions."""
        return sum(done.macs for done in self.alone.done)

    @property
    def seconds(self) -> float:
        """Return the seconds of all questions, one at a time; medians of each one's runs."""
        return float(self.alone.seconds.sum())

    @property
    def batch_seconds(self) -> float:
        """Return the seconds of all questions, many at once."""
        return float(self.together.seconds.sum())


def make_rows(
    answerer: Answerer, keep_schedule: Sequence[float] | None = None, baseline: Answerer | None = None
) -> list[Row]:
    """Return the rows over one set of engines; the skim row is left out for a bundle without predictors.

    Args:
        answerer: of the bundle, with the policy and the options to measure at
        keep_schedule: instead of the answerer's thresholds
        baseline: of another bundle, whose dense model is one more row
    """
    dense = replace(answerer, policy=Thresholds({}))
    padded = replace(dense, maker=WindowMaker(answerer.maker.tokenizer, answerer.maker.model, pad_to_max_length=True))
    rows = [Row("dense-padded", padded), Row("dense", dense)]
    if answerer.runner.skim_layers:
        policy = KeepSchedule(keep_schedule) if keep_schedule else answerer.policy
        rows.append(Row("skim", replace(answerer, policy=policy)))
    if baseline is not None:
        rows.append(Row("baseline", replace(baseline, policy=Thresholds({}))))
    return rows


def measure(
    rows: Sequence[Row],
    questions: Sequence[Question],
    progress: Callable[[], None],
    warm_up: bool = False,
    repeats: int = REPEATS,
) -> None:
    """Measure all rows, taking turns at every few questions, so that a machine that slows down slows all alike.

    First one question at a time (latency, answers, MACs), then many at once in batches (throughput).

    Args:
        progress: called after each question of each run of the two passes
        warm_up: run everything once before, for the times of a process that has been up for long: OpenVINO compiles
            kernels for every new shape
        repeats: runs of each question in each pass
    """
    answerers = [row.answerer for row in rows]
    together = PARTS * answerers[0].options.batch_size
    alone = time_in_turns(answerers, questions, repeats, TURN, progress, warm_up=warm_up)
    many = time_in_turns(answerers, questions, repeats, together, progress, together, warm_up)
    for row, one, several in zip(rows, alone, many, strict=True):
        row.alone, row.together = one, several


def summarise(row: Row, baseline: Row, backend: str) -> dict[str, Any]:
    """Return a row of the report; speed-ups are over `baseline`, an unpadded dense row."""
    found = row.alone.done
    questions = len(found)
    p50, p95, p99 = np.percentile(row.alone.seconds * 1e3, [50, 95, 99])
    kept = np.sum([done.kept for done in found], axis=0) / sum(done.blocks for done in found)
    return {
        "name": row.name,
        "backend": backend,
        **score([done.text for done in found], [done.question.gold for done in found]),
        "gmacs_per_question": row.macs / questions / 1e9,
        "speedup_macs": baseline.macs / row.macs,
        "speedup_time": baseline.seconds / row.seconds,
        "speedup_time_batched": baseline.batch_seconds / row.batch_seconds,
        "latency_ms": {"p50": float(p50), "p95": float(p95), "p99": float(p99)},
        "questions_per_second": questions / row.batch_seconds,
        "kept_blocks": kept.tolist(),
        "speedup_analytic": analytic_speedup(kept.tolist()),
    }


def fastest_dense(rows: Sequence[dict[str, Any]], time: str) -> dict[str, Any]:
    """Return the fastest row that drops nothing and whose F1 is not below the dense model's by more than F1_LEEWAY.

    Args:
        rows: summaries, one of them named "dense"
        time: of "speedup_time" and "speedup_time_batched"
    """
    (dense,) = (row for row in rows if row["name"] == "dense")
    same = [row for row in rows if row["name"] != "skim" and row["f1"] >= dense["f1"] - F1_LEEWAY]
    return max(same, key=lambda row: float(row[time]))


def paper_speedup(row: Row) -> float:
    """Return the MAC speed-up in the paper's accounting: over the same windows padded to 512 positions."""
    return sum(padded_macs(done, row.answerer) for done in row.alone.done) / row.macs

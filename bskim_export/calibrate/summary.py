"""Figures of a choice: scores, cost, kept blocks, with standard errors where two runs are compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model
from bskim_export.calibrate.record import Record
from bskim_export.calibrate.simulate import Outcome
from bskim_export.evaluate.macs import dense_macs


def standard_error(drops: npt.NDArray[np.float64]) -> float:
    """Return the standard error of a mean drop of F1, as if one further question had lost all of its 100 points.

    Of few questions that all lose nothing, the plain one is 0, as if nothing could be lost. Three of these are the rule
    of three: with n questions and no loss, up to 300 / n points may be lost in truth, at 95 % confidence.

    Args:
        drops: float64 [Q], points of F1 that each question lost

    Example:
        >>> round(standard_error(np.zeros(40)), 2), round(standard_error(np.zeros(1000)), 2)
        (2.41, 0.1)
    """
    counted = np.append(drops, 100.0)
    return float(counted.std() / np.sqrt(len(counted)))


def summarise(outcome: Outcome, dense: Outcome) -> dict[str, Any]:
    """Return EM and F1 (percent), GMACs a question, and what changed against the dense run of the same questions."""
    drop = 100 * (dense.f1 - outcome.f1)
    return {
        "em": 100 * float(outcome.em.mean()),
        "f1": 100 * float(outcome.f1.mean()),
        "f1_drop": float(drop.mean()),
        # Compared with itself, nothing is estimated.
        "f1_drop_standard_error": 0.0 if outcome is dense else standard_error(drop),
        "gmacs_per_question": float(outcome.macs.mean() / 1e9),
        "speedup_macs": float(dense.macs.sum() / outcome.macs.sum()),
        "questions_that_lost_a_needed_block": int(outcome.lost.sum()),
        "kept_blocks": (outcome.kept.sum(axis=0) / dense.kept.sum(axis=0)).tolist(),
    }


def compare(outcome: Outcome, dense: Outcome) -> dict[str, Any]:
    """Return both rows over one set of questions."""
    return {
        "questions": len(dense.f1),
        "dense": summarise(dense, dense),
        "skim": summarise(outcome, dense),
    }


def paper_speedup(outcome: Outcome, record: Record, model: Model) -> float:
    """Return the MAC speed-up in the paper's accounting: over the same windows padded to 512 positions."""
    return float(len(record.blocks) * dense_macs(model, 512) / outcome.macs.sum())


def by_layer(layers: Sequence[int], thresholds: npt.NDArray[np.float64]) -> dict[int, float]:
    """Return thresholds, float64 [L], by the number of their layer."""
    return dict(zip(layers, thresholds.tolist(), strict=True))

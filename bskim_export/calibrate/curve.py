"""The whole trade-off: F1 against MACs and time, for the search's path and for one threshold at every layer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.calibrate.simulate import Outcome, Simulator
from bskim_export.calibrate.summary import by_layer, paper_speedup, summarise
from bskim_export.calibrate.threshold_path import ThresholdPath

MEASURED = 4
"""Points of each family that are run truly and timed, beside the dense model."""


def trade_off(simulator: Simulator, path: ThresholdPath) -> list[dict[str, Any]]:
    """Return the simulated points of both families, each from dropping nothing to dropping much.

    A point has `family` ("path" or "same threshold"), `thresholds` by layer, the fields of `summarise`, and the
    speed-up in the paper's accounting (`speedup_macs_over_padded_512`).
    """
    dense = simulator.run(path.thresholds[0])
    families = {"path": path.thresholds, "same threshold": _same_thresholds(simulator)}
    points = []
    for family, thresholds in families.items():
        for t in thresholds:
            outcome = simulator.run(t)
            points.append(
                {
                    "family": family,
                    "thresholds": by_layer(simulator.record.layers, t),
                    **summarise(outcome, dense),
                    "speedup_macs_over_padded_512": paper_speedup(outcome, simulator.record, simulator.model),
                }
            )
    return points


def measured_points(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points to run truly: of each family MEASURED, evenly spaced in MACs up to the last that loses less
    than 5 points of F1."""
    chosen = []
    for family in dict.fromkeys(p["family"] for p in points):
        own = [p for p in points if p["family"] == family and p["speedup_macs"] > 1 and p["f1_drop"] < 5]
        if own:
            saved = np.array([1 - 1 / p["speedup_macs"] for p in own])
            wanted = saved.max() * np.arange(1, MEASURED + 1) / MEASURED
            chosen += [own[i] for i in sorted({int(np.abs(saved - w).argmin()) for w in wanted})]
    return chosen


def measure_points(
    points: Sequence[dict[str, Any]],
    run_truly: Callable[[npt.NDArray[np.float64]], Outcome],
    dense: Outcome,
    seconds: Callable[[list[npt.NDArray[np.float64]]], npt.NDArray[np.float64]],
) -> list[dict[str, Any]]:
    """Return true runs of points: `family`, `thresholds`, the fields of `summarise`, seconds a question, and how many
    times faster than dense, measured.

    Args:
        run_truly: runs the pipeline at some thresholds
        dense: that run at threshold 0
        seconds: measures the seconds a question of several thresholds, in turns
    """
    if not points:
        return []
    thresholds = [np.array(list(p["thresholds"].values())) for p in points]
    dense_seconds, *took = seconds([np.zeros_like(thresholds[0]), *thresholds]).tolist()
    return [
        {
            "family": p["family"],
            "thresholds": p["thresholds"],
            **summarise(run_truly(t), dense),
            "seconds_per_question": s,
            "speedup_time": dense_seconds / s,
        }
        for p, t, s in zip(points, thresholds, took, strict=True)
    ]


def _same_thresholds(simulator: Simulator) -> npt.NDArray[np.float64]:
    """Return the points of the second family, float64 [P, L]."""
    values = np.concatenate([[0], np.arange(0.02, 1, 0.02)])
    return np.repeat(values[:, None], len(simulator.record.layers), axis=1)

"""Whether saved multiply-accumulates are saved time: the same windows at imposed schedules, from all blocks to few."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bskim_export.evaluate.macs import window_macs
from bskim_export.evaluate.plotting import new_figure, save_figure
from bskim_export.evaluate.timing import interleaved
from bskim_export.runtime.policy import KeepSchedule, Policy
from bskim_export.runtime.runner import Runner
from bskim_export.runtime.windows import Window

SHARES = tuple(n / 10 for n in range(10, 0, -1))


@dataclass(frozen=True)
class Point:
    """One schedule, over the dense model.

    share: of the passage blocks, that stays after every layer with a predictor
    macs: share of the dense model's MACs
    alone, together: share of its time, one window at a time and all at once
    """

    share: float
    macs: float
    alone: float
    together: float


@dataclass(frozen=True)
class Line:
    """The straight line that lies best: time = fixed + slope * MACs, all as shares of the dense model's.

    fixed: what would be left without a single MAC
    off: how far the points are from the line, at most
    """

    fixed: float
    slope: float
    off: float


def measure_scaling(
    runner: Runner, windows: Sequence[Window], repeats: int, progress: Callable[[], None] = lambda: None
) -> list[Point]:
    """Return a point for each of SHARES, all schedules and the dense model taking turns.

    Args:
        repeats: of each measurement, of which the median counts
        progress: called after each window, and once for each repeat of all of them
    """
    policies: list[Policy | None] = [None, *(KeepSchedule([share]) for share in SHARES)]
    alone = np.zeros(len(policies))
    for window in windows:
        runs = [partial(runner.run, [window], policy) for policy in policies]
        alone += np.median(interleaved(runs, repeats), axis=0)
        progress()
    many = [partial(runner.run, windows, policy) for policy in policies]
    parts = []
    for _ in range(repeats):
        parts.append(interleaved(many, 1)[0])
        progress()
    together = np.median(parts, axis=0)
    macs = np.array([_macs(runner, windows, policy) for policy in policies], float)
    shares = zip(macs / macs[0], alone / alone[0], together / together[0], strict=True)
    return [Point(share, *map(float, three)) for share, three in zip(SHARES, list(shares)[1:], strict=True)]


def fit_line(points: Sequence[Point], time: str) -> Line:
    """Return the line through the points by least squares.

    Args:
        time: "alone" or "together"

    Example:
        >>> fit_line([Point(1.0, 1.0, 1.1, 1.0), Point(0.5, 0.5, 0.6, 0.5)], "alone")
        Line(fixed=0.1, slope=1.0, off=0.0)
    """
    macs = np.array([p.macs for p in points])
    seconds = np.array([getattr(p, time) for p in points])
    slope, fixed = np.polyfit(macs, seconds, 1)
    off = np.abs(seconds - fixed - slope * macs).max()
    return Line(*(round(float(value), 4) + 0.0 for value in (fixed, slope, off)))


def plot_scaling(points: Sequence[Point], lines: dict[str, Line], title: str, path: Path) -> None:
    """Draw time against MACs.

    Raises:
        MissingExtraError: matplotlib is not there.
    """
    figure = new_figure(5.5, 4)
    axes = figure.subplots()
    names = {"alone": ("#0b6e99", "one window at a time"), "together": ("#c2571a", "all windows at once")}
    for time, (colour, label) in names.items():
        axes.plot([p.macs for p in points], [getattr(p, time) for p in points], "o", color=colour, ms=4, label=label)
        axes.axline((0, lines[time].fixed), slope=lines[time].slope, color=colour, lw=1)
    axes.axline((0, 0), slope=1, color="0.8", lw=0.8, zorder=0)
    axes.set(xlim=(0, 1.15), ylim=(0, 1.15), xlabel="MACs (share of dense)", ylabel="time (share of dense)")
    axes.legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def _macs(runner: Runner, windows: Sequence[Window], policy: Policy | None) -> int:
    scored = [] if policy is None else list(runner.skim_layers)
    results = runner.run(windows, policy)
    return sum(window_macs(runner.model, r, w.unjudged_blocks, scored) for w, r in zip(windows, results, strict=True))

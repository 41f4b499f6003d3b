"""The trade-off as a picture."""

from pathlib import Path
from typing import Any

from bskim_export.evaluate.plotting import new_figure, save_figure


def plot_curve(curve: dict[str, Any], path: Path) -> None:
    """Draw F1 against the speed-up in MACs, simulated as lines and true runs as dots, and the measured speed-up in
    time beside it.

    Args:
        curve: what `bskim-calibrate --curve` writes as JSON
        path: an .svg, .png or .pdf

    Raises:
        MissingExtraError: matplotlib is not there.
    """
    figure = new_figure(9, 3.8)
    macs, time = figure.subplots(1, 2)
    for family, colour in (("path", "#0b6e99"), ("same threshold", "#c2571a")):
        points = [p for p in curve["points"] if p["family"] == family]
        measured = [p for p in curve["measured"] if p["family"] == family]
        macs.plot([p["speedup_macs"] for p in points], [-p["f1_drop"] for p in points], color=colour, lw=1.2)
        macs.plot([p["speedup_macs"] for p in measured], [-p["f1_drop"] for p in measured], "o", color=colour, ms=4)
        time.plot([p["speedup_time"] for p in measured], [-p["f1_drop"] for p in measured], "o", color=colour, ms=4,
                  label={"path": "a threshold per layer"}.get(family, "one threshold for all layers"))  # fmt: skip
    macs.set_xlabel("fewer MACs than unpadded dense (x)\nlines simulated, dots true runs on held-out questions")
    time.set_xlabel("measured: faster than dense (x)\none question alone")
    widest = max([1.2, *(p["speedup_macs"] for p in curve["points"] if p["f1_drop"] < 5)])
    macs.set_xlim(0.95, 1.05 * widest)
    # Both show the same range of F1: the curves go on far below what anybody would deploy.
    for axes in (macs, time):
        axes.set_ylim(-5, 1)
        axes.set_ylabel("F1 against dense (points)")
        axes.axhline(0, color="0.8", lw=0.8, zorder=0)
        axes.axvline(1, color="0.8", lw=0.8, zorder=0)
    time.legend(frameon=False)
    figure.suptitle(f"{curve['model']}, {Path(curve['dataset']).name}", fontsize=10)
    save_figure(figure, path)

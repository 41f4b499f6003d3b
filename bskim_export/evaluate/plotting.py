"""Pictures for reports. They need matplotlib: axes, ticks and labels that stay legible at any scale are a library's
work, and nobody who only measures has to install it (the JSON needs nothing)."""

from pathlib import Path
from typing import TYPE_CHECKING

from bskim_export.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")


def check_plotting() -> None:
    """Raise MissingExtraError if matplotlib is not there. To be called before hours of work, not after."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_extra("matplotlib", "plot", "Drawing the curve") from error


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, in inches. Raises MissingExtraError if matplotlib is not there."""
    check_plotting()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: no global state of matplotlib changes, and no display is looked for.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure to a file that ends with one of SUFFIXES; the same figure gives the same bytes."""
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)

import pytest
from matplotlib.figure import Figure

from bskim_export.calibrate.plot import plot_curve


def point(family, speedup, drop):
    return {"family": family, "speedup_macs": speedup, "f1_drop": drop, "speedup_time": speedup / 2}


CURVE = {
    "model": "mine",
    "dataset": "/data/held_out.json",
    "points": [point("path", 1, 0), point("path", 2, 1.5), point("same threshold", 3, 4), point("path", 9, 60)],
    "measured": [point("path", 2, 1), point("same threshold", 3, 4.5)],
}


def test_lines_are_simulated_and_dots_are_true_runs(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.append(figure))
    plot_curve(CURVE, tmp_path / "curve.svg")
    macs, time = drawn[0].axes
    lines = [(list(x.get_xdata()), list(x.get_ydata())) for x in macs.lines[:4]]
    assert lines[:2] == [([1, 2, 9], [0, -1.5, -60]), ([2], [-1])]
    assert lines[2:] == [([3], [-4]), ([3], [-4.5])]
    assert [(list(x.get_xdata()), list(x.get_ydata())) for x in time.lines[:2]] == [([1], [-1]), ([1.5], [-4.5])]
    assert macs.get_xlim()[1] == pytest.approx(1.05 * 3)  # the point that loses 60 is not looked at
    assert "held_out.json" in drawn[0]._suptitle.get_text()


@pytest.mark.parametrize("name", ["curve.svg", "curve.png", "curve.pdf"])
def test_a_picture_is_written_in_each_format(tmp_path, name):
    plot_curve(CURVE, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 1000

from itertools import pairwise

import numpy as np
import pytest

from bskim_export import QAPipeline
from bskim_export.bench import scaling
from bskim_export.bench.scaling import SHARES, Line, Point, fit_line, measure_scaling, plot_scaling
from bskim_export.data.question import sample


def test_points_are_shares_of_the_dense_models_macs_and_time(minilm_bundle, squad, monkeypatch):
    answerer = QAPipeline(minilm_bundle).answerer()
    windows = [w for q in sample(squad, 3) for w in answerer.windows(q.question, q.context)]
    ran = []

    def interleaved(runs, repeats):
        ran.append((len(runs), repeats))
        return np.tile(np.linspace(2, 1, len(runs)), (repeats, 1))

    monkeypatch.setattr(scaling, "interleaved", interleaved)
    seen = []
    points = measure_scaling(answerer.runner, windows, 2, lambda: seen.append(1))
    assert [p.share for p in points] == list(SHARES)
    assert points[0].macs > 1  # the predictors come on top
    assert points[-1].macs < 0.6
    assert all(a.macs >= b.macs for a, b in pairwise(points))
    expected = np.linspace(2, 1, 11)[1:] / 2
    np.testing.assert_allclose([p.alone for p in points], expected)
    np.testing.assert_allclose([p.together for p in points], expected)
    assert ran == [(11, 2)] * len(windows) + [(11, 1)] * 2
    assert len(seen) == len(windows) + 2


@pytest.mark.parametrize(("fixed", "slope"), [(0.0, 1.0), (0.2, 0.8), (-0.1, 1.25)])
def test_the_line_is_that_of_the_points(tmp_path, fixed, slope):
    points = [Point(m, m, fixed + slope * m, 1.0 + (m == 0.5)) for m in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert fit_line(points, "alone") == Line(fixed, slope, 0.0)
    bent = fit_line(points, "together")
    assert (bent.fixed, bent.slope, bent.off) == (1.2, 0.0, 0.8)


def test_the_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    points = [Point(share, share, share, share) for share in SHARES]
    lines = {"alone": fit_line(points, "alone"), "together": fit_line(points, "together")}
    plot_scaling(points, lines, "tiny", tmp_path / "x.svg")
    assert "one window at a time" in (tmp_path / "x.svg").read_text() or (tmp_path / "x.svg").stat().st_size > 5000

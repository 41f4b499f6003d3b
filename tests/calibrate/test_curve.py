import numpy as np
import pytest

from bskim_export.calibrate.budget import dense_f1
from bskim_export.calibrate.curve import MEASURED, measure_points, measured_points, trade_off
from bskim_export.calibrate.threshold_path import find_threshold_path


@pytest.fixture(scope="module")
def points(simulator):
    return trade_off(simulator, find_threshold_path(simulator, dense_f1(simulator)))


def test_both_families_begin_with_nothing_dropped(points):
    for family in ("path", "same threshold"):
        own = [p for p in points if p["family"] == family]
        assert own[0]["speedup_macs"] == 1
        assert own[0]["f1_drop"] == 0
        assert own[-1]["speedup_macs"] > 1
        assert all(list(p["thresholds"]) == [0, 1, 2, 3, 4, 5] for p in own)
    same = [set(p["thresholds"].values()) for p in points if p["family"] == "same threshold"]
    assert len(same) == 50
    assert all(len(values) == 1 for values in same)


def test_points_to_measure_are_spread_over_what_is_saved(points):
    chosen = measured_points(points)
    for family in ("path", "same threshold"):
        own = [p for p in chosen if p["family"] == family]
        assert 1 <= len(own) <= MEASURED
        assert all(p["speedup_macs"] > 1 and p["f1_drop"] < 5 for p in own)
        most = max(
            p["speedup_macs"] for p in points if p["family"] == family and p["f1_drop"] < 5 and p["speedup_macs"] > 1
        )
        assert own[-1]["speedup_macs"] == most
    assert measured_points([p for p in points if p["speedup_macs"] == 1]) == []


def test_measured_points_are_true_runs_with_their_times(simulator, points):
    chosen = measured_points(points)
    dense = simulator.run(np.zeros(6))
    asked = []

    def seconds(thresholds):
        asked.extend(thresholds)
        return 1 / np.arange(1.0, len(thresholds) + 1)

    measured = measure_points(chosen, simulator.run, dense, seconds)
    assert not asked[0].any()
    assert [dict(enumerate(t.tolist())) for t in asked[1:]] == [p["thresholds"] for p in chosen]
    assert [p["speedup_time"] for p in measured] == pytest.approx(list(range(2, len(chosen) + 2)))
    for point, simulated in zip(measured, chosen, strict=True):
        assert point["f1_drop"] == simulated["f1_drop"]
        assert point["speedup_macs"] == simulated["speedup_macs"]
        assert point["family"] == simulated["family"]


def test_where_there_is_nothing_to_measure_nothing_is_run():
    assert measure_points([], None, None, None) == []

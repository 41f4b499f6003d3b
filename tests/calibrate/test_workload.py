"""What is counted for many windows at once is what the benchmark counts for each."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.blocks import KEPT
from bskim_export.bundle.manifest import Model
from bskim_export.calibrate.workload import FEATURES, skim_points_before, window_macs, workload
from bskim_export.evaluate import macs
from bskim_export.runtime.runner import WindowResult

MODEL = Model("bert", "", 4, 64, 256, 2, 32, 64, 2, 32, 512, 0, 101, predictor_macs=1000, predictor_question_macs=70)


@st.composite
def windows(draw):
    """Draw skim layers, which of their predictors run, and the layer that drops each block of a few windows."""
    layers = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True).map(sorted))
    scored = draw(st.lists(st.booleans(), min_size=len(layers), max_size=len(layers)))
    running = [layer for layer, runs in zip(layers, scored, strict=True) if runs]
    when = st.sampled_from([*running, KEPT])
    passages = draw(st.lists(st.lists(when, max_size=6), min_size=1, max_size=4))
    asked = [draw(st.integers(1, 2)) for _ in passages]
    return layers, np.array(scored), [[KEPT] * n + own for n, own in zip(asked, passages, strict=True)], np.array(asked)


def live_blocks(layers, dropped_after):
    after = [[sum(d > layer for d in own) for own in dropped_after] for layer in layers]
    return np.array([[len(own) for own in dropped_after], *after])


@given(windows())
def test_macs_are_those_of_the_benchmark(drawn):
    layers, scored, dropped_after, asked = drawn
    found = window_macs(MODEL, layers, live_blocks(layers, dropped_after), asked, scored)
    running = [layer for layer, runs in zip(layers, scored, strict=True) if runs]
    none = np.zeros(0, np.float32)
    results = [WindowResult(none, none, np.array(own, np.int16)) for own in dropped_after]
    assert found.tolist() == [macs.window_macs(MODEL, r, int(n), running) for r, n in zip(results, asked, strict=True)]


@given(windows())
def test_the_features_of_a_question_add_up_to_its_macs(drawn):
    layers, scored, dropped_after, asked = drawn
    live = live_blocks(layers, dropped_after)
    (features,) = workload(MODEL, layers, live, asked, scored, np.array([0]))
    named = dict(zip(FEATURES, features.tolist(), strict=True))
    free = replace(MODEL, predictor_question_macs=0)
    total = window_macs(free, layers, live, asked, scored).sum()
    assert round(1e9 * named["gmacs"]) + named["judged_blocks"] * free.predictor_macs == total
    assert named["runs"] == 1
    assert named["stages"] == (0 if not scored.any() else 1 + len(layers))
    assert named["predictors"] <= scored.sum()


@given(windows(), windows())
def test_questions_are_counted_apart(first, second):
    layers, scored, dropped_after, asked = first
    own = [[KEPT] * 2, *dropped_after]
    both = workload(MODEL, layers, live_blocks(layers, own), np.concatenate([[1], asked]), scored, np.array([0, 1]))
    alone = workload(MODEL, layers, live_blocks(layers, dropped_after), asked, scored, np.array([0]))
    assert both[1].tolist() == alone[0].tolist()


def test_the_skim_points_before_a_layer_are_those_of_earlier_layers():
    assert skim_points_before([0, 2], 4).tolist() == [0, 1, 1, 2, 2]
    assert skim_points_before([], 2).tolist() == [0, 0, 0]

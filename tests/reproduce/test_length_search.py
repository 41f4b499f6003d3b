"""Lengths by evolutionary search, and what they cost."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.bundle.manifest import Model
from bskim_export.evaluate.macs import dense_macs
from bskim_export.reproduce.length_runner import macs_at_lengths
from bskim_export.reproduce.length_search import Point, best, mutated, search

BASE = Model("bert", "", 12, 768, 3072, 12, 64, 768, 2, 32, 512, 0, 101, 0)


def test_the_search_finds_which_layers_may_drop():
    """Only the third layer's tokens matter for the score, and from four fifths on no more."""
    calls = []

    def measure(shares):
        calls.append(shares)
        return min(shares[2], 0.8), sum(shares)

    points = search(measure, 6, 0.2, generations=30, children=20)
    assert len(calls) == len(set(calls))
    best_score = max(p.score for p in points)
    assert best_score >= 0.78
    cheapest = min(p.cost for p in points if p.score >= 0.78)
    # 0.79 for three layers, and then a fifth less each.
    assert cheapest < 1.06 * (3 * 0.79 + 0.79 * (0.8 + 0.64 + 0.512))


def test_no_point_is_beaten_by_another():
    draw = random.Random(1)
    points = [Point((1.0,), draw.randrange(20), draw.randrange(20)) for _ in range(200)]
    found = best(points)
    for point in points:
        beaten = any(o.score >= point.score and o.cost <= point.cost and o != point for o in points)
        assert (point in found) or beaten
    assert all(a.cost < b.cost and a.score < b.score for a, b in itertools.pairwise(found))


@given(st.lists(st.floats(0.8, 1), min_size=1, max_size=8), st.integers(0, 1000))
def test_changed_lengths_still_fall(steps, seed):
    shares = tuple(np.cumprod(steps).tolist())
    changed = mutated(shares, 0.2, random.Random(seed))
    assert all(a >= b > 0 for a, b in itertools.pairwise([1.0, *changed]))


def test_the_same_seed_finds_the_same():
    measure = lambda shares: (shares[0], sum(shares))  # noqa: E731
    assert search(measure, 4, 0.2, 3, 6, seed=1) == search(measure, 4, 0.2, 3, 6, seed=1)


@pytest.mark.parametrize("tokens", [1, 100, 512])
def test_at_full_length_the_cost_is_that_of_the_dense_model(tokens):
    assert macs_at_lengths(BASE, tokens, [1.0] * 12) == dense_macs(BASE, tokens)


def test_each_layer_runs_on_what_the_one_before_left_and_the_head_on_all():
    hidden, inner = 768, 3072

    def layer(enters, leaves):
        return enters * 3 * hidden**2 + 2 * enters**2 * hidden + leaves * (hidden**2 + 2 * hidden * inner)

    expected = layer(100, 50) + layer(50, 25) + 10 * layer(25, 25) + 100 * hidden * 2
    assert macs_at_lengths(BASE, 100, [0.5, *[0.25] * 11]) == expected

"""The lengths of a Length-Adaptive Transformer that are worth their cost, by evolutionary search.

Kim and Cho 2021, section 3.3: start from the shortest and from random ones; in each generation change some of the best
a little and average some pairs of them; keep those that no other beats in both cost and score.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bskim_export.training.length_drop import drawn, shortest

Shares = tuple[float, ...]
"""Of each layer, the share of a window's tokens that go on behind its attention."""
STEPS = 64
"""Shares are multiples of one over this, so that equal ones are found again."""
CHANGED = 0.5
"""Probability that a layer's share changes in a mutation."""


@dataclass(frozen=True)
class Point:
    """Lengths, and what they give and cost. score: higher is better; cost: lower is."""

    shares: Shares
    score: float
    cost: float


def search(
    measure: Callable[[Shares], tuple[float, float]],
    layers: int,
    drop: float,
    generations: int,
    children: int,
    seed: int = 42,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Point]:
    """Return the best lengths found, the cheapest first: none is beaten in both score and cost.

    Args:
        measure: shares -> score and cost; called once for each
        layers: of the model
        drop: the share of tokens that a layer loses at most
        generations: how often the best are changed
        children: new lengths of a generation, half of them changed ones, half averaged
        progress: called with the number of generations that are done, and of all

    Example:
        >>> points = search(lambda s: (min(s[0], 0.9), sum(s)), 2, 0.2, 10, 8)
        >>> all(a.cost < b.cost and a.score < b.score for a, b in zip(points, points[1:]))
        True
    """
    draw = random.Random(seed)
    known: dict[Shares, Point] = {}

    def add(shares: Sequence[float]) -> None:
        rounded = _rounded(shares)
        if rounded not in known:
            known[rounded] = Point(rounded, *measure(rounded))

    add([1.0] * layers)
    add(shortest(layers, drop))
    for _ in range(children):
        add(drawn(layers, drop, draw))
    for generation in range(generations):
        progress(generation, generations)
        parents = best(known.values())
        for _ in range(-(-children // 2)):
            add(mutated(draw.choice(parents).shares, drop, draw))
        for _ in range(children // 2):
            pair = draw.choice(parents).shares, draw.choice(parents).shares
            add([(a + b) / 2 for a, b in zip(*pair, strict=True)])
    progress(generations, generations)
    return best(known.values())


def best(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats in both score and cost, the cheapest first.

    Example:
        >>> [p.cost for p in best([Point((1,), 80, 3), Point((1,), 79, 4), Point((1,), 70, 1)])]
        [1, 3]
    """
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.score)):
        if not found or point.score > found[-1].score:
            found.append(point)
    return found


def mutated(shares: Shares, drop: float, draw: random.Random) -> list[float]:
    """Return lengths some of which are drawn anew, between those of the layer before and of the layer behind."""
    changed = list(shares)
    for i in range(len(changed)):
        if draw.random() < CHANGED:
            before = changed[i - 1] if i else 1.0
            behind = changed[i + 1] if i + 1 < len(changed) else 0.0
            least = max(behind, before * (1 - drop))
            changed[i] = draw.uniform(min(least, before), before)
    return changed


def _rounded(shares: Sequence[float]) -> Shares:
    """Return shares that fall, in whole steps, none of them 0."""
    found: list[float] = []
    for share in shares:
        step = max(1, round(share * STEPS)) / STEPS
        found.append(min([step, *found[-1:]]))
    return tuple(found)

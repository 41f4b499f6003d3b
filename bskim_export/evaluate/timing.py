"""Timing on machines whose speed drifts: several ways to do the same take turns, so that a slow spell slows all."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Item = TypeVar("Item")


def interleaved(runs: Sequence[Callable[[], object]], repeats: int) -> npt.NDArray[np.float64]:
    """Return seconds [repeats, runs], measured in turns after one warm-up each.

    Example:
        >>> interleaved([lambda: 1, lambda: 2], 3).shape
        (3, 2)
    """
    for run in runs:
        run()
    seconds = np.empty((repeats, len(runs)))
    for r in range(repeats):
        for i in take_turns(range(len(runs)), r):
            seconds[r, i] = seconds_of(runs[i])
    return seconds


def seconds_of(run: Callable[[], object]) -> float:
    """Return how long something takes.

    Example:
        >>> seconds_of(lambda: time.sleep(0.01)) >= 0.01
        True
    """
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(rows: Sequence[T], turn: int) -> list[T]:
    """Return the rows in the order of this turn: another one begins each time.

    Example:
        >>> take_turns("abc", 1)
        ['b', 'c', 'a']
    """
    first = turn % len(rows)
    return [*rows[first:], *rows[:first]]


def share_turns(
    rows: Sequence[T], items: Sequence[Item], count: int, progress: Callable[[], None]
) -> Iterator[tuple[T, Sequence[Item]]]:
    """Yield each row with the next `count` items, until all rows had all of them; another row begins each time.

    Args:
        progress: called for each item once all rows are done with it

    Example:
        >>> [(row, some) for row, some in share_turns("ab", [1, 2, 3], 2, lambda: None)]
        [('a', [1, 2]), ('b', [1, 2]), ('b', [3]), ('a', [3])]
    """
    for turn, start in enumerate(range(0, len(items), count)):
        some = items[start : start + count]
        for row in take_turns(rows, turn):
            yield row, some
        for _ in some:
            progress()

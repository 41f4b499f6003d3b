"""Which predictors may be worth their time: the sets of skim points that are measured."""

from collections.abc import Mapping, Sequence

import numpy as np

from bskim_export.evaluate.loop import Evaluated


def dropped_blocks(done: Sequence[Evaluated], layers: Sequence[int]) -> dict[int, int]:
    """Return how many blocks were dropped after each of some layers, all questions together."""
    blocks = sum(one.blocks for one in done)
    kept = np.sum([one.kept for one in done], axis=0)
    before = [blocks, *kept.tolist()]  # blocks that enter each layer
    return {layer: int(before[layer] - before[layer + 1]) for layer in layers}


def nested_sets(dropped: Mapping[int, int], num_layers: int) -> list[tuple[int, ...]]:
    """Return sets of layers, from all to none, each without the one whose predictor saves the least in the set before.

    What a predictor drops, the next one would drop if it were not there: it saves the layers between the two.

    Args:
        dropped: blocks that are dropped after each layer that has a predictor, where all of them run

    Example:
        >>> nested_sets({0: 1, 2: 50, 3: 10}, 6)
        [(0, 2, 3), (2, 3), (2,), ()]
    """
    left = dict(sorted(dropped.items()))
    sets = [tuple(left)]
    while left:
        following = [*list(left)[1:], num_layers]
        saved = {layer: blocks * (then - layer) for (layer, blocks), then in zip(left.items(), following, strict=True)}
        least = min(saved, key=lambda layer: saved[layer])
        then = following[list(left).index(least)]
        blocks = left.pop(least)
        if then in left:
            left[then] += blocks
        sets.append(tuple(left))
    return sets

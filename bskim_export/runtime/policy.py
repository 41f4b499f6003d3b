"""Who stays: turns keep probabilities into kept blocks."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from bskim_export.blocks import runs
from bskim_export.errors import InputError


class Policy(Protocol):
    """Decides after each layer which of the scored passage blocks stay."""

    def scores(self, layer: int) -> bool:
        """Return whether this layer's predictor must run at all."""

    def keep(self, layer: int, window: np.ndarray, score: np.ndarray, initial: np.ndarray) -> np.ndarray:
        """Return bool [P], which blocks stay.

        Args:
            window: int [P], non-decreasing, the window of each scored block
            score: float32 [P], keep probabilities
            initial: int [P], how many passage blocks that window began with
        """


class Thresholds:
    """A passage block stays if its keep probability is at least its layer's threshold. 0 keeps all.

    Args:
        by_layer: the threshold of each layer
        documents: the same for questions of several windows; default: `by_layer`

    Raises:
        InputError: a threshold outside 0 to 1.
    """

    def __init__(self, by_layer: Mapping[int, float], documents: Mapping[int, float] | None = None):
        for layer, value in by_layer.items():
            check_threshold(value, f"the threshold of layer {layer}")
        self.by_layer = dict(by_layer)
        self.for_documents = self if documents is None else Thresholds(documents)

    def scores(self, layer: int) -> bool:
        return self.by_layer.get(layer, 0.0) > 0

    def keep(self, layer: int, window: np.ndarray, score: np.ndarray, initial: np.ndarray) -> np.ndarray:
        return score >= np.float32(self.by_layer[layer])


class KeepSchedule:
    """An imposed pattern, to measure speed: after layer i, the `shares[i]` best-scored of the passage blocks that a
    window began with stay (at least one; the last share serves all later layers). Its answers mean nothing.

    Raises:
        InputError: no shares, or one outside 0 to 1.
    """

    def __init__(self, shares: Sequence[float]):
        if not shares or not all(0 < s <= 1 for s in shares):
            raise InputError(f"A keep schedule is a list of shares above 0 and up to 1, got {list(shares)}.")
        self.shares = tuple(shares)

    def scores(self, layer: int) -> bool:
        return True

    def keep(self, layer: int, window: np.ndarray, score: np.ndarray, initial: np.ndarray) -> np.ndarray:
        share = self.shares[min(layer, len(self.shares) - 1)]
        if share == 1:
            return np.ones(len(score), bool)
        order = np.lexsort((-score, window))
        first, counts = runs(window[order])
        rank = np.arange(len(order)) - np.repeat(first, counts)
        keep = np.empty(len(order), bool)
        keep[order] = rank < np.maximum(1, np.ceil(share * initial[order] - 1e-9))
        return keep


def for_documents(policy: Policy | None) -> Policy | None:
    """Return the policy for questions of several windows."""
    return policy.for_documents if isinstance(policy, Thresholds) else policy


def check_threshold(value: float, name: str = "threshold") -> float:
    """Return `value` if it is a number from 0 to 1; raise InputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number from 0 (keep every block) to 1, got {value!r}.")
    return float(value)

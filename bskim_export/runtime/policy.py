"""Who stays: which blocks a threshold refuses, and which ones whoever imposes a pattern.

A policy is data, known before anything runs: so a graph can apply it as well as the host.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bskim_export.errors import InputError

Judged = npt.NDArray[np.bool_]
"""bool [B, K]: the blocks of a batch that predictors judge, of those that the windows begin with."""


class Policy(Protocol):
    """Decides after each layer which of the judged blocks stay: those that reach its threshold and are allowed to."""

    def scores(self, layer: int) -> bool:
        """Return whether this layer's predictor must run at all."""

    def threshold(self, layer: int) -> float:
        """Return the keep probability from which a block stays, of a layer that is scored. 0 keeps all."""
        return 0.0

    def allowed(self, layer: int, judged: Judged) -> Judged | None:
        """Return bool [B, K], the blocks that may stay after a layer that is scored; others are refused, however sure
        its predictor is. None allows all.

        Args:
            judged: see `Judged`; what is said of other blocks is ignored
        """
        return None


class Thresholds(Policy):
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

    def only(self, layers: Collection[int], documents: Collection[int] | None = None) -> "Thresholds":
        """Return the same for some layers' predictors; those of others do not run.

        Args:
            documents: the layers for questions of several windows; default: `layers`
        """
        sets = (self.by_layer, layers), (self.for_documents.by_layer, layers if documents is None else documents)
        return Thresholds(*({i: t if i in some else 0.0 for i, t in whole.items()} for whole, some in sets))

    def scores(self, layer: int) -> bool:
        return self.by_layer.get(layer, 0.0) > 0

    def threshold(self, layer: int) -> float:
        return self.by_layer[layer]


class KeepSchedule(Policy):
    """An imposed pattern, to measure speed: after layer i, the first `shares[i]` of the judged blocks that a window
    began with stay (at least one; the last share serves all later layers). Its answers mean nothing.

    Raises:
        InputError: no shares, or one outside 0 to 1.
    """

    def __init__(self, shares: Sequence[float]):
        if not shares or not all(0 < s <= 1 for s in shares):
            raise InputError(f"A keep schedule is a list of shares above 0 and up to 1, got {list(shares)}.")
        self.shares = tuple(shares)

    def scores(self, layer: int) -> bool:
        return True

    def allowed(self, layer: int, judged: Judged) -> Judged | None:
        share = self.shares[min(layer, len(self.shares) - 1)]
        if share == 1:
            return None
        most = np.maximum(1, np.ceil(share * judged.sum(1, keepdims=True) - 1e-9))
        first: Judged = judged & (judged.cumsum(1) <= most)
        return first


def reaches(probability: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    """Return which keep probabilities reach a threshold, compared as float32, as graphs do.

    Example:
        >>> reaches(np.array([0.1, 0.09], np.float32), 0.1).tolist()
        [True, False]
    """
    found: npt.NDArray[np.bool_] = probability >= np.float32(threshold)
    return found


def for_documents(policy: Policy | None) -> Policy | None:
    """Return the policy for questions of several windows."""
    return policy.for_documents if isinstance(policy, Thresholds) else policy


def check_threshold(value: float, name: str = "threshold") -> float:
    """Return `value` if it is a number from 0 to 1; raise InputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number from 0 (keep every block) to 1, got {value!r}.")
    return float(value)

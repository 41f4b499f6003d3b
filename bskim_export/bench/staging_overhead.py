"""The single graph and the stages, each against its own dense graph: what predictors and the rest cost with nothing
dropped, and what is gained at a bundle's thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bskim_export.evaluate.timing import interleaved
from bskim_export.runtime.policy import KeepSchedule, Policy
from bskim_export.runtime.runner import Runner
from bskim_export.runtime.windows import Window


@dataclass(frozen=True)
class Times:
    """Seconds of all windows: the dense model, with every predictor and nothing dropped, and at some thresholds."""

    dense: float
    whole: float
    skim: float

    @property
    def overhead(self) -> float:
        """Return what running all predictors costs, over dense: 0.1 for a tenth more."""
        return self.whole / self.dense - 1


def measure_times(
    runners: Sequence[Runner], batches: Sequence[Sequence[Window]], policy: Policy, repeats: int
) -> list[Times]:
    """Return the times of each runner: medians of each batch, summed, all taking turns."""
    policies = (None, KeepSchedule([1.0]), policy)
    total = np.zeros((len(runners), len(policies)))
    for batch in batches:
        ways = [partial(runner.run, batch, policy) for runner in runners for policy in policies]
        total += np.median(interleaved(ways, repeats), axis=0).reshape(total.shape)
    return [Times(*map(float, row)) for row in total]

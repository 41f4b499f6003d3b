"""The protocol of everything that runs windows, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.windows import Window


@dataclass(eq=False)
class WindowResult:
    """The outcome of one window.

    start_logits, end_logits: float32 [K * block_size]; -inf where the block was dropped
    dropped_after: int16 [K], the layer after which each block was dropped, `blocks.KEPT` if it never was
    keep_probability: float32 [K], the last one that each block got; 1 if no predictor judged it
    left: the window left the batch when everything in it was refused
    best_block, best_score: of a window that left, the block with the highest keep probability then
    earlier: of a window that was run once more, the first run
    protected: one of its blocks was protected
    """

    start_logits: npt.NDArray[np.float32]
    end_logits: npt.NDArray[np.float32]
    dropped_after: npt.NDArray[np.int16]
    left: bool = False
    best_block: int = -1
    best_score: float = 0.0
    earlier: "WindowResult | None" = None
    protected: bool = False
    keep_probability: npt.NDArray[np.float32] = field(default_factory=lambda: np.ones(0, np.float32))

    @property
    def left_after(self) -> int:
        """Return the layer after which a window that left did so."""
        return int(self.dropped_after.max())


class Runner(Protocol):
    """Runs windows through a model and drops blocks as a policy decides.

    The orchestrator is one; others are the PyTorch reference and a model in training.
    """

    @property
    def model(self) -> Model:
        """Return shapes and special positions of the model."""

    @property
    def skim_layers(self) -> Sequence[int]:
        """Return the layers that have a predictor."""

    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> Sequence[WindowResult]:
        """Run a batch of windows; each one's result is the same in any batch.

        Args:
            windows: at least one
            policy: decides which blocks stay; None drops nothing and runs no predictor
            protected: for each window a passage block that must stay, or None
        """

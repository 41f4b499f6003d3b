"""The protocol of everything that runs windows, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.windows import Window

NOT_JUDGED = np.float32(-1)


@dataclass(eq=False)
class WindowResult:
    """The outcome of one window.

    start_logits, end_logits: float32 [K * block_size]; -inf where the block was dropped
    dropped_after: int16 [K], the layer after which each block was dropped, `blocks.KEPT` if it never was
    probabilities: float32 [L, K], what the predictor of each layer that has one says of each block: its keep
        probability, NOT_JUDGED where it did not judge it
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
    probabilities: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def leave(self, row: int) -> None:
        """Note that the window left.

        Args:
            row: of `probabilities`, that of the layer after which it did
        """
        self.left = True
        self.best_block = int(self.probabilities[row].argmax())
        self.best_score = float(self.probabilities[row, self.best_block])

    @property
    def keep_probability(self) -> npt.NDArray[np.float32]:
        """Return float32 [K], the last keep probability that each block got; 1 if no predictor judged it."""
        last = np.ones(len(self.dropped_after), np.float32)
        for row in self.probabilities:
            last = np.where(row == NOT_JUDGED, last, row)
        return last

    @property
    def left_after(self) -> int:
        """Return the layer after which a window that left did so."""
        return int(self.dropped_after.max())


class Runner(Protocol):
    """Runs windows through a model and drops blocks as a policy decides.

    The orchestrator is one; others are the PyTorch reference and a model in training.
    """

    @property
    def alone(self) -> bool:
        """Return whether it runs each window by itself, however many it is given."""

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

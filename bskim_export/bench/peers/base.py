"""The runner of a peer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.blocks import KEPT
from bskim_export.bundle.manifest import Model
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window

Tokens = Mapping[str, npt.NDArray[np.int64]]
"""input_ids, attention_mask and token_type_ids, int64 [B, S] each."""
Logits = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""start_logits and end_logits, float32 [B, S] each; those of padding mean nothing."""


class Unavailable(Exception):
    """A peer cannot be had here, and the table goes on without it. The message says why."""


@dataclass(frozen=True)
class Peer:
    """One way of a library to run the model.

    name: of its row, as "torch bf16"
    forward: runs a batch
    """

    name: str
    forward: Callable[[Tokens], Logits]


class PeerRunner:
    """A peer as a `Runner`: dense, whatever the policy.

    Args:
        peer: runs batches
        model: shapes
    """

    alone = False
    skim_layers: Sequence[int] = ()

    def __init__(self, peer: Peer, model: Model):
        self._peer = peer
        self.model = model

    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> list[WindowResult]:
        """Run a batch of windows; see `Runner.run`."""
        longest = max(window.length for window in windows)
        tokens = {
            "input_ids": np.full((len(windows), longest), self.model.pad_token_id, np.int64),
            "attention_mask": np.zeros((len(windows), longest), np.int64),
            "token_type_ids": np.zeros((len(windows), longest), np.int64),
        }
        for row, window in enumerate(windows):
            length = window.length
            tokens["input_ids"][row, :length] = window.input_ids[:length]
            tokens["attention_mask"][row, :length] = 1
            tokens["token_type_ids"][row, :length] = window.token_type_ids[:length]
        start, end = self._peer.forward(tokens)
        return [self._read(window, start[row], end[row]) for row, window in enumerate(windows)]

    def _read(self, window: Window, start: npt.NDArray[np.float32], end: npt.NDArray[np.float32]) -> WindowResult:
        whole = np.full((2, len(window.input_ids)), -np.inf, np.float32)
        whole[:, : window.length] = start[: window.length], end[: window.length]
        blocks = len(window.input_ids) // self.model.block_size
        never = np.full(blocks, KEPT, np.int16)
        return WindowResult(whole[0], whole[1], never, probabilities=np.zeros((0, blocks), np.float32))

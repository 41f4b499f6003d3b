"""Predict the outcome of any thresholds from the record of one pass with nothing dropped.

The decisions are the pipeline's: a dropped block stays dropped, windows leave by its rule, a question whose windows
have all left has one of them run again with its best block protected, the best span is decoded from the blocks that are
left. What is approximate: the scores and logits are those of the whole window. In a true run, layers behind a drop see
less, so their scores and logits differ a little. `agreement` says how much, and what is chosen on a simulation is
confirmed by a true run.
"""

from dataclasses import dataclass

import numpy as np

from bskim_export.bundle.manifest import Model
from bskim_export.calibrate.needed_blocks import lost
from bskim_export.calibrate.record import Record
from bskim_export.calibrate.workload import skim_points_before, window_macs, workload
from bskim_export.runtime.leaving import leaves, most_promising


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of Q questions, simulated or in a true run.

    em, f1: float64 [Q], 0 to 1; answer: int64 [Q], its hash; macs: int64 [Q]; lost: bool [Q] (see `needs`)
    kept: int64 [Q, layers], blocks that each layer left; the windows of a question are summed, a second run counts
        instead of the first
    stays: bool [B], which blocks were there to the end
    """

    em: np.ndarray
    f1: np.ndarray
    answer: np.ndarray
    macs: np.ndarray
    lost: np.ndarray
    kept: np.ndarray
    stays: np.ndarray


class Simulator:
    """Predicts outcomes from a record.

    Args:
        record: of one pass
        model: shapes, for MACs
        price: float [6], seconds for each of `workload.FEATURES`; default: cost is counted in MACs
    """

    def __init__(self, record: Record, model: Model, price: np.ndarray | None = None):
        self.record, self.model, self.price = record, model, price
        self._start = np.cumsum(record.blocks) - record.blocks  # [W], each window's first block
        self._window = np.repeat(np.arange(len(record.blocks)), record.blocks)
        self._place = np.arange(len(self._window)) - self._start[self._window]
        self._first = np.cumsum(record.windows) - record.windows  # [Q], each question's first window
        self._question = np.repeat(np.arange(record.questions), record.windows)
        # [M, L, W]: sums over the blocks of a window then run along contiguous memory, 20 times faster than reduceat
        grid = np.full((record.blocks.max(), len(record.layers), len(record.blocks)), -np.inf, np.float32)
        grid[self._place, :, self._window] = record.scores.T
        self._scores = grid

    def cost(self, thresholds: np.ndarray) -> np.ndarray:
        """Return what each question costs, float64 [Q]: seconds if there is a price, else MACs.

        Args:
            thresholds: float [L]; a layer with 0 drops nothing and runs no predictor
        """
        if self.price is None:
            return self._macs(self._skim(thresholds), thresholds).astype(np.float64)
        skimmed, scored = self._skim(thresholds), np.asarray(thresholds) > 0
        layers, protected = self.record.layers, self.record.question_blocks
        done = workload(self.model, layers, skimmed.live, protected, scored, self._first)
        if len(skimmed.again):
            alone = np.arange(len(skimmed.again))
            protected = protected[skimmed.again] + 1
            done[skimmed.gone] += workload(self.model, layers, skimmed.live_again, protected, scored, alone)
        return done @ self.price

    def run(self, thresholds: np.ndarray) -> Outcome:
        """Return the outcome of every question."""
        record = self.record
        skimmed = self._skim(thresholds)
        stayed = np.concatenate([[0], np.cumsum(skimmed.stays)])
        question, first, last = record.gold.T
        whole = stayed[last + 1] - stayed[first] == last + 1 - first
        text = self._answers(skimmed.stays)
        em, f1 = record.text_score[text].T
        live = skimmed.live.copy()
        live[:, skimmed.again] = skimmed.live_again
        steps = skim_points_before(record.layers, self.model.num_layers)
        return Outcome(
            em=em,
            f1=f1,
            answer=record.text[text, 1],
            macs=self._macs(skimmed, thresholds),
            lost=lost(question, whole, record.questions),
            kept=np.add.reduceat(live[steps[1:]], self._first, axis=1).T,
            stays=skimmed.stays,
        )

    def _skim(self, thresholds: np.ndarray) -> "_Skimmed":
        """Decide which blocks stay."""
        record = self.record
        thresholds = np.asarray(thresholds, np.float32)
        alive = self._scores >= thresholds[:, None]
        for step in range(1, len(thresholds)):
            alive[:, step] &= alive[:, step - 1]
        counts = np.concatenate([record.blocks[None], alive.view(np.uint8).sum(axis=0, dtype=np.int64)])
        # Windows leave, and stay away: blocks do not come back.
        passage = record.blocks - record.question_blocks
        left = leaves(record.may_leave, passage, counts[1:] - record.question_blocks)
        live = counts.copy()
        live[1:][left] = 0
        stays = alive[:, -1] & ~left[-1]
        # Questions whose windows have all left have one of them run again, with its best block protected.
        gone = np.logical_and.reduceat(left[-1], self._first)
        window, block = self._run_again(alive, left)
        live_again = counts[:, window]
        live_again[1:] += ~alive[block, :, window].T
        stays[:, window] = np.isposinf(self._scores[:, 0, window])
        stays[block, window] = True
        return _Skimmed(live, gone, window, live_again, stays[self._place, self._window])

    def _macs(self, skimmed: "_Skimmed", thresholds: np.ndarray) -> np.ndarray:
        model, layers, protected = self.model, self.record.layers, self.record.question_blocks
        scored = np.asarray(thresholds) > 0
        macs = np.add.reduceat(window_macs(model, layers, skimmed.live, protected, scored), self._first)
        if len(skimmed.again):
            protected = protected[skimmed.again] + 1
            macs[skimmed.gone] += window_macs(model, layers, skimmed.live_again, protected, scored)
        return macs

    def _run_again(self, alive: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the window of each question that is run again, and the block that is protected there: the one that
        the window was surest of when it left."""
        step = np.argmax(left, axis=0)  # of windows that left: when
        window = np.arange(len(step))
        score = self._scores[:, step, window]
        # Only blocks that were still there when the window left have been judged then.
        before = (step == 0) | alive[:, step - 1, window]
        score = np.where(before & np.isfinite(score), score, -np.inf)
        chosen = most_promising(self._question, left[-1], step, score.max(axis=0))
        return chosen, score.argmax(axis=0)[chosen]

    def _answers(self, stays: np.ndarray) -> np.ndarray:
        """Return the text that wins each question, int [Q]: decoding, over the blocks that stay."""
        record = self.record
        mass = np.where(stays[:, None], record.mass, -np.inf)
        total = np.logaddexp(np.logaddexp.reduceat(mass, self._start, axis=0), record.cls).sum(axis=1)
        text, first, last = record.spans.T
        offered = stays[first] & stays[last]
        text, first = text[offered], first[offered]
        share = np.exp(record.span_score[offered] - total[self._window[first]])
        score = np.bincount(text, weights=share, minlength=len(record.text))
        question = record.text[:, 0]
        order = np.lexsort((-score, question))
        return order[np.unique(question[order], return_index=True)[1]]


@dataclass(frozen=True, eq=False)
class _Skimmed:
    """live: int64 [L + 1, W], blocks before the first skim point and after each
    gone: bool [Q], questions whose windows have all left; again: int [n], the window of each that is run once more,
        and live_again: int64 [L + 1, n], its blocks then
    stays: bool [B], which blocks are there to the end
    """

    live: np.ndarray
    gone: np.ndarray
    again: np.ndarray
    live_again: np.ndarray
    stays: np.ndarray

"""Predict the outcome of any thresholds from the record of one pass with nothing dropped.

The decisions are the pipeline's: a dropped block stays dropped, windows leave by its rule, a question whose windows
have all left has one of them run again with its best block protected, the best span is decoded from the blocks that are
left. What is approximate: the scores and logits are those of the whole window. In a true run, layers behind a drop see
less, so their scores and logits differ a little. `agreement` says how much, and what is chosen on a simulation is
confirmed by a true run.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model
from bskim_export.calibrate.needed_blocks import lost
from bskim_export.calibrate.record import Record
from bskim_export.calibrate.workload import skim_points_before, window_macs, workload
from bskim_export.runtime.leaving import leaves, most_promising


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of Q questions with B blocks, simulated or in a true run.

    em, f1: float64 [Q], 0 to 1
    answer: int64 [Q], the hash of its text
    macs: int64 [Q]
    lost: bool [Q], see `needed_blocks`
    kept: int64 [Q, layers], blocks that each layer left; the windows of a question are summed, a second run counts
        instead of the first
    stays: bool [B], which blocks were there to the end
    """

    em: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]
    answer: npt.NDArray[np.int64]
    macs: npt.NDArray[np.int64]
    lost: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.int64]
    stays: npt.NDArray[np.bool_]


class Simulator:
    """Predicts outcomes from a record.

    Args:
        record: of one pass
        model: shapes, for MACs
        price: float64 [6], seconds for each of `workload.FEATURES`; default: cost is counted in MACs
    """

    def __init__(self, record: Record, model: Model, price: npt.NDArray[np.float64] | None = None):
        self.record = record
        self.model = model
        self.price = price
        # Where windows and questions begin, and where each block and window belongs.
        self._start = np.cumsum(record.blocks) - record.blocks  # [W], each window's first block
        self._window = np.repeat(np.arange(len(record.blocks)), record.blocks)  # [B]
        self._place = np.arange(len(self._window)) - self._start[self._window]  # [B], number within the window
        self._first = np.cumsum(record.windows) - record.windows  # [Q], each question's first window
        self._question = np.repeat(np.arange(record.questions), record.windows)  # [W]
        # [M, L, W]: sums over the blocks of a window then run along contiguous memory, 20 times faster than reduceat
        grid = np.full((record.blocks.max(), len(record.layers), len(record.blocks)), -np.inf, np.float32)
        grid[self._place, :, self._window] = record.scores.T
        self._scores = grid
        # Question blocks stay; a shared one is judged all the same, and says whether its window may leave.
        self._stays = np.arange(len(grid))[:, None] < record.question_blocks  # [M, W]
        shared = np.maximum(record.question_blocks - 1, 0)
        self._shared = np.where(record.judge_shared, grid[shared, :, np.arange(len(shared))].T, -np.inf)  # [L, W]

    def cost(self, thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return what each question costs, float64 [Q]: seconds if there is a price, else MACs.

        Args:
            thresholds: float64 [L]; a layer with 0 drops nothing and runs no predictor
        """
        skimmed = self._skim(thresholds)
        scored = thresholds > 0
        if self.price is None:
            return self._macs(skimmed, scored).astype(np.float64)
        layers = self.record.layers
        protected = self.record.unjudged_blocks
        # First runs: all windows of a question together. Second runs: one window each, one more block protected.
        done = workload(self.model, layers, skimmed.live, protected, scored, self._first)
        if len(skimmed.again):
            alone = np.arange(len(skimmed.again))
            protected = protected[skimmed.again] + 1
            done[skimmed.gone] += workload(self.model, layers, skimmed.live_again, protected, scored, alone)
        return done @ self.price

    def run(self, thresholds: npt.NDArray[np.float64]) -> Outcome:
        """Return the outcome of every question.

        Args:
            thresholds: float64 [L]; a layer with 0 drops nothing and runs no predictor
        """
        record = self.record
        skimmed = self._skim(thresholds)
        # An occurrence of a gold answer is whole if all its blocks stay: counted with sums up to each block.
        stayed = np.concatenate([[0], np.cumsum(skimmed.stays)])
        question, first, last = record.gold.T
        whole = stayed[last + 1] - stayed[first] == last + 1 - first
        text = self._answers(skimmed.stays)
        em, f1 = record.text_score[text].T
        # A second run counts instead of the first.
        live = skimmed.live.copy()
        live[:, skimmed.again] = skimmed.live_again
        after_layer = live[skim_points_before(record.layers, self.model.num_layers)[1:]]
        return Outcome(
            em=em,
            f1=f1,
            answer=record.text[text, 1],
            macs=self._macs(skimmed, thresholds > 0),
            lost=lost(question, whole, record.questions),
            kept=np.add.reduceat(after_layer, self._first, axis=1).T,
            stays=skimmed.stays,
        )

    def _skim(self, thresholds: npt.NDArray[np.float64]) -> "_Skimmed":
        """Decide which blocks stay."""
        record = self.record
        # A block stays past a layer if it stayed past the one before, and its score reaches the threshold, compared in
        # float32 as in a run. The cells behind a window's last block have the score -inf.
        least = thresholds.astype(np.float32)[:, None]
        alive = (self._scores >= least) | self._stays[:, None]  # [M, L, W]
        for step in range(1, len(thresholds)):
            alive[:, step] &= alive[:, step - 1]
        counts = np.concatenate([record.blocks[None], alive.view(np.uint8).sum(axis=0, dtype=np.int64)])  # [L + 1, W]
        # Windows leave, and stay away.
        remaining = counts[1:] - record.question_blocks + (self._shared >= least)
        left = leaves(record.may_leave, record.blocks - record.unjudged_blocks, remaining)  # [L, W]
        left = np.logical_or.accumulate(left)
        live = counts.copy()
        live[1:][left] = 0
        stays = alive[:, -1] & ~left[-1]  # [M, W]
        # Questions whose windows have all left have one of them run again, with its best block protected: that block
        # is there after every layer, and nothing leaves.
        gone = np.logical_and.reduceat(left[-1], self._first)
        window, block = self._second_runs(alive, left, gone)
        live_again = counts[:, window]
        live_again[1:] += ~alive[block, :, window].T
        # What stays of such a window: its question blocks and that block. All others were dropped in the first run.
        stays[:, window] = self._stays[:, window]
        stays[block, window] = True
        return _Skimmed(live, gone, window, live_again, stays[self._place, self._window])

    def _second_runs(
        self, alive: npt.NDArray[np.bool_], left: npt.NDArray[np.bool_], gone: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the windows that are run again, int64 [n], and the block that is protected in each, int64 [n]: the
        one that the window was surest of when it left.

        Args:
            alive: bool [M, L, W], blocks that stay past each skim point
            left: bool [L, W], windows that have left there
            gone: bool [Q], questions whose windows have all left; few, so that nothing is computed for the others
        """
        window = np.flatnonzero(gone[self._question])
        step = np.argmax(left[:, window], axis=0)  # when each has left
        score = self._scores[:, step, window]  # [M, windows]
        # Only blocks that were still there when the window left were judged then.
        before = (step == 0) | alive[:, step - 1, window]
        score = np.where(before & np.isfinite(score), score, -np.inf)
        chosen = most_promising(self._question[window], left[-1, window], step, score.max(axis=0))
        return window[chosen], score.argmax(axis=0)[chosen]

    def _macs(self, skimmed: "_Skimmed", scored: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the MACs of each question, int64 [Q]; `scored` [L] says which predictors run."""
        layers = self.record.layers
        protected = self.record.unjudged_blocks
        macs: npt.NDArray[np.int64] = np.add.reduceat(
            window_macs(self.model, layers, skimmed.live, protected, scored), self._first
        )
        if len(skimmed.again):
            protected = protected[skimmed.again] + 1
            macs[skimmed.gone] += window_macs(self.model, layers, skimmed.live_again, protected, scored)
        return macs

    def _answers(self, stays: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the text that wins each question, int64 [Q]: decoding, over the blocks that stay, bool [B]."""
        record = self.record
        # The spans that may still be given: those whose first and last block stay.
        text, first, last = record.spans.T
        offered = stays[first] & stays[last]
        text = text[offered]
        # A text's score is the sum of the probabilities of its spans, over all windows of the question. What all its
        # spans share changes no order, so each is measured from the question's best one.
        question = record.text[:, 0]
        value = record.span_score[offered] - self._offsets(stays)[self._window[first[offered]]]
        best_value = np.full(record.questions, -np.inf)
        np.maximum.at(best_value, question[text], value)
        share = np.exp(value - best_value[question[text]])
        score = np.bincount(text, weights=share, minlength=len(record.text))
        # The best text of each question comes first; of equal ones, the one that was found first.
        order = np.lexsort((-score, question))
        best: npt.NDArray[np.int64] = order[np.unique(question[order], return_index=True)[1]]
        return best

    def _offsets(self, stays: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return what the logit sums of each window are measured from, float64 [W]; see `scoring.best_answers`."""
        record = self.record
        has_null = np.isfinite(record.cls).all()
        if record.window_scale == "logits" or (record.window_scale == "null" and not has_null):
            return np.zeros(len(record.cls))
        if record.window_scale == "null":
            null: npt.NDArray[np.float64] = record.cls.sum(axis=1)
            return null
        # The softmax's denominators, start and end multiplied: passage tokens that stay, and [CLS].
        mass = np.where(stays[:, None], record.mass, -np.inf)
        total: npt.NDArray[np.float64] = np.logaddexp(np.logaddexp.reduceat(mass, self._start, axis=0), record.cls).sum(
            axis=1
        )
        return total


@dataclass(frozen=True, eq=False)
class _Skimmed:
    """The blocks of W windows of Q questions at some thresholds.

    live: int64 [L + 1, W], blocks before the first skim point and after each
    gone: bool [Q], questions whose windows have all left
    again: int64 [n], the window of each of those that is run once more
    live_again: int64 [L + 1, n], the blocks of those windows then
    stays: bool [B], which blocks are there to the end
    """

    live: npt.NDArray[np.int64]
    gone: npt.NDArray[np.bool_]
    again: npt.NDArray[np.int64]
    live_again: npt.NDArray[np.int64]
    stays: npt.NDArray[np.bool_]

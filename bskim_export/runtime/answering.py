"""From questions to windows, through a runner, to answers: the parts of a pipeline, put together by its constructor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bskim_export.runtime.leaving import most_promising
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import Runner, WindowResult
from bskim_export.runtime.scoring import Answer, best_answers
from bskim_export.runtime.windows import Window, WindowMaker


@dataclass(frozen=True)
class Answerer:
    """Answers questions. `dataclasses.replace` makes variants: another policy, another runner, other options.

    maker: cuts windows
    runner: runs them
    policy: decides which blocks stay; None drops nothing
    options: settings of the run
    """

    maker: WindowMaker
    runner: Runner
    policy: Policy | None
    options: RunOptions

    @property
    def scored_layers(self) -> list[int]:
        """Return the layers whose predictors run."""
        policy = self.policy
        return [] if policy is None else [i for i in self.runner.skim_layers if policy.scores(i)]

    def windows(self, question: str, context: str) -> list[Window]:
        """Return the windows of one question. Raises InputError if it cannot be run; see WindowMaker."""
        options = self.options
        return self.maker(question, context, options.max_seq_len, options.doc_stride, options.max_windows)

    def run(self, windows: Sequence[Sequence[Window]]) -> list[list[WindowResult]]:
        """Run the windows of several questions, many at once.

        A question that must have an answer and whose windows have all left gets its most promising window run once
        more, with that window's best block protected. This is decided per question, so that a question's answer does
        not depend on the others.

        Args:
            windows: per question, its windows

        Returns:
            per question, one result per window.
        """
        flat = [w for own in windows for w in own]
        results = self._run_batches(flat, [None] * len(flat))
        if not self.options.handle_impossible_answer:
            self._run_again(windows, flat, results)
        ends = np.cumsum([len(own) for own in windows]).tolist()
        return [results[end - len(own) : end] for own, end in zip(windows, ends, strict=True)]

    def decode(self, context: str, windows: Sequence[Window], results: Sequence[WindowResult]) -> list[Answer]:
        """Return the best answers of one question from the results of its windows, best first."""
        return best_answers(context, windows, results, self.runner.model.cls_token_id, self.options)

    def _run_again(
        self, windows: Sequence[Sequence[Window]], flat: Sequence[Window], results: list[WindowResult]
    ) -> None:
        """Replace the results of windows that are run once more."""
        if not any(r.left for r in results):
            return
        again = most_promising(
            np.repeat(np.arange(len(windows)), [len(own) for own in windows]),
            np.array([r.left for r in results]),
            np.array([r.left_after if r.left else 0 for r in results]),
            np.array([r.best_score for r in results]),
        ).tolist()
        second = self._run_batches([flat[i] for i in again], [results[i].best_block for i in again])
        for i, result in zip(again, second, strict=True):
            result.earlier = results[i]
            results[i] = result

    def _run_batches(self, windows: Sequence[Window], protected: Sequence[int | None]) -> list[WindowResult]:
        # Windows of like length together: the attention grid is as wide as its longest window.
        order = sorted(range(len(windows)), key=lambda i: len(windows[i].input_ids))
        results: dict[int, WindowResult] = {}
        size = self.options.batch_size
        for start in range(0, len(order), size):
            part = order[start : start + size]
            done = self.runner.run([windows[i] for i in part], self.policy, [protected[i] for i in part])
            results.update(zip(part, done, strict=True))
        return [results[i] for i in range(len(windows))]

"""From windows through a runner to results: the parts of a pipeline, put together by its constructor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bskim_export.errors import BundleError
from bskim_export.runtime.budget import Chosen, Limited, Scout
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.policy import Policy, for_documents
from bskim_export.runtime.runner import Runner, WindowResult
from bskim_export.runtime.windows import Window, WindowMaker, Windows


@dataclass(frozen=True)
class Answerer:
    """What answers questions. `dataclasses.replace` makes variants: another policy, another runner, other options.

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

    def suited(self, document: bool) -> "Answerer":
        """Return the one for a question of several windows, or of one; see `Thresholds`."""
        return replace(self, policy=for_documents(self.policy)) if document else self

    def windows(self, question: str, context: str, alone: bool = True) -> Windows:
        """Return the windows of one question. Raises InputError if it cannot be run; see WindowMaker."""
        options = self.options
        return self.maker(question, context, options.max_seq_len, options.doc_stride, options.max_windows, alone)

    def able(self) -> "Answerer":
        """Return itself. Raises BundleError if `max_blocks` is set and no predictor runs, which could choose them.

        What a bound cuts is run with the thresholds for documents.
        """
        if self.options.max_blocks is not None and not self.suited(document=True).scored_layers:
            raise BundleError(
                "max_blocks needs a predictor that chooses the blocks: the bundle has none, or all of its thresholds "
                "for documents are 0. Open it with a threshold, as in QAPipeline(bundle, threshold=0.01)."
            )
        return self

    def scouting(self) -> "Answerer":
        """Return one that runs no window beyond the first predictor; see budget.py."""
        return replace(self, policy=Scout(self.scored_layers[0]))

    def run(
        self,
        windows: Sequence[Window],
        protected: Sequence[int | None] | None = None,
        chosen: Sequence[Chosen] | None = None,
    ) -> list[WindowResult]:
        """Run windows of any questions, in batches.

        Args:
            protected: for each window a passage block that must stay, or None
            chosen: for each window the only blocks that may go beyond the first predictor; default: all
        """
        # Windows of like length together: the attention grid is as wide as its longest window, and of windows side by
        # side none should be long and last.
        order = sorted(range(len(windows)), key=lambda i: len(windows[i].input_ids))
        results: dict[int, WindowResult] = {}
        size = len(order) if self.runner.alone else self.options.batch_size
        for start in range(0, len(order), size or 1):
            part = order[start : start + size]
            stays = None if protected is None else [protected[i] for i in part]
            batch = [windows[i] for i in part]
            policy = self.policy
            if chosen is not None and policy is not None:
                first = self.scored_layers[0]
                policy = Limited(policy, first, [chosen[i] for i in part])
            done = self.runner.run(batch, policy, stays)
            results.update(zip(part, done, strict=True))
        return [results[i] for i in range(len(windows))]

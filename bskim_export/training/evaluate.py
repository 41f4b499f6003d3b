"""The figures of a model in training: EM and F1 of its dense answers, and the blocks that its predictors would keep."""

from collections.abc import Sequence
from typing import NotRequired

import torch
from torch import Tensor

from bskim_export.data.metrics import Scores
from bskim_export.data.metrics import evaluate as score
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import Evaluated, evaluate
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.dense_runner import DenseRunner, JudgedResult
from bskim_export.training.features import Collator, label_windows
from bskim_export.training.objective import block_figures, count_blocks


class ModelFigures(Scores):
    """The scores of a model in percent, and the figures of each layer's predictor.

    predictors: by layer, precision, recall and kept share of its predictor at 0.5; see `block_figures`
    retrieved: of a split model, by a number of blocks, the share of answerable questions that have one with their
        answer among so many best ones of their document
    """

    predictors: dict[int, dict[str, float]]
    retrieved: NotRequired[dict[int, float]]


class Evaluation:
    """Scores a model on the same questions each time. Without removal: every block is computed, as in training.

    Args:
        questions: with gold answers; all can be run, see `evaluate.usable`
        maker: cuts windows
        options: settings of windows and answers; the null answer is allowed if a question has no answer
        collator: makes the model's inputs
    """

    def __init__(self, questions: Sequence[Question], maker: WindowMaker, options: RunOptions, collator: Collator):
        self._questions = questions
        self._maker = maker
        self._options = options.allowing_null(not all(q.answers for q in self._questions))
        self._collator = collator

    def __call__(self, model: BlockSkimForQuestionAnswering) -> ModelFigures:
        """Return the figures of a model, which is left in evaluation mode."""
        model.eval()
        runner = DenseRunner(model, self._maker.model, self._collator)
        answerer = Answerer(self._maker, runner, None, self._options)
        # All windows are sorted by length together, so that few positions are padding.
        done = list(evaluate(answerer, self._questions, together=len(self._questions)))
        scores = score([d.text for d in done], [d.question.gold for d in done])
        return {**scores, "predictors": _predictor_figures(done, runner)}


def _predictor_figures(done: Sequence[Evaluated], runner: DenseRunner) -> dict[int, dict[str, float]]:
    """Return the figures of each layer's predictor over the blocks of all windows."""
    labels: list[Tensor] = []
    logits: dict[int, list[Tensor]] = {layer: [] for layer in runner.skim_layers}
    for one in done:
        features = label_windows(one.windows, one.question, runner.model.block_size)
        for labelled, result in zip(features, one.results, strict=True):
            assert isinstance(result, JudgedResult)  # a DenseRunner returns no others
            labels.append(torch.from_numpy(labelled.block_labels))
            for layer, own in logits.items():
                own.append(result.skim_logits[layer])
    counts = count_blocks({layer: torch.cat(own) for layer, own in logits.items()}, torch.cat(labels))
    return {layer: block_figures(*row) for layer, row in zip(logits, counts.tolist(), strict=True)}

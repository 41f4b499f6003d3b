"""What a model in training is worth: EM and F1 of its dense answers, and what its predictors would keep."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch

from bskim_export.data.metrics import MAX_ANSWER_LEN, evaluate
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.orchestrator import KEPT, WindowResult
from bskim_export.runtime.scoring import best_answers
from bskim_export.runtime.windows import Window, WindowMaker
from bskim_export.training.features import Collator, make_features
from bskim_export.training.objective import block_figures, count_blocks


class Evaluation:
    """Scores a model on the same questions each time. Without removal: every block is computed, as in training.

    Args:
        questions: with gold answers
        maker: cuts windows
        max_seq_len, doc_stride: of a window
        batch_size: windows that run together
    """

    def __init__(
        self,
        questions: Sequence[Question],
        maker: WindowMaker,
        max_seq_len: int,
        doc_stride: int,
        collator: Collator,
        batch_size: int = 16,
    ):
        self._maker, self._collator, self._batch_size = maker, collator, batch_size
        self._questions: list[Question] = []
        self._windows: list[list[Window]] = []
        for question in questions:
            with suppress(InputError):  # as in training, a question that fills the window is left out
                self._windows.append(maker(question.question, question.context, max_seq_len, doc_stride))
                self._questions.append(question)
        self._features = make_features(self._questions, maker, max_seq_len, doc_stride)

    @torch.no_grad()
    def __call__(self, model: BlockSkimForQuestionAnswering) -> dict:
        """Return "em" and "f1" in percent (see metrics.evaluate), and "predictors": for each layer, precision, recall
        and kept share of its predictor at 0.5."""
        model.eval()
        device = next(model.parameters()).device
        order = sorted(range(len(self._features)), key=lambda i: len(self._features[i]))
        results: list[WindowResult] = [None] * len(order)  # type: ignore[list-item]
        counts = 0
        for start in range(0, len(order), self._batch_size):
            part = order[start : start + self._batch_size]
            batch = {k: v.to(device) for k, v in self._collator([self._features[i] for i in part]).items()}
            labels = batch.pop("block_labels")
            del batch["start_positions"], batch["end_positions"]
            out = model(**batch)
            counts = counts + count_blocks(out.skim_logits, labels)
            starts, ends = out.start_logits.float().cpu().numpy(), out.end_logits.float().cpu().numpy()
            for row, i in enumerate(part):
                results[i] = self._result(starts[row], ends[row], len(self._features[i].block_labels))
        rows = zip(model.skim.layers, torch.as_tensor(counts).reshape(-1, 4).tolist(), strict=True)
        return self._score(results) | {"predictors": {layer: block_figures(*row) for layer, row in rows}}

    def _result(self, start: np.ndarray, end: np.ndarray, blocks: int) -> WindowResult:
        n = blocks * self._maker.model.block_size
        return WindowResult(start[:n], end[:n], np.full(blocks, KEPT, np.int16))

    def _score(self, results: Sequence[WindowResult]) -> dict[str, float]:
        predictions, done = [], 0
        for question, windows in zip(self._questions, self._windows, strict=True):
            own = results[done : done + len(windows)]
            done += len(windows)
            answers = best_answers(
                question.context,
                windows,
                own,
                self._maker.model.cls_token_id,
                max_answer_len=MAX_ANSWER_LEN,
                handle_impossible_answer=not all(q.answers for q in self._questions),
            )
            predictions.append(answers[0]["answer"])
        return evaluate(predictions, [q.gold for q in self._questions])

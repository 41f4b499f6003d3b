"""Whether a single graph and the stages that it is joined of give the same blocks and answers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from bskim_export.bundle.manifest import Model
from bskim_export.data.question import Question
from bskim_export.errors import ParityError
from bskim_export.evaluate.loop import evaluate
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import Runner, WindowResult
from bskim_export.runtime.windows import Window


class StandaloneRunner:
    """A single graph that nobody steers, as a `Runner`: windows run alone, at the thresholds that it has in it.

    Args:
        content: the graph, its weights in it
        model: shapes
        skim_layers: the layers that have a predictor
    """

    alone = True

    def __init__(self, content: bytes, model: Model, skim_layers: Sequence[int]):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._inputs = [i.name for i in self._session.get_inputs()]
        self.model = model
        self.skim_layers = skim_layers

    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> list[WindowResult]:
        """Run windows, one by one; see `Runner.run`. What the policy says is ignored."""
        return [self._run(window) for window in windows]

    def _run(self, window: Window) -> WindowResult:
        n = window.length
        tokens = {
            "input_ids": window.input_ids[None, :n],
            "attention_mask": np.ones((1, n), np.int64),
            "token_type_ids": window.token_type_ids[None, :n],
        }
        start, end, dropped, probability = self._session.run(None, {name: tokens[name] for name in self._inputs})
        dropped_after = dropped[0].astype(np.int16)
        gone = np.repeat(dropped_after != dropped_after.max(), self.model.block_size)
        return WindowResult(
            _with_infinities(start[0], gone),
            _with_infinities(end[0], gone),
            dropped_after,
            probabilities=probability[0],
        )


def count_differences(ours: Answerer, runner: Runner, questions: Sequence[Question]) -> int:
    """Return on how many questions a runner keeps other blocks, or gives another answer, than an answerer's own."""
    other = replace(ours, runner=runner)
    different = 0
    for question in questions:
        (expected,) = evaluate(ours, [question])
        (found,) = evaluate(other, [question])
        pairs = zip(expected.results, found.results, strict=True)
        blocks = all(np.array_equal(mine.dropped_after, theirs.dropped_after) for mine, theirs in pairs)
        different += not blocks or expected.text != found.text
    return different


def require_same(ours: Answerer, runner: Runner, questions: Sequence[Question]) -> None:
    """Raise ParityError if `count_differences` finds one."""
    if different := count_differences(ours, runner, questions):
        raise ParityError(
            f"The single graph and the stages that it is joined of differ on {different} of {len(questions)} "
            "questions. Nothing was written. Please report this with the model's config.json."
        )


def _with_infinities(logits: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return logits of whole blocks, -inf where a block was dropped."""
    whole = np.full(len(gone), -np.inf, np.float32)
    whole[: len(logits)] = logits
    whole[gone] = -np.inf
    return whole

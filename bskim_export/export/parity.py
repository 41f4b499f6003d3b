"""Parity of a bundle with PyTorch, on real questions, counted in kept blocks and answers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from bskim_export.data.metrics import f1
from bskim_export.data.question import Question
from bskim_export.errors import InputError, ParityError
from bskim_export.evaluate.loop import Evaluated, evaluate
from bskim_export.export.torch_reference import ReferenceResult, TorchReference, torch_inputs
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.runner import Runner, WindowResult
from bskim_export.runtime.windows import Window

MAX_LOGIT_DIFFERENCE = 1e-3
"""Above this, export refuses the bundle. fp32 gives about 1e-5."""


@dataclass(frozen=True)
class Limits:
    """How far a bundle may differ from PyTorch in fp32, or it is not written.

    logits: difference of dense logits, in their own unit; None where the precision is too coarse to judge by it
    blocks, answers: share that may differ
    f1_drop: points of F1 that may be lost

    Raises:
        InputError: one of them is negative or no number. Nothing is ever above NaN, so it would allow everything.
    """

    logits: float | None = MAX_LOGIT_DIFFERENCE
    blocks: float = 0.0
    answers: float = 0.0
    f1_drop: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"The limit for {name} must be a number from 0 up, got {value}.")


EXACT = Limits()
COARSE = Limits(logits=None, blocks=0.02, answers=0.015, f1_drop=0.3)
"""For precisions below fp32."""
UNJUDGED = Limits(logits=None, blocks=1.0, answers=1.0, f1_drop=100.0)
"""For random weights, which have no answers to lose: the graphs must run and give numbers, no more."""


def limits_for(
    precision: str,
    max_block_change: float | None = None,
    max_answer_change: float | None = None,
    max_f1_drop: float | None = None,
) -> Limits:
    """Return the limits for a precision, with some of them changed.

    Raises:
        InputError: fp32 is to be changed: there PyTorch's blocks and answers are met exactly.

    Example:
        >>> limits_for("fp16", max_f1_drop=0.1)
        Limits(logits=None, blocks=0.02, answers=0.015, f1_drop=0.1)
    """
    asked = {"blocks": max_block_change, "answers": max_answer_change, "f1_drop": max_f1_drop}
    changes = {name: value for name, value in asked.items() if value is not None}
    if precision == "fp32" and changes:
        raise InputError(
            "An fp32 bundle gives PyTorch's blocks and answers exactly; the limits are for less precise ones."
        )
    return EXACT if precision == "fp32" else replace(COARSE, **changes)


@dataclass
class Parity:
    """How near a bundle is to PyTorch on some questions.

    questions, windows: all that ran
    max_logit_difference: threshold 0 against Hugging Face's own eager forward, over real tokens; NaN if any logit or
        keep probability of either side is, at threshold 0 or at the bundle's thresholds
    ties: questions whose blocks and answers are not counted, because the logit of a keep probability lay within TIE of
        its threshold's
    blocks: of the questions that are counted
    different_blocks: of these, blocks that the two sides did not drop after the same layer
    different_answers: of the questions that are counted
    f1, f1_reference: percent, of the questions that are counted: the bundle's, and the reference's
    """

    questions: int = 0
    windows: int = 0
    max_logit_difference: float = 0.0
    blocks: int = 0
    different_blocks: int = 0
    different_answers: int = 0
    ties: int = 0
    f1: float = 0.0
    f1_reference: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the counts by name."""
        return asdict(self)


def measure_parity(
    pipeline: QAPipeline,
    model: BlockSkimForQuestionAnswering,
    questions: Sequence[Question],
    progress: Callable[[], None] = lambda: None,
) -> Parity:
    """Measure the parity of a bundle with its model: logits at threshold 0, kept blocks and answers at its thresholds.

    Args:
        pipeline: of the bundle
        model: in fp32, in evaluation mode
        progress: called after each question

    Raises:
        InputError: a question cannot be run.
    """
    parity = Parity()
    ours = pipeline.answerer()
    theirs = replace(ours, runner=TorchReference(model, pipeline.bundle.model))
    f1s: list[tuple[float, float]] = []
    for question in questions:
        # One question after the other, so that a run of many shows its progress.
        (mine,) = evaluate(ours, [question])
        (reference,) = evaluate(theirs, [question])
        parity.questions += 1
        parity.windows += len(mine.windows)
        # At threshold 0: the logits of every window.
        for window in mine.windows:
            _widen(parity, _dense_difference(ours.runner, model, window))
        # With thresholds, both sides drop a block whose keep probability is NaN: they would agree.
        if not all(_has_numbers(r) for r in (*mine.results, *reference.results)):
            _widen(parity, math.nan)
        # At the bundle's thresholds: blocks and answers, unless rounding alone could have decided about them.
        if any(_is_tie(r) for r in reference.results):
            parity.ties += 1
        else:
            _count_differences(parity, mine, reference)
            f1s.append((100 * f1(mine.text, question.gold), 100 * f1(reference.text, question.gold)))
        progress()
    if f1s:
        parity.f1, parity.f1_reference = (float(mean) for mean in np.mean(f1s, axis=0))
    return parity


def require_parity(parity: Parity, limits: Limits = EXACT) -> None:
    """Do nothing if the bundle is as near to PyTorch as the limits ask.

    Raises:
        ParityError: it is not; the message says in what. Logits that are not numbers are never near enough, and
            neither is a comparison of nothing, unless blocks and answers are not judged at all.
    """
    _require_comparison(parity, limits)
    faults = find_faults(parity, limits)
    if faults:
        advice = (
            "Please report this with the model's config.json."
            if limits == EXACT
            else "Choose a finer --precision, or allow more: --max-answer-change, --max-block-change, --max-f1-drop."
        )
        raise ParityError(
            f"The exported graphs do not match PyTorch on {parity.questions} questions: {'; '.join(faults)}. "
            f"No bundle was written. {advice}"
        )


def find_faults(parity: Parity, limits: Limits = EXACT) -> list[str]:
    """Return in what a bundle is further from PyTorch than the limits allow."""
    faults = []
    counted = parity.questions - parity.ties
    # Each fault is "not near enough", rather than "too far": NaN is neither.
    if not np.isfinite(parity.max_logit_difference):
        faults.append("logits are not numbers")
    elif limits.logits is not None and not parity.max_logit_difference <= limits.logits:
        faults.append(f"dense logits differ by up to {parity.max_logit_difference:.2g}")
    if not parity.different_blocks <= limits.blocks * parity.blocks:
        faults.append(f"{parity.different_blocks} of {parity.blocks} blocks were kept by one side only")
    if not parity.different_answers <= limits.answers * counted:
        faults.append(f"{parity.different_answers} of {counted} answers differ")
    if limits != EXACT and not parity.f1 >= parity.f1_reference - limits.f1_drop:
        faults.append(f"F1 is {parity.f1:.2f} instead of {parity.f1_reference:.2f}")
    return faults


def require_questions(questions: Sequence[Question]) -> None:
    """Raise ParityError if there are no questions to measure parity on."""
    if not questions:
        raise ParityError("There is no question to measure parity on, so nothing would be proven. Give some questions.")


def _require_comparison(parity: Parity, limits: Limits) -> None:
    """Raise ParityError if nothing was compared that is judged."""
    if not parity.questions:
        raise ParityError("Parity was measured on no question, so nothing is proven. No bundle was written.")
    judged = limits.blocks < 1 or limits.answers < 1
    if judged and (parity.ties >= parity.questions or not parity.blocks):
        raise ParityError(
            f"Nothing could be compared: in all {parity.questions} questions a keep probability lies at its threshold, "
            "where "
            "rounding alone decides. No bundle was written. Predictors that always give the same probability were not "
            "trained; else choose other thresholds, or other questions."
        )


def _widen(parity: Parity, difference: float) -> None:
    """Note a difference of logits, if it is the largest. NaN stays: `max` would lose it."""
    parity.max_logit_difference = float(np.maximum(parity.max_logit_difference, difference))


def _has_numbers(result: WindowResult) -> bool:
    """Return whether all that a run computed are numbers: -inf is the logit of what was dropped, and no other is."""
    logits = np.concatenate([result.start_logits, result.end_logits])
    scored = not isinstance(result, ReferenceResult) or (
        result.scored and (result.earlier is None or _has_numbers(result.earlier))
    )
    return scored and not bool((np.isnan(logits) | np.isposinf(logits)).any())


def _is_tie(result: object) -> bool:
    """Return whether a decision of the window's run, or of its earlier run, was too close to call."""
    return isinstance(result, ReferenceResult) and (result.tie or _is_tie(result.earlier))


def _count_differences(parity: Parity, mine: Evaluated, reference: Evaluated) -> None:
    """Add the differences of one question."""
    for a, b in zip(mine.results, reference.results, strict=True):
        parity.blocks += len(b.dropped_after)
        parity.different_blocks += int((a.dropped_after != b.dropped_after).sum())
    parity.different_answers += mine.text != reference.text


@torch.no_grad()
def _dense_difference(runner: Runner, model: BlockSkimForQuestionAnswering, window: Window) -> float:
    """Return how far the dense logits of real tokens are from those of Hugging Face's own forward."""
    input_ids, attention_mask, token_type_ids, _ = (t[None] for t in torch_inputs(window))
    theirs = model.backbone(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    (ours,) = runner.run([window], None)
    n = window.length
    mine = np.stack([ours.start_logits[:n], ours.end_logits[:n]])
    reference = np.stack([theirs.start_logits[0, :n].numpy(), theirs.end_logits[0, :n].numpy()])
    if not (np.isfinite(mine).all() and np.isfinite(reference).all()):
        return math.nan  # also where both are infinite: they prove nothing
    return float(np.abs(mine - reference).max())

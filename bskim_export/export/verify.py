"""Proof that a bundle does what PyTorch does, on real questions, counted in kept blocks and answers."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from bskim_export.blocks import count_blocks
from bskim_export.data.metrics import f1
from bskim_export.data.question import Question
from bskim_export.errors import InputError, ParityError
from bskim_export.model.qa import BlockSkimForQuestionAnswering, ReferenceOutput
from bskim_export.runtime.orchestrator import KEPT, WindowResult
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.windows import Window

MAX_LOGIT_DIFFERENCE = 1e-3
"""Above this, export refuses the bundle. fp32 gives about 1e-5."""
TIE = 1e-4
"""A keep probability this close to its threshold may fall either way by rounding alone. The distance is one of logits,
because that is what rounding moves: the same at a threshold of 0.5, where it is 2.5e-5, and at one of 0.001."""


@dataclass(frozen=True)
class Limits:
    """What a bundle may differ from PyTorch in fp32 at most, or is not written.

    logits: the dense logits, in their own unit; None where the precision is too coarse for that to say anything
    blocks, answers: share of those compared
    f1_drop: points of F1 on the questions compared
    """

    logits: float | None = MAX_LOGIT_DIFFERENCE
    blocks: float = 0.0
    answers: float = 0.0
    f1_drop: float = 0.0


EXACT = Limits()
COARSE = Limits(logits=None, blocks=0.02, answers=0.015, f1_drop=0.3)
"""For precisions below fp32."""


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
    given = {"blocks": max_block_change, "answers": max_answer_change, "f1_drop": max_f1_drop}
    given = {name: value for name, value in given.items() if value is not None}
    if precision == "fp32" and given:
        raise InputError("In fp32 a bundle gives PyTorch's blocks and answers exactly; the limits are for less.")
    return EXACT if precision == "fp32" else replace(COARSE, **given)


@dataclass
class Parity:
    """What the comparison found; the counts are over all compared.

    max_logit_difference: threshold 0 against Hugging Face's own eager forward, over real tokens
    blocks: blocks compared; one is different if the two sides did not drop it after the same layer
    ties: questions left out because the logit of a keep probability lay within TIE of its threshold's
    f1, f1_reference: percent, of the questions that are not left out; the reference's
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

    def as_dict(self) -> dict:
        return asdict(self)


class TorchReference:
    """Stands in for the Orchestrator: each window alone, through PyTorch, in the paper's order, with true removal."""

    def __init__(self, model: BlockSkimForQuestionAnswering):
        self.model = model
        self.block_size = model.skim.block_size
        self.ties: set[int] = set()

    def run(
        self, windows: Sequence[Window], policy: Thresholds, held: Sequence[int | None] | None = None
    ) -> list[WindowResult]:
        return [self._run(w, policy, h) for w, h in zip(windows, held or [None] * len(windows), strict=True)]

    def _run(self, window: Window, policy: Thresholds, held: int | None) -> WindowResult:
        blocks = count_blocks(window.length, self.block_size)
        guarded = torch.arange(blocks) < window.question_blocks
        if held is not None:
            guarded[held] = True
        thresholds = {layer: value for layer, value in policy.by_layer.items() if value > 0}
        out = self.model.reference(*torch_inputs(window), guarded, thresholds)
        dropped = out.dropped_after.numpy()
        dropped = np.where(dropped == self.model.config.num_hidden_layers, KEPT, dropped).astype(np.int16)
        result = WindowResult(out.start_logits.numpy(), out.end_logits.numpy(), dropped)
        if near_tie(out, guarded, thresholds):
            self.ties.add(id(window))
        passage = ~guarded.numpy()
        if held is None and window.may_leave and passage.any() and (dropped[passage] != KEPT).all():
            last = int(dropped[passage].max())
            judged = {b: p for b, p in out.scores[last].items() if passage[b]}
            result.left, result.best_block = True, max(judged, key=judged.get)
            result.best_score = judged[result.best_block]
            result.dropped_after = np.minimum(dropped, last)
            result.start_logits[:] = result.end_logits[:] = -np.inf
        return result


def torch_inputs(window: Window) -> tuple[torch.Tensor, ...]:
    """Return a window's input_ids, attention_mask, token_type_ids and question_mask, int64 [S]."""
    positions = torch.arange(len(window.input_ids))
    return (
        torch.from_numpy(window.input_ids),
        (positions < window.length).long(),
        torch.from_numpy(window.token_type_ids),
        (positions < window.question_length).long(),
    )


def near_tie(out: ReferenceOutput, guarded: torch.Tensor, thresholds: dict[int, float]) -> bool:
    """Return whether some decision of the reference was too close to call."""
    return any(
        abs(_logit(p) - _logit(thresholds[layer])) <= TIE and not guarded[block]
        for layer, judged in out.scores.items()
        for block, p in judged.items()
    )


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-30), 1 - 1e-7)  # float32 knows no number between that and 1
    return math.log(inside / (1 - inside))


def compare(
    pipeline: QAPipeline,
    model: BlockSkimForQuestionAnswering,
    questions: Sequence[Question],
    progress: Callable[[], None] = lambda: None,
) -> Parity:
    """Compare a bundle with its model: logits at threshold 0, kept blocks and answers at the pipeline's thresholds.

    Args:
        progress: called after each question
    """
    parity, scored = Parity(), ([], [])
    reference = copy.copy(pipeline)
    reference.orchestrator = TorchReference(model)  # the same pipeline, over PyTorch
    for question in questions:
        windows = pipeline.windows(question.question, question.context, pipeline.manifest.model.max_seq_len, 128)
        parity.questions += 1
        parity.windows += len(windows)
        for window in windows:
            parity.max_logit_difference = max(parity.max_logit_difference, _dense_difference(pipeline, model, window))
        ours, theirs = pipeline.skim([windows])[0], reference.skim([windows])[0]
        if reference.orchestrator.ties & {id(w) for w in windows}:
            parity.ties += 1
        else:
            for a, b in zip(ours, theirs, strict=True):
                parity.blocks += len(b.dropped_after)
                parity.different_blocks += int((a.dropped_after != b.dropped_after).sum())
            answers = [pipeline.decode(question.context, windows, r, max_answer_len=30)[0] for r in (ours, theirs)]
            parity.different_answers += answers[0]["answer"] != answers[1]["answer"]
            for scores, answer in zip(scored, answers, strict=True):
                scores.append(100 * f1(answer["answer"], question.gold))
        reference.orchestrator.ties.clear()
        progress()
    parity.f1, parity.f1_reference = (sum(scores) / max(1, len(scores)) for scores in scored)
    return parity


def check(parity: Parity, limits: Limits = EXACT) -> None:
    """Raise ParityError, saying what differs, unless the bundle does what PyTorch does, within the limits."""
    faults, compared = [], parity.questions - parity.ties
    if limits.logits is not None and not parity.max_logit_difference <= limits.logits:
        faults.append(f"dense logits differ by up to {parity.max_logit_difference:.2g}")
    elif np.isnan(parity.max_logit_difference):
        faults.append("logits are not numbers")
    if parity.different_blocks > limits.blocks * parity.blocks:
        faults.append(f"{parity.different_blocks} of {parity.blocks} blocks were kept by one side only")
    if parity.different_answers > limits.answers * compared:
        faults.append(f"{parity.different_answers} of {compared} answers differ")
    if limits is not EXACT and parity.f1 < parity.f1_reference - limits.f1_drop:
        faults.append(f"F1 is {parity.f1:.2f} instead of {parity.f1_reference:.2f}")
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


@torch.no_grad()
def _dense_difference(pipeline: QAPipeline, model: BlockSkimForQuestionAnswering, window: Window) -> float:
    input_ids, attention_mask, token_type_ids, _ = (t[None] for t in torch_inputs(window))
    theirs = model.backbone(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    ours = pipeline.orchestrator.run([window], None)[0]
    n = window.length
    return max(
        float(np.abs(ours.start_logits[:n] - theirs.start_logits[0, :n].numpy()).max()),
        float(np.abs(ours.end_logits[:n] - theirs.end_logits[0, :n].numpy()).max()),
    )

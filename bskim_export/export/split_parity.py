"""Parity of a split model's bundle with PyTorch: what is prepared, which blocks are chosen, what is read from them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bskim_export.bundle.manifest import Model
from bskim_export.data.metrics import f1
from bskim_export.data.question import Question as DataQuestion
from bskim_export.errors import InputError
from bskim_export.export.parity import Parity
from bskim_export.export.torch_reference import ReferenceResult, TorchReference
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.arguments import Example
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.prepared.asking import PreparedAsked, SplitAnswerer, ask_items, whole
from bskim_export.runtime.prepared.cut import cut_sections, section_blocks
from bskim_export.runtime.prepared.lower import Floats
from bskim_export.runtime.prepared.passages import cut_passage, question_ids, section_ids
from bskim_export.training.split_runner import TorchLower


def torch_answerer(ours: SplitAnswerer, model: BlockSkimForQuestionAnswering, description: Model) -> SplitAnswerer:
    """Return the same with PyTorch in the place of all engines."""
    upper = replace(ours.upper, runner=TorchReference(model, description))
    return replace(ours, lower=TorchLower(model, description), upper=upper)


def measure_split_parity(
    pipeline: QAPipeline,
    model: BlockSkimForQuestionAnswering,
    questions: Sequence[DataQuestion],
    progress: Callable[[], None] = lambda: None,
) -> Parity:
    """Measure the parity of a split model's bundle: chosen and kept blocks, answers, and the logits of all blocks.

    Raises:
        InputError: a question cannot be run.
    """
    parity = Parity()
    ours = pipeline.split_answerer()
    theirs = torch_answerer(ours, model, pipeline.bundle.model)
    f1s: list[tuple[float, float]] = []
    for question in questions:
        mine, reference = (_ask(one, question) for one in (ours, theirs))
        parity.questions += 1
        parity.windows += mine.count
        # All blocks, from the same states: theirs, rounded to fp16, may fall on another number.
        dense = [_ask(whole(one), question) for one in (ours, replace(ours, upper=theirs.upper))]
        for reading, a, b in zip(dense[0].readings, dense[0].results, dense[1].results, strict=True):
            there = reading.window.is_token
            _widen(parity, a.start_logits[there], b.start_logits[there])
            _widen(parity, a.end_logits[there], b.end_logits[there])
        for a, b in zip(*(_lower(one, question) for one in (ours, theirs)), strict=True):
            _widen(parity, a, b)
        if any(isinstance(result, ReferenceResult) and result.tie for result in reference.results):
            parity.ties += 1
        else:
            _count(parity, mine, reference)
            texts = [one.answers()[0]["answer"] for one in (mine, reference)]
            parity.different_answers += texts[0] != texts[1]
            f1s.append((100 * f1(texts[0], question.gold), 100 * f1(texts[1], question.gold)))
        progress()
    if f1s:
        parity.f1, parity.f1_reference = (float(mean) for mean in np.mean(f1s, axis=0))
    return parity


def _widen(parity: Parity, a: Floats, b: Floats) -> None:
    """Note a difference of logits or states, if it is the largest. NaN stays."""
    parity.max_logit_difference = float(np.maximum(parity.max_logit_difference, np.abs(a - b).max()))


def _lower(answerer: SplitAnswerer, question: DataQuestion) -> list[Floats]:
    """Return states and features of a question's first section, and those of the question."""
    model = answerer.upper.runner.model
    tokens = cut_passage(answerer.tokenizer, question.context, model)
    section = cut_sections(tokens.blocks, section_blocks(model.max_seq_len, model.block_size))[0]
    ((states, features),) = answerer.lower.prepare([section_ids(tokens, section, model)])
    (asked,) = answerer.lower.ask([question_ids(answerer.tokenizer, question.question, model)])
    real = np.arange(states.shape[0] * states.shape[1]) < len(tokens.offsets)
    there = np.arange(asked.states.shape[0] * asked.states.shape[1]) < len(asked.ids)
    width = states.shape[-1]
    return [states.reshape(-1, width)[real], features, asked.states.reshape(-1, width)[there], asked.queries]


def _ask(answerer: SplitAnswerer, question: DataQuestion) -> PreparedAsked:
    (done,) = ask_items(answerer, [Example(question.question, question.context)], None)
    if isinstance(done, InputError):
        raise InputError(f"Question '{question.id}': {done}")
    return done


def _count(parity: Parity, mine: PreparedAsked, reference: PreparedAsked) -> None:
    """Add the blocks that one side alone chose, or that the two sides did not drop after the same layer."""
    fates = []
    for one in (mine, reference):
        fate: dict[int, int] = {}
        for reading, result in zip(one.readings, one.results, strict=True):
            own = result.dropped_after[reading.window.question_blocks :].tolist()
            fate.update(zip(reading.blocks.tolist(), own, strict=True))
        fates.append(fate)
    parity.blocks += len(mine.collection)
    parity.different_blocks += sum(fates[0].get(b) != fates[1].get(b) for b in {*fates[0], *fates[1]})

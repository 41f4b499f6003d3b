"""DeFormer, a baseline of the paper: a split model that reads every block; and that with Block-Skim above the split.

Cao et al. 2020. What is read ahead is not paid for by a question, if its passage was read before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.manifest import Model
from bskim_export.calibrate.store import fingerprint
from bskim_export.data.metrics import f1
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.evaluate.macs import position_macs, window_macs
from bskim_export.reproduce.workshop import Recipe, Workshop
from bskim_export.runtime.arguments import Example
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import Policy, Thresholds
from bskim_export.runtime.prepared.asking import PreparedAsked, SplitAnswerer, ask_items, whole
from bskim_export.runtime.prepared.cut import cut_sections, section_blocks
from bskim_export.training.settings import SPLIT

NAME = "DeFormer"
SKIMMING = "DeFormer, Block-Skim above"
THRESHOLDS = (0.0, 0.01, 0.1, 0.5)
"""Of all layers above the split alike."""


def recipe(teacher: Recipe, layer: int) -> Recipe:
    """Return how a model is split at a layer: it learns from the one that is not."""
    return Recipe(changes={**SPLIT, "split": layer}, teacher=teacher)


def measure(workshop: Workshop, teacher: Recipe, layer: int, part: slice) -> list[dict[str, Any]]:
    """Return the rows of a split model, each with its F1 and the MACs of a question, with what was read ahead and
    without.

    Args:
        teacher: the model that is split
        layer: the first that reads question and passage together
        part: which of the evaluated questions count

    Raises:
        MissingDataError: the data set is not there.
    """
    own = recipe(teacher, layer)
    pipeline = QAPipeline(workshop.bundle(own))
    rows = []
    for threshold in THRESHOLDS:
        way = every_block(pipeline.split_answerer(), threshold)
        name = f"every-block-{fingerprint([threshold, workshop.scored_on(own)])}"
        found = workshop.in_shards(own, name, "Asking", workshop.usable(own), partial(_answer, way))
        scores, question, passage = (found[key][part] for key in ("f1", "question", "passage"))
        at = f", threshold {threshold:g}" if threshold else ""
        for setting, macs in (("passage read ahead", question), ("nothing read ahead", question + passage)):
            rows.append({
                "name": SKIMMING if threshold else NAME, "setting": f"split at {layer}, {setting}{at}",
                "f1": float(scores.mean()), "gmacs": float(macs.mean() / 1e9),
            })  # fmt: skip
    return rows


def every_block(answerer: SplitAnswerer, threshold: float) -> SplitAnswerer:
    """Return one that reads all of its passages, and drops blocks below a threshold above the split."""
    layers = answerer.upper.runner.skim_layers
    policy: Policy | None = Thresholds(dict.fromkeys(layers, threshold)) if threshold else None
    every = whole(answerer)
    return replace(every, upper=replace(every.upper, policy=policy))


def lower_macs(model: Model, layers: int, positions: int) -> int:
    """Return the multiply-accumulates of the first layers over a sequence, without the head."""
    live = np.full(layers + 1, positions)
    return int(position_macs(replace(model, num_layers=layers), live)) - 2 * positions * model.hidden_size


def _answer(answerer: SplitAnswerer, questions: Sequence[Question]) -> Mapping[str, npt.NDArray[Any]]:
    """Return the F1 of each question, and the MACs of its own and of its passage's lower layers."""
    model, split = answerer.upper.runner.model, answerer.split
    scored = answerer.upper.scored_layers
    width = section_blocks(model.max_seq_len, model.block_size)
    rows = []
    done = ask_items(answerer, [Example(q.question, q.context) for q in questions], None)
    for question, one in zip(questions, done, strict=True):
        if not isinstance(one, PreparedAsked):
            raise InputError(f"Question '{question.id}': {one}")
        above = sum(
            window_macs(model, result, reading.window.unjudged_blocks, scored, split.layer)
            for reading, result in zip(one.readings, one.results, strict=True)
        )
        below = lower_macs(model, split.layer, one.readings[0].window.question_blocks * model.block_size)
        sections = cut_sections(len(one.collection), width)
        passage = sum(lower_macs(model, split.layer, (s.stop - s.first) * model.block_size) for s in sections)
        rows.append((100 * f1(one.answers()[0]["answer"], question.gold), above + below, passage))
    found = np.array(rows, np.float64).reshape(-1, 3)
    return {"f1": found[:, 0], "question": found[:, 1], "passage": found[:, 2]}

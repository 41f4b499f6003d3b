"""What a DeFormer's question costs, with its passage read ahead and without."""

import numpy as np
import pytest

from bskim_export.bundle.manifest import Model
from bskim_export.data.metrics import f1
from bskim_export.data.question import sample
from bskim_export.evaluate.macs import dense_macs
from bskim_export.reproduce.deformer import _answer, every_block, lower_macs
from bskim_export.runtime.prepared.asking import whole

BASE = Model("bert", "", 12, 768, 3072, 12, 64, 768, 2, 32, 512, 0, 101, 0)


def test_all_layers_and_the_head_make_the_dense_model():
    assert lower_macs(BASE, 12, 512) + 2 * 512 * 768 == dense_macs(BASE, 512)
    assert 2 * lower_macs(BASE, 3, 100) == lower_macs(BASE, 6, 100)


def test_every_block_is_read_and_paid_for(split_qa, squad):
    questions = sample(squad, 12, seed=9)
    answerer = every_block(split_qa.split_answerer(), 0.0)
    found = _answer(answerer, questions)
    model, split = split_qa.bundle.model, split_qa.bundle.manifest.split
    reads = whole(split_qa.split_answerer())
    for i, question in enumerate(questions):
        prepared = split_qa.prepare(question.context)
        (one,) = reads.ask([(question.question, split_qa._collection(prepared))])
        assert found["f1"][i] == pytest.approx(100 * f1(one.answers()[0]["answer"], question.gold))
        # By hand: the question's blocks below the split; all of both above it, and the head.
        asked = one.readings[0].window.question_blocks
        blocks = asked + len(prepared)
        assert [len(reading.blocks) for reading in one.readings] == [len(prepared)]
        above = dense_macs(model, 32 * blocks) - lower_macs(model, split.layer, 32 * blocks)
        assert found["question"][i] == above + lower_macs(model, split.layer, 32 * asked)
        assert found["passage"][i] == lower_macs(model, split.layer, 32 * len(prepared))


def test_what_predictors_drop_above_the_split_is_saved(split_qa, squad):
    questions = sample(squad, 12, seed=9)
    dense, skimmed = (_answer(every_block(split_qa.split_answerer(), threshold), questions) for threshold in (0.0, 1.0))
    assert np.array_equal(dense["passage"], skimmed["passage"])
    assert skimmed["question"].sum() < dense["question"].sum()

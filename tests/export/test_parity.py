import copy
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch

from bskim_export import QAPipeline
from bskim_export.data.question import sample
from bskim_export.errors import InputError, ParityError
from bskim_export.export.parity import (
    COARSE,
    EXACT,
    UNJUDGED,
    Limits,
    Parity,
    limits_for,
    measure_parity,
    require_parity,
    require_questions,
)

NEAR = {"questions": 200, "blocks": 1000, "f1": 79.8, "f1_reference": 80.0, "max_logit_difference": 0.2}
"""A bundle that is as near as COARSE asks."""


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"different_answers": 4}, "4 of 200 answers differ"),
        ({"different_blocks": 21}, "21 of 1000 blocks were kept by one side only"),
        ({"f1": 79.6}, r"F1 is 79\.60 instead of 80\.00"),
        ({"ties": 100, "different_answers": 2}, "2 of 100 answers differ"),
    ],
)
def test_answers_blocks_and_f1_have_limits_of_their_own(found, message):
    require_parity(Parity(**NEAR, different_answers=3, different_blocks=20), limits_for("fp16"))
    with pytest.raises(ParityError, match=message):
        require_parity(Parity(**(NEAR | found)), limits_for("fp16"))


@pytest.mark.parametrize("found", [{"max_logit_difference": 0.002}, {"different_blocks": 1}, {"different_answers": 1}])
def test_fp32_allows_no_difference_in_blocks_or_answers(found):
    same = {"questions": 200, "blocks": 1000, "max_logit_difference": 1e-5}
    require_parity(Parity(**same))
    with pytest.raises(ParityError, match="Please report this"):
        require_parity(Parity(**(same | found)))


@pytest.mark.parametrize("limits", [EXACT, COARSE, UNJUDGED, limits_for("int8", 1.0, 1.0, 100.0), Limits(logits=1e9)])
def test_logits_that_are_not_numbers_never_pass(limits):
    with pytest.raises(ParityError, match="logits are not numbers"):
        require_parity(Parity(questions=200, blocks=1000, max_logit_difference=float("nan")), limits)


def test_one_logit_that_is_no_number_shows_after_all_questions(tiny, tiny_bundle, squad, monkeypatch):
    qa = QAPipeline(tiny_bundle())
    run = qa.runner.run
    dense_runs = count()

    def run_with_nan(windows, policy, protected=None):
        results = run(windows, policy, protected)
        if policy is None and next(dense_runs) == 0:
            results[0].end_logits[3] = np.nan
        return results

    monkeypatch.setattr(qa.runner, "run", run_with_nan)
    parity = measure_parity(qa, tiny().model, sample(squad, 3))
    assert next(dense_runs) >= 3  # others came after it
    assert np.isnan(parity.max_logit_difference)
    assert parity.different_answers == 0
    with pytest.raises(ParityError, match="not numbers"):
        require_parity(parity, UNJUDGED)


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_bundle_has_parity_with_its_own_model(family, tiny, tiny_bundle, squad):
    questions = sample(squad, 6, seed=2)
    done = []
    parity = measure_parity(QAPipeline(tiny_bundle(family)), tiny(family).model, questions, lambda: done.append(1))
    require_parity(parity, EXACT)
    assert parity.questions == len(done) == 6
    assert parity.ties < 6
    assert parity.f1 == parity.f1_reference


def test_blocks_that_only_one_side_drops_are_counted(tiny, tiny_bundle, squad):
    model = copy.deepcopy(tiny().model)
    with torch.no_grad():
        model.predictors["0"].fc.bias[1] += 1  # its keep probabilities are higher
    parity = measure_parity(QAPipeline(tiny_bundle()), model, sample(squad, 6, seed=2))
    assert parity.max_logit_difference < 1e-4  # of the dense model
    assert 0 < parity.different_blocks < parity.blocks
    with pytest.raises(ParityError, match="blocks were kept by one side only"):
        require_parity(parity, EXACT)


def test_limits_of_fp32_cannot_be_loosened():
    with pytest.raises(InputError, match="exactly"):
        limits_for("fp32", max_f1_drop=1.0)
    assert limits_for("fp32") == EXACT
    assert limits_for("bf16", max_block_change=0.5) == Limits(None, 0.5, COARSE.answers, COARSE.f1_drop)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
@pytest.mark.parametrize("name", ["max_block_change", "max_answer_change", "max_f1_drop"])
def test_a_limit_that_is_no_number_is_refused_because_it_would_allow_everything(name, value):
    with pytest.raises(InputError, match="must be a number from 0 up"):
        limits_for("fp16", **{name: value})


@pytest.mark.parametrize("limits", [EXACT, COARSE])
@pytest.mark.parametrize("found", [{"questions": 3, "ties": 3}, {"questions": 3, "ties": 0, "blocks": 0}])
def test_a_comparison_of_nothing_proves_nothing(limits, found):
    with pytest.raises(ParityError, match="Nothing could be compared"):
        require_parity(Parity(**found), limits)
    require_parity(Parity(**found), UNJUDGED)  # blocks and answers are not judged there


@pytest.mark.parametrize("limits", [EXACT, COARSE, UNJUDGED])
def test_no_question_proves_nothing(limits):
    with pytest.raises(ParityError, match="no question"):
        require_parity(Parity(), limits)
    with pytest.raises(ParityError, match="no question"):
        require_questions([])


def test_predictors_that_always_give_their_threshold_are_refused(tiny, tiny_bundle, squad):
    """Every question is a tie then, and none is compared."""
    model = copy.deepcopy(tiny().model)
    with torch.no_grad():
        for predictor in model.predictors.values():
            predictor.fc.weight.zero_()
            predictor.fc.bias.zero_()
    qa = QAPipeline(tiny_bundle(), threshold=0.5)
    parity = measure_parity(qa, model, sample(squad, 2))
    assert (parity.ties, parity.blocks) == (2, 0)
    with pytest.raises(ParityError, match="in all 2 questions a keep probability lies at its threshold"):
        require_parity(parity, COARSE)


def test_a_keep_probability_that_is_no_number_shows(tiny, tiny_bundle, squad):
    """Both sides drop a block whose probability is NaN, so that neither blocks nor answers differ."""
    model = copy.deepcopy(tiny().model)
    with torch.no_grad():
        model.predictors["1"].fc.bias.fill_(np.nan)
    parity = measure_parity(QAPipeline(tiny_bundle()), model, sample(squad, 2))
    assert np.isnan(parity.max_logit_difference)
    with pytest.raises(ParityError, match="not numbers"):
        require_parity(parity, UNJUDGED)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("at_thresholds", [True, False])
def test_a_logit_that_is_no_number_shows_in_either_run(tiny, tiny_bundle, squad, monkeypatch, value, at_thresholds):
    qa = QAPipeline(tiny_bundle())
    run = qa.runner.run

    def spoiled(windows, policy, protected=None):
        results = run(windows, policy, protected)
        if (policy is not None) == at_thresholds:
            results[0].start_logits[0] = value
        return results

    monkeypatch.setattr(qa.runner, "run", spoiled)
    parity = measure_parity(qa, tiny().model, sample(squad, 1))
    assert np.isnan(parity.max_logit_difference)


def test_logits_that_are_infinite_on_both_sides_prove_nothing(tiny, tiny_bundle, squad):
    model = copy.deepcopy(tiny().model)
    with torch.no_grad():
        model.backbone.qa_outputs.bias.fill_(np.inf)
    parity = measure_parity(QAPipeline(tiny_bundle()), model, sample(squad, 1))
    assert np.isnan(parity.max_logit_difference)


def test_limits_that_equal_those_of_fp32_are_judged_like_them():
    near = Parity(questions=2, blocks=9, f1=50.0, f1_reference=50.0)
    require_parity(near, replace(EXACT))

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import windows_of
from tokenizers import Tokenizer

from bskim_export.blocks import KEPT
from bskim_export.data.question import Question, sample
from bskim_export.errors import InputError
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.dense_runner import DenseRunner
from bskim_export.training.evaluate import Evaluation
from bskim_export.training.features import Collator, make_features
from bskim_export.training.objective import block_figures, count_blocks

UNANSWERABLE = {"answers": (), "starts": (), "accepted": ()}


@pytest.fixture(scope="module")
def maker(tiny) -> WindowMaker:
    return WindowMaker(Tokenizer.from_str(tiny().tokenizer), tiny().describe())


@pytest.fixture(scope="module")
def collator(tiny) -> Collator:
    return Collator(32, tiny().model.config.pad_token_id)


@pytest.fixture(scope="module")
def runner(tiny, collator) -> DenseRunner:
    return DenseRunner(tiny().model, tiny().describe(), collator)


def test_a_window_gets_the_same_logits_alone_and_in_a_batch(tiny, squad, runner):
    windows = windows_of(tiny(), sample(squad, 4, seed=2), 128)
    for window, batched in zip(windows, runner.run(windows, None), strict=True):
        (alone,) = runner.run([window], None)
        assert batched.start_logits.shape == batched.end_logits.shape == window.input_ids.shape
        np.testing.assert_allclose(batched.start_logits, alone.start_logits, atol=1e-4)
        np.testing.assert_allclose(batched.end_logits, alone.end_logits, atol=1e-4)
        assert batched.skim_logits.keys() == {0, 1, 2}
        for layer, logits in batched.skim_logits.items():
            assert logits.shape == (len(window.input_ids) // 32, 2)
            passage = slice(window.question_blocks, None)
            torch.testing.assert_close(
                logits.softmax(-1)[passage], alone.skim_logits[layer].softmax(-1)[passage], atol=1e-3, rtol=0
            )


def test_no_block_is_dropped_and_no_policy_taken(tiny, squad, runner):
    windows = windows_of(tiny(), sample(squad, 1), 128)
    assert all((r.dropped_after == KEPT).all() and not r.left for r in runner.run(windows, None))
    with pytest.raises(InputError, match="takes no policy"):
        runner.run(windows, Thresholds({0: 0.5}))


def test_predictors_are_judged_on_the_labelled_blocks_of_all_windows(tiny, squad, maker, collator):
    questions = sample(squad, 12, seed=6)
    options = replace(RunOptions.of_length(128), doc_stride=32)
    found = Evaluation(questions, maker, options, collator)(tiny().model)
    counts = torch.zeros(3, 4, dtype=torch.int64)
    for feature in make_features(questions, maker, 128, 32):
        batch = collator([feature])
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids", "question_mask")}
        with torch.no_grad():
            counts += count_blocks(tiny().model(**inputs).skim_logits, batch["block_labels"])
    expected = {layer: block_figures(*row) for layer, row in enumerate(counts.tolist())}
    assert found["predictors"].keys() == expected.keys()
    for layer, figures in expected.items():
        assert found["predictors"][layer] == pytest.approx(figures, abs=0.02)  # a score may lie near 0.5


def test_a_data_set_with_impossible_questions_is_scored_by_its_parts(tiny, squad, maker, collator):
    questions = sample(squad, 8, seed=7)
    options = RunOptions.of_length(128)
    plain = Evaluation(questions, maker, options, collator)(tiny().model)
    assert plain.keys() == {"em", "f1", "predictors"}
    some = [replace(q, **UNANSWERABLE) if i < 3 else q for i, q in enumerate(questions)]
    parts = Evaluation(some, maker, options, collator)(tiny().model)
    assert parts["has_answer"]["questions"] == 5
    assert parts["no_answer"]["questions"] == 3
    assert parts["f1"] == pytest.approx((5 * parts["has_answer"]["f1"] + 3 * parts["no_answer"]["f1"]) / 8)


def test_a_question_that_cannot_be_run_is_named(tiny, squad, maker, collator):
    long = Question("long", "why " * 200, "because", ("because",), (0,))
    with pytest.raises(InputError, match="Question 'long': The question has 200 tokens"):
        Evaluation([*sample(squad, 3), long], maker, RunOptions.of_length(128), collator)(tiny().model)


def test_a_model_without_predictors_has_scores_all_the_same(tiny, squad, maker, collator):
    found = Evaluation(sample(squad, 3), maker, RunOptions.of_length(128), collator)(tiny("bert", ()).model)
    assert found["predictors"] == {}
    assert 0 <= found["em"] <= found["f1"] <= 100

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import FAMILIES
from torch.utils.flop_counter import FlopCounterMode

from bskim_export.blocks import KEPT
from bskim_export.bundle.manifest import Model
from bskim_export.evaluate.macs import dense_macs, window_macs
from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.diagonal import DiagonalPredictor
from bskim_export.runtime.runner import WindowResult

BASE = Model(
    "bert", "", 12, 768, 3072, 12, 64, 768, 2, 32, 512, 0, 101, DiagonalPredictor(LayerShape(12, 64, 768)).macs
)
PREDICTORS = list(range(12))


def result(dropped_after, earlier=None) -> WindowResult:
    dropped_after = np.array(dropped_after, np.int16)
    logits = np.zeros(len(dropped_after) * BASE.block_size, np.float32)
    return WindowResult(logits, logits, dropped_after, earlier=earlier)


drops = st.lists(st.sampled_from([*PREDICTORS, KEPT]), min_size=2, max_size=16)


def test_bert_base_over_512_positions_is_the_figure_of_the_paper():
    assert round(dense_macs(BASE, 512) / 1e9, 2) == 48.32


def test_the_predictor_of_12_heads_is_166_million():
    assert round(BASE.predictor_macs / 1e6, 2) == 1.66


@pytest.mark.parametrize("family", FAMILIES)
def test_dense_macs_are_half_the_flops_that_torch_counts(tiny, family):
    checkpoint = tiny(family)
    ids = torch.ones(1, 96, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        checkpoint.model.backbone(input_ids=ids, attention_mask=ids)
    assert 2 * dense_macs(checkpoint.describe(), 96) == counter.get_total_flops()


@pytest.mark.parametrize("embedding_size", [768, 128])
@pytest.mark.parametrize("blocks", [1, 5, 16])
def test_skim_macs_are_dense_macs_when_nothing_is_dropped_and_no_predictor_runs(blocks, embedding_size):
    model = replace(BASE, embedding_size=embedding_size)
    assert window_macs(model, result([KEPT] * blocks), 1, []) == dense_macs(model, blocks * 32)


def test_a_narrower_embedding_adds_its_projection():
    narrow = replace(BASE, embedding_size=128)
    assert dense_macs(narrow, 512) - dense_macs(BASE, 512) == 512 * 128 * 768


@pytest.mark.parametrize("question_blocks", [1, 2])
@pytest.mark.parametrize("layers", [[0], [3, 7], PREDICTORS])
def test_each_predictor_judges_every_passage_block_that_is_left(layers, question_blocks):
    kept = result([KEPT] * 8)
    added = window_macs(BASE, kept, question_blocks, layers) - dense_macs(BASE, 256)
    assert added == len(layers) * (8 - question_blocks) * BASE.predictor_macs


def test_a_predictor_that_reads_the_question_costs_it_too_where_it_runs():
    reads = replace(BASE, predictor_question_macs=7)
    for dropped, judging in ([KEPT] * 8, 2), ([KEPT] * 2 + [3] * 6, 1), ([KEPT] * 2 + [0] * 6, 0):
        added = window_macs(reads, result(dropped), 2, [3, 7]) - window_macs(BASE, result(dropped), 2, [3, 7])
        assert added == judging * 2 * 7


def test_a_dropped_block_is_judged_by_the_layer_that_drops_it_and_by_none_after():
    dropped = result([KEPT, 4, KEPT, KEPT])
    free = replace(BASE, predictor_macs=0)
    spent = window_macs(BASE, dropped, 1, [2, 4, 6, 8]) - window_macs(free, dropped, 1, [2, 4, 6, 8])
    assert spent == (3 + 3 + 2 + 2) * BASE.predictor_macs


def test_a_layers_drop_saves_what_follows_its_attention():
    hidden, ffn = BASE.hidden_size, 2 * BASE.hidden_size * BASE.intermediate_size
    last = window_macs(BASE, result([KEPT] * 4), 1, []) - window_macs(BASE, result([KEPT] * 3 + [11]), 1, [])
    assert last == 32 * (hidden**2 + ffn + 2 * hidden)
    whole_layer = window_macs(BASE, result([KEPT] * 3 + [11]), 1, []) - window_macs(
        BASE, result([KEPT] * 3 + [10]), 1, []
    )
    assert whole_layer == 32 * (hidden**2 + ffn + 3 * hidden**2) + 2 * hidden * (128**2 - 96**2)


@given(drops, st.data())
def test_dropping_a_block_earlier_never_costs_more(dropped_after, data):
    i = data.draw(st.integers(0, len(dropped_after) - 1))
    sooner = data.draw(st.integers(0, min(11, dropped_after[i])))
    earlier = [*dropped_after[:i], sooner, *dropped_after[i + 1 :]]
    for layers in ([], [0, 5], PREDICTORS):
        before, after = (window_macs(BASE, result(d), 1, layers) for d in (dropped_after, earlier))
        assert after < before or sooner == dropped_after[i]


@given(drops)
def test_skim_macs_without_predictors_never_exceed_dense_macs(dropped_after):
    assert 0 < window_macs(BASE, result(dropped_after), 1, []) <= dense_macs(BASE, 32 * len(dropped_after))


@given(drops, drops)
def test_an_earlier_run_is_added(first, second):
    apart = window_macs(BASE, result(first), 1, []) + window_macs(BASE, result(second), 1, [])
    assert window_macs(BASE, result(second, earlier=result(first)), 1, []) == apart


def test_the_block_that_a_second_run_protects_is_not_judged():
    first = replace(result([0] * 8), left=True, best_block=3)
    second = replace(result([KEPT, 0, 0, KEPT, 0, 0, 0, 0], earlier=first), protected=True)
    spent = window_macs(BASE, second, 1, PREDICTORS) - window_macs(BASE, second, 1, [])
    assert spent == (7 + 6) * BASE.predictor_macs


def test_a_window_that_left_stops_costing():
    left = result([3] * 8)
    assert window_macs(BASE, left, 1, PREDICTORS) == window_macs(replace(BASE, num_layers=4), left, 1, [0, 1, 2, 3])

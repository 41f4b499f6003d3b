import json
from dataclasses import replace

import numpy as np
import pytest

from bskim_export import QAPipeline
from bskim_export.bench.keep_patterns import (
    FILE,
    SETTINGS,
    Pattern,
    Replay,
    draw_patterns,
    load_patterns,
    make_window,
    record,
)
from bskim_export.blocks import KEPT, count_blocks
from bskim_export.bundle.bundle import Bundle
from bskim_export.errors import InputError


@pytest.fixture(scope="module")
def patterns():
    return load_patterns()


def mixed(patterns) -> list[Pattern]:
    """Windows of many lengths, and all that left the batch."""
    return patterns[:8] + [p for p in patterns if p.may_leave]


def replayed(bundle, batch, setting):
    qa = QAPipeline(bundle, threshold=0)
    windows = [make_window(p, qa.bundle.model, 100) for p in batch]
    return qa.runner.run(windows, Replay(batch, setting, qa.bundle.model, qa.bundle.skim_layers))


def replayed_after(pattern: Pattern, setting: str, layers: list[int], num_layers: int) -> list[int]:
    """Return after which layer each block goes: the first of `layers` that is as deep as where it was dropped."""
    found = []
    for dropped in pattern.dropped_after[setting]:
        deep = [i for i in layers if (i + 1) * pattern.num_layers >= (dropped + 1) * num_layers]
        found.append(deep[0] if dropped != KEPT and deep else KEPT)
    return found


def test_the_file_holds_windows_of_all_lengths_and_what_each_setting_dropped(patterns):
    assert len(patterns) > 300
    for pattern in patterns:
        assert pattern.question_length < pattern.length <= 384
        assert all(len(pattern.dropped_after[s]) == count_blocks(pattern.length, 32) for s in SETTINGS)
    own, imposed = (sum(int((p.dropped_after[s] != KEPT).sum()) for p in patterns) for s in SETTINGS)
    assert 0 < 1.5 * own < imposed


def test_the_file_is_what_the_example_model_does(minilm_bundle):
    lines = record(minilm_bundle, questions=5)["windows"]
    assert len(lines) >= 5
    assert json.loads(FILE.read_text())["windows"][: len(lines)] == lines


@pytest.mark.parametrize("setting", SETTINGS)
def test_replay_drops_exactly_the_recorded_blocks(setting, patterns, tiny_bundle):
    batch = mixed(patterns)
    results = replayed(tiny_bundle(), batch, setting)
    expected = [replayed_after(pattern, setting, [0, 1, 2], 3) for pattern in batch]
    assert [r.dropped_after.tolist() for r in results] == expected
    assert [r.left for r in results] == [KEPT not in one for one in expected]
    assert any(r.left for r in results)  # also at the example's own thresholds


def test_a_block_goes_behind_the_next_predictor_that_there_is(patterns, tiny_bundle):
    batch = mixed(patterns)
    expected = [replayed_after(p, "imposed", [1], 3) for p in batch]
    assert {layer for one in expected for layer in one} == {1, KEPT}
    results = replayed(tiny_bundle("bert", (1,)), batch, "imposed")
    assert [r.dropped_after.tolist() for r in results] == expected


def test_every_predictor_runs(tiny_bundle, patterns):
    bundle = Bundle.open(tiny_bundle(), verify=False)
    policy = Replay(patterns[:1], "own", bundle.model, bundle.skim_layers)
    assert all(policy.scores(layer) for layer in range(3))


@pytest.mark.parametrize("length", [64, 128, 512])
def test_windows_of_at_most_a_length_are_drawn_the_same_ones_every_time(length, patterns):
    drawn = draw_patterns(patterns, length, 500)
    assert len(drawn) == 500  # more than there are: they come round again
    assert max(p.length for p in drawn) <= length
    assert draw_patterns(patterns, length, 8) == drawn[:8]


def test_a_length_that_no_window_has_is_refused(patterns):
    with pytest.raises(InputError, match="No recorded window has at most 8 positions"):
        draw_patterns(patterns, 8, 1)


def test_a_window_is_as_long_as_the_recorded_one_or_padded(patterns, tiny_bundle):
    model = Bundle.open(tiny_bundle(), verify=False).model
    pattern = next(p for p in patterns if p.length % 32)
    short, padded = make_window(pattern, model, 100), make_window(pattern, model, 100, positions=384)
    assert len(short.input_ids) == 32 * count_blocks(pattern.length, 32)
    assert len(padded.input_ids) == len(padded.position_ids) == len(padded.token_type_ids) == 384
    assert padded.length == short.length == pattern.length
    np.testing.assert_array_equal(padded.input_ids[: len(short.input_ids)], short.input_ids)
    assert short.token_type_ids.sum() == pattern.length - pattern.question_length
    with pytest.raises(InputError, match="in blocks of 32; this model's have 16"):
        make_window(pattern, replace(model, block_size=16), 100)

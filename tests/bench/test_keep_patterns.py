import json
import math
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
from bskim_export.blocks import count_blocks
from bskim_export.bundle.manifest import read_manifest
from bskim_export.errors import InputError
from bskim_export.runtime.orchestrator import KEPT


@pytest.fixture(scope="module")
def patterns():
    return load_patterns()


def mixed(patterns) -> list[Pattern]:
    """Windows of many lengths, and all that left the batch."""
    return patterns[:8] + [p for p in patterns if p.may_leave]


def replayed(bundle, batch, setting):
    qa = QAPipeline(bundle, threshold=0)
    windows = [make_window(p, qa.manifest.model, 100) for p in batch]
    return qa.orchestrator.run(windows, Replay(batch, setting, qa.manifest))


def test_the_file_holds_windows_of_all_lengths_and_what_each_setting_dropped(patterns):
    assert len(patterns) > 300
    for pattern in patterns:
        assert pattern.question_length < pattern.length <= 384
        assert all(len(pattern.dropped[s]) == count_blocks(pattern.length, 32) for s in SETTINGS)
    own, imposed = (sum(not math.isinf(d) for p in patterns for d in p.dropped[s]) for s in SETTINGS)
    assert 0 < 1.5 * own < imposed


def test_the_file_is_what_the_example_model_does(minilm_bundle):
    lines = record(minilm_bundle, questions=5)["windows"]
    assert len(lines) >= 5
    assert json.loads(FILE.read_text())["windows"][: len(lines)] == lines


@pytest.mark.parametrize("setting", SETTINGS)
def test_replay_drops_exactly_the_recorded_blocks(setting, patterns, tiny_bundle):
    batch = mixed(patterns)
    results = replayed(tiny_bundle(), batch, setting)
    for pattern, result in zip(batch, results, strict=True):
        expected = [KEPT if math.isinf(d) else math.ceil(round(3 * d, 6)) - 1 for d in pattern.dropped[setting]]
        assert result.dropped_after.tolist() == expected
    assert any(r.left for r in results) == (setting == "imposed")


def test_a_block_goes_behind_the_next_predictor_that_there_is(patterns, tiny_bundle):
    batch = mixed(patterns)
    for pattern, result in zip(batch, replayed(tiny_bundle("bert", (1,)), batch, "imposed"), strict=True):
        expected = [1 if d <= 2 / 3 + 1e-6 else KEPT for d in pattern.dropped["imposed"]]
        blocks = count_blocks(pattern.question_length, 32)
        assert result.dropped_after[blocks:].tolist() == expected[blocks:]


def test_every_predictor_runs(tiny_bundle, patterns):
    policy = Replay(patterns[:1], "own", read_manifest(tiny_bundle()))
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
    model = read_manifest(tiny_bundle()).model
    pattern = next(p for p in patterns if p.length % 32)
    short, padded = make_window(pattern, model, 100), make_window(pattern, model, 100, positions=384)
    assert len(short.input_ids) == 32 * count_blocks(pattern.length, 32)
    assert len(padded.input_ids) == len(padded.position_ids) == len(padded.token_type_ids) == 384
    assert padded.length == short.length == pattern.length
    np.testing.assert_array_equal(padded.input_ids[: len(short.input_ids)], short.input_ids)
    assert short.token_type_ids.sum() == pattern.length - pattern.question_length
    with pytest.raises(InputError, match="in blocks of 32; this model's have 16"):
        make_window(pattern, replace(model, block_size=16), 100)

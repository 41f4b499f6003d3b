"""The settings of a run, resolved in one place."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export import Bundle, QAPipeline, RunOptions
from bskim_export.bundle.manifest import RunDefaults
from bskim_export.errors import InputError


def test_what_is_not_said_is_the_bundles():
    defaults = RunDefaults(256, 64, 20)
    assert RunOptions.resolve(defaults, 512) == RunOptions(256, 64, 20)
    assert RunOptions.resolve(defaults, 512, max_seq_len=512).doc_stride == 64
    assert RunOptions.resolve(defaults, 512, max_seq_len=100) == RunOptions(100, 50, 20)
    assert RunOptions.resolve(RunDefaults(96, 64, 7), 512) == RunOptions(96, 64, 7)  # a bundle's own is not changed
    assert RunOptions.resolve(defaults, 512, doc_stride=200, max_answer_len=3) == RunOptions(256, 200, 3)


@given(st.integers(2, 512), st.integers(2, 512))
def test_default_windows_overlap_by_half_at_most(default, asked):
    options = RunOptions.resolve(RunDefaults.of_length(default), 512, max_seq_len=asked)
    assert options.doc_stride <= asked // 2
    assert options == RunOptions.resolve(RunDefaults.of_length(default), 512, **vars(options))


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"max_seq_len": 513}, "max_seq_len is 513; the bundle was exported for at most 512"),
        ({"max_seq_len": 0}, "max_seq_len parameter should be >= 1"),
        ({"doc_stride": -1}, "doc_stride parameter should be >= 0"),
        ({"max_answer_len": 0}, "max_answer_len parameter should be >= 1"),
        ({"top_k": True}, "top_k parameter should be >= 1"),
        ({"batch_size": 2.0}, "batch_size parameter should be >= 1"),
        ({"window_scale": "softmax"}, "window_scale must be one of null, logits, window, got 'softmax'"),
        ({"window_scale": 1}, "got 1"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(given_options, message):
    with pytest.raises(InputError, match=message):
        RunOptions.resolve(RunDefaults.of_length(384), 512, **given_options)


def test_settings_cannot_be_changed_and_can_be_reported():
    options = RunOptions.of_length(384)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.max_seq_len = 1
    assert json.loads(json.dumps(dataclasses.asdict(options)))["doc_stride"] == 128


def test_the_default_call_uses_the_settings_that_the_bundle_was_calibrated_and_benched_at(minilm_bundle):
    """A bundle's defaults are those of export, which calibrate, bench and parity take as well."""
    defaults = Bundle.open(minilm_bundle).manifest.defaults
    assert defaults == RunDefaults(384, 128, 30)
    qa = QAPipeline(minilm_bundle)
    assert qa.options() == qa.answerer().options == RunOptions(384, 128, 30)
    context = "The long name is " + " ".join(["Ada"] * 25) + " ."
    long = qa(question="What is the long name?", context=context)
    assert long == qa(question="What is the long name?", context=context, max_answer_len=30, doc_stride=128)

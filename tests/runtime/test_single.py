"""The single graph decides and computes what the staged engines do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FAMILIES, usual, windows_of, without_ties

from bskim_export import QAPipeline
from bskim_export.backends.onnxruntime import OnnxRuntimeBackend
from bskim_export.blocks import KEPT
from bskim_export.data.question import sample
from bskim_export.runtime.budget import Limited, Scout
from bskim_export.runtime.orchestrator import Orchestrator
from bskim_export.runtime.policy import KeepSchedule, Thresholds
from bskim_export.runtime.single import SingleRunner

BERT = ("bert", (0, 1, 2), "question")
KINDS = [
    *((family, (0, 1, 2), "question") for family in FAMILIES),
    ("bert", (0, 1, 2), "diagonal"),
    ("bert", (1,), "diagonal"),
    ("roberta", (0, 2), "question"),
]


def assert_same(windows, found, expected):
    for window, mine, theirs in zip(windows, found, expected, strict=True):
        assert mine.dropped_after.tolist() == theirs.dropped_after.tolist()
        assert (mine.left, mine.best_block) == (theirs.left, theirs.best_block)
        assert mine.best_score == pytest.approx(theirs.best_score, abs=1e-3)
        np.testing.assert_allclose(mine.probabilities, theirs.probabilities, atol=1e-3)
        for name in ("start_logits", "end_logits"):
            ours, other = (getattr(one, name)[: window.length] for one in (mine, theirs))
            assert np.isfinite(ours).tolist() == np.isfinite(other).tolist()
            there = np.isfinite(ours)
            np.testing.assert_allclose(ours[there], other[there], atol=1e-3)


def pair(folder, threads=2):
    """Return a pipeline of a bundle, and the same bundle's staged engines."""
    qa = QAPipeline(folder, backend=OnnxRuntimeBackend(threads))
    assert isinstance(qa.runner, SingleRunner)
    return qa, Orchestrator(qa.bundle, qa.backend)


@pytest.mark.parametrize("kind", usual(KINDS))
def test_it_gives_what_the_staged_engines_give(tiny, tiny_bundle, squad, kind):
    qa, staged = pair(tiny_bundle(*kind))
    windows = without_ties(windows_of(tiny(*kind), sample(squad, 14, seed=3)), qa)
    windows += [replace(w, judge_shared=True, may_leave=True) for w in windows[:4]]
    layers = qa.bundle.skim_layers
    chosen = [np.arange(len(w.input_ids) // 32) % 3 < 2 for w in windows]
    policies = [
        qa.policy,
        Thresholds(qa.policy.by_layer | {layers[-1]: 0}),
        Thresholds(dict.fromkeys(layers, 1e-30)),
        Thresholds(dict.fromkeys(layers, 1.0)),
        KeepSchedule([1, 0.5, 0.2]),
        Scout(layers[-1]),
        Limited(qa.policy, layers[0], chosen),
        None,
    ]
    left = 0
    for policy in policies:
        expected = staged.run(windows, policy)
        assert_same(windows, qa.runner.run(windows, policy), expected)
        left += sum(r.left for r in expected)
    assert left >= 8


def test_a_protected_block_stays_and_its_window_does_not_leave(tiny, tiny_bundle, squad):
    qa, staged = pair(tiny_bundle(*BERT))
    windows = [replace(w, may_leave=True) for w in windows_of(tiny(*BERT), sample(squad, 6, seed=1))]
    windows = [w for w in windows if len(w.input_ids) // 32 > w.question_blocks + 1]
    last = [len(w.input_ids) // 32 - 1 for w in windows]
    policy = Thresholds(dict.fromkeys(range(3), 1.0))
    found = qa.runner.run(windows, policy, last)
    assert_same(windows, found, staged.run(windows, policy, last))
    for window, block, result in zip(windows, last, found, strict=True):
        assert not result.left
        stays = [*range(window.question_blocks), block]
        assert np.flatnonzero(result.dropped_after == KEPT).tolist() == stays


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_windows_get_the_same_in_any_company_and_on_any_number_of_cores(tiny, tiny_bundle, squad, data):
    windows = windows_of(tiny(*BERT), sample(squad, 8, seed=5))
    chosen = data.draw(st.lists(st.sampled_from(windows), min_size=1, max_size=9))
    threads = data.draw(st.sampled_from([1, 2, 3]))
    qa, _ = pair(tiny_bundle(*BERT), threads)
    together = qa.runner.run(chosen, qa.policy)
    alone = [QAPipeline(tiny_bundle(*BERT)).runner.run([w], qa.policy)[0] for w in chosen]
    assert_same(chosen, together, alone)


def test_a_failure_in_one_of_several_windows_is_told(tiny, tiny_bundle, squad):
    qa, _ = pair(tiny_bundle(*BERT))
    windows = windows_of(tiny(*BERT), sample(squad, 8, seed=5))
    broken = replace(windows[3], input_ids=np.full_like(windows[3].input_ids, 10**6))
    with pytest.raises(Exception, match="cannot run"):
        qa.runner.run([*windows, broken], qa.policy)

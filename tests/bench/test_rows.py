import pytest

from bskim_export.bench.rows import make_rows, measure, paper_speedup, summarise
from bskim_export.data.question import Question, sample
from bskim_export.runtime.pipeline import QAPipeline


@pytest.fixture
def rows(minilm_qa, squad):
    """The three rows, measured on a few questions in windows of 256 positions."""
    made = make_rows(minilm_qa.answerer(minilm_qa.options(max_seq_len=256, batch_size=2)))
    measure(made, sample(squad, 4, seed=5), lambda: None, repeats=2)
    return made


def test_padded_windows_are_all_of_full_length_and_answer_alike(rows):
    padded, dense, _ = rows
    assert {len(w.input_ids) for done in padded.alone.done for w in done.windows} == {256}
    assert any(len(w.input_ids) < 256 for done in dense.alone.done for w in done.windows)
    assert [done.text for done in padded.alone.done] == [done.text for done in dense.alone.done]


def test_only_the_skim_row_drops_blocks(rows):
    padded, dense, skim = rows
    for row in (padded, dense):
        assert set(summarise(row, dense, "any")["kept_blocks"]) == {1.0}
    assert summarise(skim, dense, "any")["kept_blocks"][-1] < 1


def test_speed_ups_are_over_the_row_that_is_named(rows):
    padded, dense, skim = rows
    assert summarise(skim, padded, "any")["speedup_macs"] == padded.macs / skim.macs
    assert summarise(skim, dense, "any")["speedup_time"] == dense.seconds / skim.seconds
    assert summarise(dense, dense, "any")["speedup_time_batched"] == 1
    assert paper_speedup(skim) > paper_speedup(dense) > paper_speedup(padded) > 1  # 256 positions instead of 512


def test_progress_is_told_of_every_question_in_both_passes(minilm_qa, squad):
    ticks = []
    measure(make_rows(minilm_qa.answerer()), sample(squad, 3, seed=6), lambda: ticks.append(1), True, repeats=2)
    assert len(ticks) == 2 * (1 + 2) * 3


@pytest.mark.parametrize("impossible", [False, True])
def test_the_empty_answer_is_allowed_only_where_a_question_may_have_none(minilm_qa, impossible):
    rows = make_rows(minilm_qa.answerer(minilm_qa.options(handle_impossible_answer=impossible)))
    question = Question("1", "Who ate cheese on the moon?", "It rained. " * 20, (), ())
    measure(rows, [question], lambda: None, repeats=1)
    assert [row.alone.done[0].text == "" for row in rows] == [impossible] * 3


def test_a_baseline_is_one_more_dense_row_at_the_same_settings(minilm_qa, tiny_bundle):
    options = minilm_qa.options(max_seq_len=128)
    other = QAPipeline(tiny_bundle()).answerer(options)
    rows = make_rows(minilm_qa.answerer(options), baseline=other)
    assert [row.name for row in rows] == ["dense-padded", "dense", "skim", "baseline"]
    assert {row.answerer.options for row in rows} == {options}
    assert rows[-1].answerer.scored_layers == []

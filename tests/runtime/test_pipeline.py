import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.blocks import KEPT
from bskim_export.commands import main as group
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError

HERE = [name for name, e in CATALOGUE.items() if e.device == "CPU" and e.installed]
PASSAGE = (
    "The Amazon rainforest covers most of the Amazon basin of South America. This basin encompasses seven million "
    "square kilometres, of which five and a half million are covered by the rainforest. The region includes territory "
    "belonging to nine nations. The majority of the forest is contained within Brazil, with 60% of the rainforest."
)
QUESTION = "Which country contains most of the forest?"


def test_one_question_gets_a_dict_whose_offsets_are_the_answers(minilm_qa):
    answer = minilm_qa(question=QUESTION, context=PASSAGE)
    assert list(answer) == ["score", "start", "end", "answer"]
    assert answer["answer"] == PASSAGE[answer["start"] : answer["end"]] == "Brazil"
    assert 0 < answer["score"] <= 1


def test_every_way_of_passing_a_question_gives_the_same_answer(minilm_qa):
    example = {"question": QUESTION, "context": PASSAGE}
    expected = minilm_qa(**example)
    assert minilm_qa(example) == minilm_qa([example]) == minilm_qa(data=example) == expected
    assert minilm_qa(question=[QUESTION], context=[PASSAGE]) == expected
    several = minilm_qa(question=[QUESTION, "How many nations are there?"], context=PASSAGE)
    assert several[0] == {**expected, "score": pytest.approx(expected["score"], rel=1e-4)}
    assert several[1]["answer"] == "nine"


def test_top_k_gives_distinct_answers_best_first(minilm_qa):
    answers = minilm_qa(question=QUESTION, context=PASSAGE, top_k=3)
    scores = [a["score"] for a in answers]
    assert len({a["answer"].lower() for a in answers}) == 3
    assert scores == sorted(scores, reverse=True)


def test_max_answer_len_counts_tokens(minilm_qa):
    for answer in minilm_qa(question="How big is it?", context=PASSAGE, top_k=5, max_answer_len=1):
        assert len(answer["answer"].split()) == 1


def test_an_impossible_answer_is_empty_and_at_zero(minilm_qa):
    answers = minilm_qa(question=QUESTION, context=PASSAGE, handle_impossible_answer=True, top_k=4000)
    null = [a for a in answers if a["answer"] == ""]
    assert len(null) == 1
    assert (null[0]["start"], null[0]["end"]) == (0, 0)


def test_a_long_passage_is_answered_from_its_windows(minilm_qa):
    padding = "Nothing of interest happened in the village that year. " * 120
    context = padding + PASSAGE + " " + padding
    answer = minilm_qa(question=QUESTION, context=context)
    assert answer["answer"] == "Brazil"
    assert context[answer["start"] : answer["end"]] == "Brazil"


def test_return_skim_tells_the_dropped_ranges_in_order(minilm_bundle):
    qa = QAPipeline(minilm_bundle, threshold=0.5)
    answer = qa.run(question=QUESTION, context=PASSAGE * 3, return_skim=True)
    ranges = answer["skipped"]
    assert ranges
    assert all(0 <= r["start"] < r["end"] <= 3 * len(PASSAGE) and 0 <= r["layer"] < 6 for r in ranges)
    assert all(a["end"] <= b["start"] for a, b in pairwise(ranges))
    assert not any(r["start"] <= answer["start"] < r["end"] for r in ranges)


def test_threshold_zero_skims_nothing(minilm_bundle):
    answer = QAPipeline(minilm_bundle, threshold=0).run(question=QUESTION, context=PASSAGE * 3, return_skim=True)
    assert answer["skipped"] == []


def test_a_question_whose_windows_all_left_is_answered_from_its_best_block(minilm_bundle):
    qa = QAPipeline(minilm_bundle, threshold=1.0)
    # 29 question tokens, [CLS] and two [SEP] fill the first block, so that no passage token shares it
    question = " ".join(["forest"] * 30)
    answerer = qa.answerer()
    windows = answerer.windows(question, PASSAGE)
    assert windows[0].question_length == 32
    assert windows[0].may_leave
    ((result,),) = answerer.run([windows])
    assert result.earlier.left
    assert result.dropped_after[result.earlier.best_block] == KEPT
    answer = qa(question=question, context=PASSAGE)
    tokens = windows[0].encoding.offsets[result.earlier.best_block * 32 : (result.earlier.best_block + 1) * 32]
    passage = [span for span in tokens if span != (0, 0)]
    assert passage[0][0] <= answer["start"] < answer["end"] <= passage[-1][1]
    null = qa(question=question, context=PASSAGE, handle_impossible_answer=True)
    assert null["answer"] == ""
    assert 0 <= null["score"] <= 1


def test_batches_do_not_change_answers(minilm_bundle, squad):
    questions = sample(squad, 24, seed=8)
    texts = {"question": [q.question for q in questions], "context": [q.context for q in questions]}
    answers = [[a["answer"] for a in QAPipeline(minilm_bundle, batch_size=b)(**texts)] for b in (1, 5, 24)]
    assert answers[0] == answers[1] == answers[2]
    again = QAPipeline(minilm_bundle)(**texts, batch_size=3, max_question_len=64, padding="longest")
    assert [a["answer"] for a in again] == answers[0]


def test_threads_share_a_pipeline(minilm_qa, squad):
    questions = sample(squad, 16, seed=12)
    settings = [(q, stride) for q in questions for stride in (0, 32, 128)]

    def answer(setting):
        question, stride = setting
        return minilm_qa(question=question.question, context=question.context, max_seq_len=160, doc_stride=stride)

    alone = [answer(s)["answer"] for s in settings]
    with ThreadPoolExecutor(4) as threads:
        assert [a["answer"] for a in threads.map(answer, settings)] == alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"question": "", "context": "x"}, "`question` cannot be empty"),
        ({"question": "  \t", "context": "x"}, "`question` cannot be empty"),
        ({"question": "x", "context": ""}, "`context` cannot be empty"),
        ({"question": "x", "context": "\x00 \u200b\n"}, "`context` cannot be empty"),
        ({"question": "word " * 400, "context": "x"}, "Shorten the question"),
        ({"question": None, "context": "x"}, "Pass question= and context="),
        ({"question": 3, "context": "x"}, "must be a string"),
        ({"question": ["a", "b"], "context": ["x"]}, "same lengths"),
        ({"question": [], "context": []}, "the list is empty"),
        ({"question": "a", "context": "x", "top_k": 0}, "top_k parameter should be >= 1"),
        ({"question": "a", "context": "x", "max_answer_len": 0}, "max_answer_len parameter should be >= 1"),
        ({"question": "a", "context": "x", "doc_stride": -1}, "doc_stride parameter should be >= 0"),
        ({"question": "a", "context": "x", "max_seq_len": 9999}, "at most 384"),
        ({"question": "a", "context": "x", "batch_size": 0}, "batch_size parameter should be >= 1"),
        ({"data": {"question": "a"}}, "no 'context'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(minilm_qa, arguments, message):
    with pytest.raises(InputError, match=message):
        minilm_qa(**arguments)


@pytest.mark.parametrize("value", [-0.1, 1.5, "high", True])
def test_a_threshold_outside_zero_to_one_is_refused(minilm_bundle, value):
    with pytest.raises(InputError, match="from 0"):
        QAPipeline(minilm_bundle, threshold=value)


def test_a_directory_that_is_no_bundle_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(BundleError, match="bskim-export MODEL --out"):
        QAPipeline(tmp_path)


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("file", ["onnx/weights.bin", "onnx/stage_01.onnx", "onnx/dense.onnx", "tokenizer.json"])
@pytest.mark.parametrize("fault", ["missing", "truncated", "unreadable"])
def test_a_bundle_that_is_not_whole_is_refused_when_it_is_opened(fault, file, name, tiny_bundle, tmp_path):
    out = shutil.copytree(tiny_bundle(), tmp_path / "engines")
    path = out / file
    content = path.read_bytes()
    path.unlink()
    if fault == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif fault == "unreadable":
        path.symlink_to("/proc/self/mem")  # reading its first byte is an input/output error
    said = {"missing": "is missing", "truncated": "is damaged", "unreadable": r"cannot be read \(Input/output error\)"}
    with pytest.raises(BundleError, match=said[fault]) as caught:
        QAPipeline(out, backend=open_backend(name))
    assert file in str(caught.value)
    assert "Copy the whole directory again, or export the model again." in str(caught.value)


def test_commands_say_in_one_line_that_a_bundle_is_not_whole(tiny_bundle, tmp_path):
    out = shutil.copytree(tiny_bundle(), tmp_path / "engines")
    (out / "onnx" / "weights.bin").unlink()
    done = CliRunner().invoke(group, ["ask", str(out), "--question", "Who?", "--context", "Ada."])
    assert done.exit_code == 1
    assert "'onnx/weights.bin' is missing. Copy the whole directory again" in " ".join(done.output.split())
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("question", "context"),
    [
        ("Who? \U0001f600", "The \U0001f469\u200d\U0001f680 flew. \U0001f680 Ada did."),
        ("Wer?", "A\u0308 e\u0301 combining n\u0303 marks e\u0301verywhere"),
        ("מי כתב את הספר?", "הספר נכתב על ידי עגנון בשנת 1931."),
        ("Who\x00 is it?", "It is\x00 Ada\x00."),
        ("Who is \ud800 it?", "It is \udfff Ada \ud83d."),
        ("?", "!!! ... ???"),
        ("x", "x"),
        ("谁写的？", "这本书是鲁迅写的。"),
    ],
)
def test_odd_text_gets_an_answer_with_valid_offsets(minilm_qa, question, context):
    answer = minilm_qa(question=question, context=context)
    assert context[answer["start"] : answer["end"]] == answer["answer"] != ""


def test_a_hundred_thousand_words_are_answered(tiny_bundle):
    context = "word " * 60_000 + "The answer is Brazil. " + "word " * 40_000
    answer = QAPipeline(tiny_bundle(), batch_size=32)(question=QUESTION, context=context)
    assert context[answer["start"] : answer["end"]] == answer["answer"] != ""


@pytest.fixture(scope="module")
def tiny_qa(tiny_bundle):
    return QAPipeline(tiny_bundle())


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=200),  # surrogates and NUL included
    st.lists(st.sampled_from(["word", "  ", "\x00", "é", "e\u0301", "\U0001f600", "\ud800", "שלום", "中", "\n"])).map(
        "".join
    ),
    st.text("abc .,\u200f\u202e", max_size=900),
)


@settings(max_examples=2000, deadline=None)
@given(TEXT, TEXT, st.integers(1, 3), st.booleans(), st.booleans(), st.integers(32, 96), st.integers(0, 120))
def test_any_text_gets_an_answer_or_one_clear_error(
    tiny_qa, question, context, top_k, impossible, align, max_seq_len, doc_stride
):
    qa = tiny_qa
    try:
        answers = qa(
            question=question, context=context, top_k=top_k, handle_impossible_answer=impossible,
            align_to_words=align, max_seq_len=max_seq_len, doc_stride=doc_stride,
        )  # fmt: skip
    except InputError as refused:
        if not any(m in str(refused) for m in ("cannot be empty", "no room for the passage")):
            raise
        return
    for answer in answers if isinstance(answers, list) else [answers]:
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        assert 0 <= answer["start"] <= answer["end"] <= len(context)
        assert np.isfinite(answer["score"])
        assert answer["answer"] or impossible or not context.strip()

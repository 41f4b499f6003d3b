"""bskim.h, called as other languages call it: the answers of QAPipeline, and codes instead of exceptions."""

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from ctypes import POINTER, byref, c_char_p, c_void_p
from pathlib import Path

import pytest
from compare_answers import Counts, compare
from libbskim import (
    ABI_VERSION,
    BUNDLE_ERROR,
    FORK_ERROR,
    INPUT_ERROR,
    NO_MEMORY,
    OK,
    TERMINATED,
    Answers,
    AskOptions,
    BskimError,
    Error,
    OpenOptions,
    Passage,
    Pipeline,
    ask_options,
    load,
)

import bskim_export
from bskim_export import QAPipeline
from bskim_export.data.documents import whole_articles
from bskim_export.data.question import sample
from bskim_export.errors import BskimError as PythonError

ADA = ("Who wrote it?", "It was written by Ada Lovelace in 1843.")


@pytest.fixture(scope="module")
def library(libbskim):
    return load(libbskim)


@pytest.fixture(scope="module")
def pipeline(library, minilm_bundle):
    with Pipeline(library, minilm_bundle) as opened:
        yield opened


def assert_same(pipeline, qa, call, **options):
    """Compare places, texts, byte offsets, scores, skipped ranges and the share of kept blocks."""
    counts, passages = Counts(), call.get("passages")
    ours = qa.run(**call, **options, return_skim=True, return_stats=True)
    if passages is None:
        found = pipeline.ask(call["question"], call["context"], return_skim=True, **options)
        texts = [call["context"]]
    else:
        found = pipeline.ask_passages(call["question"], passages, return_skim=True, **options)
        texts = [one if isinstance(one, str) else one["text"] for one in passages]
    compare(found, ours if isinstance(ours, list) else [ours], texts, counts, str(call)[:200])
    assert counts.same, counts.report()
    return found


def test_the_versions_are_those_of_the_header_and_of_the_package(library):
    header = (Path(__file__).parents[2] / "cpp/include/bskim/bskim.h").read_text()
    assert f"#define BSKIM_ABI_VERSION {ABI_VERSION}\n" in header
    assert library.bskim_abi_version() == ABI_VERSION
    assert library.bskim_version().decode() == bskim_export.__version__


def test_answers_of_real_questions_are_those_of_python(pipeline, minilm_qa, squad):
    for q in sample(squad, 30, seed=9):
        assert_same(pipeline, minilm_qa, {"question": q.question, "context": q.context}, top_k=3)
    article = sample(whole_articles(sample(squad, 200, seed=2)), 1, seed=1)[0]
    found = assert_same(pipeline, minilm_qa, {"question": article.question, "context": article.context}, top_k=2)
    assert found["skipped"], "something of a whole article is dropped"


def test_answers_from_passages_with_and_without_titles_too(pipeline, minilm_qa, squad):
    texts = [q.context for q in sample(squad, 5, seed=8)]
    titled = [{"title": f"Ünïcode {i}", "text": text} for i, text in enumerate(texts)]
    for passages in (texts, titled, ["", *titled[:2], texts[3]], [texts[0], {"title": "Only", "text": ""}]):
        found = assert_same(pipeline, minilm_qa, {"question": "Who was it?", "passages": passages}, top_k=4)
        assert all(one["passage"] is not None for one in found["answers"])
    asked = {"question": "Who?", "passages": ["No.", "Neither."]}
    found = assert_same(pipeline, minilm_qa, asked, handle_impossible_answer=True, top_k=9)
    assert None in [one["passage"] for one in found["answers"]]


@pytest.mark.parametrize(
    "options",
    [
        {"max_seq_len": 64, "doc_stride": 0},
        {"max_seq_len": 64, "doc_stride": 20, "max_answer_len": 3},
        {"max_blocks": 4, "batch_size": 1},
        {"align_to_words": False, "top_k": 5},
        {"handle_impossible_answer": True, "max_windows": 40},
    ],
    ids=str,
)
def test_every_option_has_the_effect_that_it_has_in_python(pipeline, minilm_qa, squad, options):
    for q in sample(squad, 4, seed=6):
        assert_same(pipeline, minilm_qa, {"question": q.question, "context": q.context}, **options)


def test_options_of_opening_reach_the_pipeline(library, minilm_bundle):
    given = {"backend": b"onnxruntime", "precision": b"fp32", "threads": 1, "batch_size": 2}
    with Pipeline(library, minilm_bundle, **given, has_threshold=1, threshold=0.0) as dense:
        found = assert_same(
            dense,
            QAPipeline(minilm_bundle, threads=1, threshold=0),
            dict(zip(("question", "context"), ADA, strict=True)),
        )
        assert found["kept_share"] == 1


def test_offsets_are_given_in_characters_and_in_bytes(pipeline):
    [found] = pipeline.ask("Who wrote it?", "😀 Ünï: it was written by Ada Lovelace in 1843.")["answers"]
    assert found["answer"] == "Ada Lovelace"
    assert (found["start"], found["end"]) == (25, 37)
    assert (found["start_byte"], found["end_byte"]) == (30, 42)


def test_a_zero_inside_a_text_does_not_end_it(pipeline, minilm_qa):
    context = "It \0 was written by Ada\0Lovelace\0."
    found = assert_same(pipeline, minilm_qa, {"question": "Who\0wrote it?", "context": context})
    assert "Ada" in found["answers"][0]["answer"]
    assert_same(pipeline, minilm_qa, {"question": "Who?", "passages": [{"title": "A\0", "text": context}]})


@pytest.mark.parametrize(
    ("question", "context", "options"),
    [
        ("", "Ada.", {}),
        ("Who?", "", {}),
        ("Who?", " \n", {}),
        ("Who?", "Ada.", {"top_k": -1}),
        ("Who?", "Ada.", {"doc_stride": -2}),
        ("Who?", "Ada.", {"max_seq_len": 100_000}),
        ("Who?", "Ada.", {"max_blocks": -(2**31)}),
        ("Who?", "Ada. " * 2000, {"max_windows": 2}),
        ("who " * 500, "Ada.", {}),
    ],
)
def test_what_cannot_be_asked_is_an_error_with_the_text_of_python(pipeline, minilm_qa, question, context, options):
    with pytest.raises(PythonError) as expected:
        minilm_qa.run(question=question, context=context, **options)
    with pytest.raises(BskimError) as error:
        pipeline.ask(question, context, **options)
    assert str(error.value) == str(expected.value)
    assert error.value.status == INPUT_ERROR


def test_an_unknown_scale_too(pipeline, minilm_qa):
    with pytest.raises(PythonError) as expected:
        minilm_qa.run(*ADA, window_scale="other")
    with pytest.raises(BskimError) as error:
        pipeline.ask(*ADA, window_scale=b"other")
    assert str(error.value) == str(expected.value)


@pytest.mark.parametrize("passages", [[], [""], ["", {"title": " ", "text": "\n"}]])
def test_passages_without_words_too(pipeline, minilm_qa, passages):
    with pytest.raises(PythonError) as expected:
        minilm_qa.run(question="Who?", passages=passages)
    with pytest.raises(BskimError) as error:
        pipeline.ask_passages("Who?", passages)
    assert str(error.value) == str(expected.value)
    assert error.value.status == INPUT_ERROR


@pytest.mark.parametrize(
    ("bundle", "python", "own"),
    [
        ("nowhere", {}, {}),
        ("empty", {}, {}),
        (None, {"threshold": 1.5}, {"has_threshold": 1, "threshold": 1.5}),
        (None, {"threshold": float("nan")}, {"has_threshold": 1, "threshold": float("nan")}),
        (None, {"batch_size": -1}, {"batch_size": -1}),
        (None, {"threads": -1}, {"threads": -1}),
        (None, {"threads": 1_000_000}, {"threads": 1_000_000}),
        (None, {"precision": "fp16"}, {"precision": b"fp16"}),
    ],
    ids=str,
)
def test_what_cannot_be_opened_too(library, minilm_bundle, tmp_path, bundle, python, own):
    (tmp_path / "empty").mkdir()
    path = minilm_bundle if bundle is None else tmp_path / bundle
    with pytest.raises(PythonError) as expected:
        QAPipeline(path, **python)
    with pytest.raises(BskimError) as error:
        Pipeline(library, path, **own)
    assert str(error.value) == str(expected.value)
    assert error.value.status == (INPUT_ERROR if bundle is None else BUNDLE_ERROR)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_long_error_is_cut_between_characters(library, tmp_path, extra):
    with pytest.raises(BskimError) as error:  # it could not be decoded if it were cut inside of one
        Pipeline(library, tmp_path / ("/".join(["é" * 100] * 10) + "a" * extra))
    assert 1000 < len(str(error.value).encode()) < 1024


class NewerOptions(ctypes.Structure):
    """Options of a later version: with a field more."""

    _fields_ = (*AskOptions._fields_, ("unknown", ctypes.c_int64))


def ask_raw(pipeline, options, size=TERMINATED):
    """Return the status, the error and the first answer."""
    error, found = Error(), POINTER(Answers)()
    texts = [ctypes.cast(c_char_p(one.encode()), c_void_p) for one in ADA]
    pointer = options if options is None else ctypes.cast(byref(options), POINTER(AskOptions))
    status = pipeline.library.bskim_ask(
        pipeline.handle, texts[0], size, texts[1], TERMINATED, pointer, byref(found), byref(error)
    )
    if status != OK:
        assert not found
        return status, error.text.decode(), None
    answer = found.contents.answers[0]
    text = ctypes.string_at(answer.text, answer.text_size).decode()
    pipeline.library.bskim_free_answers(found)
    return status, error.text.decode(), text


def test_without_options_and_with_texts_that_end_with_a_zero_it_answers(pipeline):
    assert ask_raw(pipeline, None) == (OK, "", "Ada Lovelace")


def test_newer_options_are_accepted_where_what_is_new_in_them_is_zero(pipeline):
    size = ctypes.sizeof(NewerOptions)
    assert ask_raw(pipeline, NewerOptions(size=size)) == (OK, "", "Ada Lovelace")
    status, message, _ = ask_raw(pipeline, NewerOptions(size=size, unknown=1 << 40))
    assert status == INPUT_ERROR
    assert "does not know" in message


def test_older_options_are_read_as_far_as_they_go(pipeline):
    assert ask_raw(pipeline, AskOptions(size=AskOptions.top_k.offset, top_k=-1)) == (OK, "", "Ada Lovelace")
    options = AskOptions(size=AskOptions.window_scale.offset, window_scale=b"other")
    assert ask_raw(pipeline, options) == (OK, "", "Ada Lovelace")
    options.size = ctypes.sizeof(AskOptions)
    assert ask_raw(pipeline, options)[0] == INPUT_ERROR


@pytest.mark.parametrize("size", [0, 1, 7, 9, 60, 1 << 20, 1 << 62, TERMINATED])
def test_a_size_that_no_options_have_is_refused(library, pipeline, minilm_bundle, size):
    status, message, _ = ask_raw(pipeline, AskOptions(size=size))
    assert status == INPUT_ERROR
    assert "set it to sizeof" in message
    error, handle = Error(), c_void_p()
    opened = library.bskim_open(str(minilm_bundle).encode(), byref(OpenOptions(size=size)), byref(handle), byref(error))
    assert opened == INPUT_ERROR
    assert not handle


def test_null_is_refused_or_harmless(library, pipeline, minilm_bundle):
    handle, found, error = c_void_p(1), POINTER(Answers)(Answers()), Error()
    path = str(minilm_bundle).encode()
    who, ada = (ctypes.cast(c_char_p(text.encode()), c_void_p) for text in ADA)
    texts = (who, TERMINATED, ada, TERMINATED)
    assert library.bskim_open(None, None, byref(handle), byref(error)) == INPUT_ERROR
    assert not handle
    assert b"must not be NULL" in error.text
    assert library.bskim_open(path, None, None, byref(error)) == INPUT_ERROR
    assert library.bskim_open(None, None, None, None) == INPUT_ERROR
    assert library.bskim_ask(None, *texts, None, byref(found), byref(error)) == INPUT_ERROR
    assert not found, "what may be freed is NULL after any error"
    assert library.bskim_ask(pipeline.handle, *texts, None, None, byref(error)) == INPUT_ERROR
    for question, context in ((None, ada), (who, None)):
        given = (question, TERMINATED, context, TERMINATED, None, byref(found), byref(error))
        assert library.bskim_ask(pipeline.handle, *given) == INPUT_ERROR
        assert b"cannot be empty" in error.text
    given = (None, 5, ada, TERMINATED, None, byref(found), byref(error))
    assert library.bskim_ask(pipeline.handle, *given) == INPUT_ERROR
    assert library.bskim_ask_passages(None, who, TERMINATED, None, 0, None, byref(found), None) == INPUT_ERROR
    given = (who, TERMINATED, None, 1, None, byref(found), byref(error))
    assert library.bskim_ask_passages(pipeline.handle, *given) == INPUT_ERROR
    given = (who, TERMINATED, (Passage * 1)(), 1, None, byref(found), byref(error))
    assert library.bskim_ask_passages(pipeline.handle, *given) == INPUT_ERROR
    library.bskim_free_answers(None)
    library.bskim_close(None)
    # Without a place for the error, too.
    assert library.bskim_ask(pipeline.handle, None, 0, None, 0, None, byref(found), None) == INPUT_ERROR
    assert library.bskim_ask(pipeline.handle, *texts, None, byref(found), None) == OK
    library.bskim_free_answers(found)


def test_sizes_that_no_memory_has_are_refused_before_anything_is_read(library, pipeline):
    assert ask_raw(pipeline, None, size=TERMINATED - 1)[0] == INPUT_ERROR
    found, error = POINTER(Answers)(), Error()
    who = ctypes.cast(c_char_p(b"Who?"), c_void_p)
    for count in (TERMINATED, 1 << 58):
        given = (who, TERMINATED, (Passage * 1)(), count, None, byref(found), byref(error))
        assert library.bskim_ask_passages(pipeline.handle, *given) == NO_MEMORY
        assert b"not enough memory" in error.text


@pytest.mark.parametrize("spoiled", [b"\xff", b"Ada \xc3", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\xe2\x28\xa1 Ada"])
def test_bytes_that_are_no_utf8_are_refused(pipeline, spoiled):
    for question, context in ((spoiled, b"Ada."), (b"Who?", spoiled)):
        with pytest.raises(BskimError, match="is not UTF-8") as error:
            pipeline.ask(question, context)
        assert error.value.status == INPUT_ERROR
    with pytest.raises(BskimError, match="passage 0 is not UTF-8"):
        pipeline.ask_passages("Who?", [{"title": spoiled, "text": "Ada."}])


def test_eight_threads_on_one_pipeline_answer_as_one_does(pipeline, squad):
    questions = sample(squad, 48, seed=12)
    expected = [pipeline.ask(q.question, q.context, top_k=2, return_skim=True) for q in questions]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(pipeline.ask, q.question, q.context, top_k=2, return_skim=True) for q in questions * 3]
        assert [job.result() for job in jobs] == expected * 3


FORKED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from libbskim import BskimError, Pipeline, load
pipeline = Pipeline(load(sys.argv[2]), sys.argv[3], backend=sys.argv[4].encode())
pipeline.ask("Who wrote it?", "Ada wrote it.")
child = os.fork()
if child == 0:
    try:
        os._exit(0 if pipeline.ask("Who wrote it?", "Ada wrote it.")["answers"][0]["answer"] == "Ada" else 100)
    except BskimError as error:
        os._exit(error.status)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(("backend", "status"), [("onnxruntime", OK), ("openvino", FORK_ERROR)])
def test_the_child_of_a_fork_answers_or_is_told_why_not(libbskim, minilm_bundle, backend, status):
    command = [sys.executable, "-c", FORKED, str(Path(__file__).parent), str(libbskim), str(minilm_bundle), backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if "was built without" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == status, done.stderr


def test_every_option_of_the_header_is_in_the_binding():
    assert ask_options(top_k=2, align_to_words=False).no_align_to_words == 1
    assert ctypes.sizeof(AskOptions) == 64
    assert ctypes.sizeof(OpenOptions) == 48

"""What a request says becomes the call of the pipeline that says the same, or the same refusal."""

import pytest

from bskim_export import QAPipeline
from bskim_export.data.question import sample
from bskim_export.errors import BskimError, InputError
from bskim_export.serve.jobs import run_steps
from bskim_export.serve.limits import Limits, TooLargeError
from bskim_export.serve.requests import make_job

ADA = {"question": "Who wrote it?", "context": "It was written by Ada Lovelace in 1843."}


@pytest.fixture(scope="module")
def qa(tiny_bundle):
    return QAPipeline(tiny_bundle("bert"))


def answer(qa, inputs, parameters=None, task="answer", limits=None):
    """Run a request to its end, in this thread."""
    job = make_job(qa, task, inputs, parameters, limits or Limits())
    while True:
        step = job.steps.popleft()
        more, done = job.take(step, run_steps([step], qa.runner)[0])
        job.steps.extendleft(reversed(more))
        if done:
            return job.finish()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 4, "max_answer_len": 3},
        {"max_seq_len": 128, "doc_stride": 20},
        {"handle_impossible_answer": True, "align_to_words": False},
        {"return_skim": True},
        {"max_blocks": 3, "window_scale": "logits"},
        {"top_k": None, "max_question_len": 64, "padding": "longest"},
    ],
)
def test_parameters_mean_what_they_mean_to_the_pipeline(qa, squad, parameters):
    for one in sample(squad, 3, seed=1):
        inputs = {"question": one.question, "context": f"{one.context} {one.context} {one.context}"}
        found = qa.run(data=inputs, **{k: v for k, v in parameters.items() if v is not None})
        assert answer(qa, inputs, parameters) == (found if isinstance(found, list) else [found])


def test_a_threshold_may_be_asked_for(qa, tiny_bundle, squad):
    one = sample(squad, 1, seed=2)[0]
    inputs = {"question": one.question, "context": one.context * 6}
    dense = QAPipeline(tiny_bundle("bert"), threshold=0)
    all_dropped = QAPipeline(tiny_bundle("bert"), threshold=1)
    assert answer(qa, inputs, {"threshold": 0}) == [dense.run(data=inputs)]
    skimmed = answer(qa, inputs, {"threshold": 1, "return_skim": True})
    assert skimmed == [all_dropped.run(data=inputs, return_skim=True)]
    assert skimmed[0]["skipped"]


def test_passages_and_lists(qa, squad):
    texts = [q.context for q in sample(squad, 4, seed=3)]
    passages = {"question": "Who?", "passages": [{"title": "One", "text": texts[0]}, *texts[1:], ""]}
    assert answer(qa, passages) == [qa.run(data=passages)]
    assert answer(qa, [passages, ADA]) == [[one] for one in qa.run(data=[passages, ADA])]


def test_highlights(qa, squad):
    texts = [q.context for q in sample(squad, 3, seed=4)]
    inputs = {"question": "Who?", "passages": texts}
    assert answer(qa, inputs, {"keep": 0.5}, "highlight") == qa.highlight("Who?", texts, keep=0.5)
    found = answer(qa, {"question": "Who?", "context": texts[0]}, {"threshold": 0.3}, "highlight")
    assert found == qa.highlight("Who?", texts[:1], threshold=0.3)


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        (5, {}, "`inputs` must be an object"),
        ("text", {}, "`inputs` must be an object"),
        (None, {}, "`inputs` must be an object"),
        ([], {}, "There are no questions"),
        ({}, {}, "has no 'question'"),
        ([ADA, 3], {}, "Question 1: A question is a dict"),
        ([ADA, {"question": "", "context": "a"}], {}, "Question 1: `question` cannot be empty"),
        ([ADA, {"question": "a", "context": "\u200b"}], {}, "Question 1: `context` cannot be empty: it has no words"),
        ({"question": "a", "context": "b", "passages": ["c"]}, {}, "not both"),
        ({"question": "a", "passages": "b"}, {}, "must be a list"),
        ({"question": "a", "passages": [5]}, {}, "Passage 0 must be a string"),
        ({"question": ["a"], "context": {"b": 1}}, {}, "must be a string"),
        (ADA, [1], "`parameters` must be an object"),
        ({"question": "\u200b", "context": "a"}, {}, "`question` cannot be empty: it has no words."),
        (ADA, {"topk": 2}, "There is no parameter 'topk'"),
        (ADA, {"batch_size": 2}, "There is no parameter 'batch_size'"),
        (ADA, {"top_k": 101}, "at most 100"),
        (ADA, {"top_k": 0}, "top_k parameter should be >= 1"),
        (ADA, {"top_k": 1e9}, "top_k parameter should be >= 1"),
        (ADA, {"top_k": float("nan")}, "top_k parameter should be >= 1"),
        (ADA, {"max_windows": "many"}, "max_windows parameter should be >= 1"),
        (ADA, {"threshold": 2}, "threshold must be a number from 0"),
        (ADA, {"max_seq_len": 10**6}, "exported for at most"),
        (ADA, {"return_skim": "yes"}, "return_skim must be True or False"),
        (ADA, {"window_scale": ["null"]}, "window_scale must be one of"),
    ],
)
def test_what_cannot_be_meant_is_refused(qa, inputs, parameters, message):
    with pytest.raises(InputError) as refusal:
        make_job(qa, "answer", inputs, parameters, Limits())
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "parameters", [{"language": 5}, {"keep": "half"}, {"keep": 2}, {"threshold": []}, {"top_k": 1}]
)
def test_highlights_refuse_too(qa, parameters):
    with pytest.raises(BskimError):
        make_job(qa, "highlight", ADA, parameters, Limits()).finish()
    with pytest.raises(InputError, match="one question at a time"):
        make_job(qa, "highlight", [ADA], {}, Limits())


def test_a_question_that_is_alone_has_no_number(qa):
    for inputs in ({"question": "a", "context": "\u200b"}, {"question": "", "context": "a"}):
        with pytest.raises(InputError, match=r"^`(context|question)` cannot be empty"):
            make_job(qa, "answer", inputs, {}, Limits())


def test_more_than_the_service_allows_is_refused_by_its_size(qa):
    limits = Limits(max_questions=2, max_passages=3, max_windows=2)
    with pytest.raises(TooLargeError, match=r"There are 3 questions .* takes 2"):
        make_job(qa, "answer", [ADA] * 3, {}, limits)
    with pytest.raises(TooLargeError, match="has 4 passages; this service takes 3"):
        make_job(qa, "answer", {"question": "Who?", "passages": ["a"] * 4}, {}, limits)
    long = {"question": "Who?", "context": "Ada wrote it. " * 2000}
    for parameters in ({}, {"max_windows": 1000}):  # a request cannot ask for more
        with pytest.raises(InputError, match="more than max_windows 2"):
            make_job(qa, "answer", long, parameters, limits)


def test_a_limit_that_allows_nothing_is_refused():
    with pytest.raises(InputError, match="max_wait must be above 0"):
        Limits(max_wait=0)
    with pytest.raises(InputError, match="timeout must be above 0"):
        Limits(timeout=float("nan"))

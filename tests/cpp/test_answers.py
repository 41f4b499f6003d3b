"""libbskim answers as QAPipeline does: the same places, skipped ranges and shares of kept blocks."""

from dataclasses import replace

import pytest
from compare_answers import Counts, Other, compare
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.data.documents import whole_articles
from bskim_export.data.question import sample
from bskim_export.errors import BskimError, InputError
from bskim_export.export.exporter import export_bundle
from bskim_export.export.parity import limits_for

BACKENDS = ["onnxruntime", "openvino"]
ODD = "Ünïcode\u200b and 😀 emoji\ufe0f, ﬁne İstanbul\u0301 \x00 中文 \u202eabc\u202c. "


def assert_same(other, qa, calls, **options):
    """Ask both, one call after the other, and compare answers or errors."""
    counts = Counts()
    for call in calls:
        theirs = other.ask(**call, **options)
        ours = answer_or_error(qa, **call, **options, return_stats=True)
        if isinstance(ours, BskimError):
            kind = "InputError" if isinstance(ours, InputError) else "BundleError"  # not a subclass of either
            assert theirs == {"error": str(ours), "kind": kind}, (call, options)
            continue
        texts = [t if isinstance(t, str) else t["text"] for t in call.get("passages", [call.get("context")])]
        answers = [{"skipped": [], **a} for a in (ours if isinstance(ours, list) else [ours])]
        compare({"skipped": [], **theirs}, answers, texts, counts, str((call, options))[:300])
    assert counts.same, counts.report()
    return counts.questions


def answer_or_error(qa, **call):
    try:
        return qa.run(**call)
    except BskimError as error:
        return error


def pairs(questions):
    return [{"question": q.question, "context": q.context} for q in questions]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_example_answers_the_same_with_the_same_ranges_skipped(backend, cpp_tool, minilm_bundle, squad):
    other = Other(cpp_tool("bskim-answer"), minilm_bundle, ["--backend", backend])
    qa = QAPipeline(minilm_bundle, backend=backend)
    assert assert_same(other, qa, pairs(sample(squad, 40, seed=5)), top_k=3, return_skim=True) == 40


def test_whole_articles_and_their_paragraphs_as_passages_too(cpp_tool, minilm_bundle, minilm_qa, squad):
    other = Other(cpp_tool("bskim-answer"), minilm_bundle, [])
    articles = sample(whole_articles(sample(squad, 300, seed=2)), 2, seed=1)
    assert_same(other, minilm_qa, pairs(articles), top_k=2, return_skim=True)
    assert_same(other, minilm_qa, pairs(articles), max_blocks=12, return_skim=True, handle_impossible_answer=True)
    passages = [q.context for q in sample(squad, 6, seed=8)]
    titled = [{"title": f"Title {i} of", "text": text} for i, text in enumerate(passages)]
    calls = [{"question": "Who was it?", "passages": p} for p in (passages, titled, ["", *passages[:2]])]
    assert_same(other, minilm_qa, calls, top_k=4, return_skim=True)


@pytest.mark.parametrize(
    ("family", "predictor"),
    [("bert", "diagonal"), ("roberta", "diagonal"), ("distilbert", "diagonal"), ("albert", "question")],
)
def test_every_family_and_predictor_answers_the_same(family, predictor, cpp_tool, tiny_bundle, squad):
    bundle = tiny_bundle(family, predictor=predictor)
    other = Other(cpp_tool("bskim-answer"), bundle, [])
    odd = [{"question": q.question, "context": ODD + q.context[:60] + ODD} for q in sample(squad, 3, seed=4)]
    calls = pairs(sample(squad, 6, seed=3)) + odd
    assert_same(other, QAPipeline(bundle), calls, top_k=2, return_skim=True, handle_impossible_answer=True)


def test_stages_on_onnx_runtime_answer_the_same(cpp_tool, tiny, squad, exported):
    """A bundle in half precision has no graph of one window: its stages run, as those of all bundles on OpenVINO do."""
    limits = limits_for("fp16", max_answer_change=1, max_block_change=1, max_f1_drop=100)  # that of a random model
    bundle = exported("staged-fp16", tiny("bert"), questions=sample(squad, 4), precision="fp16", limits=limits)
    other = Other(cpp_tool("bskim-answer"), bundle, ["--backend", "onnxruntime"])
    questions = pairs(sample(squad, 12, seed=3))
    found = other.ask(questions=questions, return_skim=True)["results"]
    expected = QAPipeline(bundle, backend="onnxruntime").run(data=questions, return_skim=True, return_stats=True)
    counts = Counts()
    for one, theirs, ours in zip(questions, found, expected, strict=True):
        compare(theirs, [ours], [one["context"]], counts)
    assert counts.questions == 12
    assert counts.same, counts.report()


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "top_k": st.integers(-1, 6),
        "doc_stride": st.integers(-1, 400),
        "max_answer_len": st.integers(0, 40),
        "max_seq_len": st.integers(0, 400),
        "batch_size": st.integers(0, 9),
        "max_windows": st.integers(0, 6),
        "max_blocks": st.integers(0, 30),
        "handle_impossible_answer": st.booleans(),
        "align_to_words": st.booleans(),
        "return_skim": st.booleans(),
        "window_scale": st.sampled_from(["null", "logits", "window", "none", ""]),
    },
)
WORDS = st.sampled_from(
    ["the", "Ada", "Lovelace's", "1843.", "İ", "ﬁ", "é\u0301", "😀", "\u200b", "中文", "\n", "[SEP]"]
)
TEXTS = st.lists(WORDS, max_size=700).map(" ".join)


@pytest.fixture(scope="module")
def both(cpp_tool, tiny_bundle):
    bundle = tiny_bundle("bert")
    return Other(cpp_tool("bskim-answer"), bundle, []), QAPipeline(bundle)


@given(question=TEXTS.map(lambda text: text[:300]), context=TEXTS, options=OPTIONS)
@example(question="the", context="\u200b", options={})
@settings(max_examples=150, deadline=None)
def test_any_text_and_options_give_the_same_answers_or_the_same_error(both, question, context, options):
    assert_same(*both, [{"question": question, "context": context}], **options)


@given(question=TEXTS.map(lambda text: text[:100]), passages=st.lists(TEXTS, max_size=4), options=OPTIONS)
@settings(max_examples=80, deadline=None)
def test_any_passages_too(both, question, passages, options):
    assert_same(*both, [{"question": question, "passages": passages}], **options)


def test_one_question_that_cannot_be_used_is_named_among_many(both):
    other, qa = both
    many = [{"question": "Who?", "context": "Ada."}, {"question": "", "context": "Ada."}]
    with pytest.raises(BskimError) as error:
        qa.run(data=many)
    assert other.ask(questions=many)["error"] == str(error.value)


def test_a_predictor_that_does_not_pay_does_not_run_in_either(cpp_tool, tiny, squad, tmp_path):
    """The manifest says which predictors pay on which backend; both runtimes obey it."""
    from bskim_export.bundle.bundle import Bundle
    from bskim_export.bundle.manifest import CpuChoice, CpuWay

    bundle = tmp_path / "b"
    export_bundle(tiny("bert"), bundle, questions=sample(squad, 4))
    opened = Bundle.open(bundle)
    at = list(opened.thresholds.values())
    way = CpuWay("onnxruntime", "fp32", [], [1], [1], 0.01)
    Bundle.create(bundle, replace(opened.manifest, cpu=CpuChoice("any", 2, at, at, [way])))
    other = Other(cpp_tool("bskim-answer"), bundle, [])
    qa = QAPipeline(bundle)
    assert not qa.policy.scores(0)
    assert_same(other, qa, pairs(sample(squad, 6)), return_skim=True)

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bskim_export.bundle.manifest import RunDefaults
from bskim_export.data.notes import DataWarning
from bskim_export.data.question import Question, sample
from bskim_export.errors import InputError
from bskim_export.evaluate.usable import usable
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker

CONTEXT = "The lighthouse was built in 1871 by Tom Reed."
GOOD = Question("good", "When was it built?", CONTEXT, ("1871",), (28,))
LONG = Question("the long one", "the patient reports mild pain and no fever, " * 60 + "when?", CONTEXT, (), ())
WORDLESS = Question("wordless", "\x00\x01", CONTEXT, (), ())
EMPTY = Question("empty", "When?", "\x00\ufffd\x01", (), ())


@pytest.fixture(scope="module")
def maker(tiny) -> WindowMaker:
    return WindowMaker(Tokenizer.from_str(tiny().tokenizer), tiny().describe())


def options(length: int = 384, **more: int) -> RunOptions:
    return RunOptions.resolve(RunDefaults.of_length(length), length, **more)


def test_what_cannot_be_run_is_left_out_counted_and_the_first_is_named(maker):
    notes = []
    assert usable([GOOD, LONG, WORDLESS, GOOD, EMPTY], maker, options(), notes.append) == [GOOD, GOOD]
    (note,) = notes
    assert note.startswith(
        "Questions left out that cannot be run: 3, the first at id 'the long one': The question has "
    )


def test_real_questions_are_all_usable(maker, squad):
    assert usable(sample(squad, 1500), maker, options(), pytest.fail) == sample(squad, 1500)


def test_a_question_with_too_many_windows_is_left_out(maker):
    long = Question("book", "Who?", "Ada wrote it. " * 300, (), ())
    found = usable([long, GOOD], maker, options(64, max_windows=20), lambda note: None)
    assert found == [GOOD]
    assert usable([long], maker, options(64, max_windows=40), pytest.fail) == [long]


def test_if_none_is_left_the_error_says_why(maker):
    with pytest.raises(
        InputError, match=r"None of the 2 questions can be run, the first with the id 'the long one': The"
    ):
        usable([LONG, EMPTY], maker, options(), lambda note: None)
    assert usable([], maker, options(), pytest.fail) == []


def test_without_a_callback_it_is_a_warning(maker):
    with pytest.warns(DataWarning, match="the first at id 'empty'"):
        usable([GOOD, EMPTY], maker, options())


TEXTS = st.lists(
    st.sampled_from(["when ", "Ada", "\x00", "\u200b", " ", "\n", "光荣", "❤\ufe0f", "x" * 30, "\ud800"]), max_size=30
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5), st.sampled_from([5, 12, 24, 64]), st.integers(1, 6))
def test_it_is_the_window_makers_rule_and_no_other(makers, texts, length, max_windows):
    """The quick look must never let a question through that the window maker refuses, nor the other way round."""
    settings = options(length, doc_stride=length // 3, max_windows=max_windows)
    questions = [Question(str(i), "".join(q), "".join(c), (), ()) for i, (q, c) in enumerate(texts)]
    for maker in makers:
        expected = []
        for question in questions:
            try:
                maker(question.question, question.context, length, settings.doc_stride, max_windows)
            except InputError:
                continue
            expected.append(question)
        if expected or not questions:
            assert usable(questions, maker, settings, lambda note: None) == expected
        else:
            with pytest.raises(InputError, match="None of the"):
                usable(questions, maker, settings, lambda note: None)


@pytest.fixture(scope="module")
def makers(tiny, tokenizers) -> list[WindowMaker]:
    """One of each kind of tokenizer: WordPiece, byte-level BPE, Unigram."""
    texts = [tokenizers[family] for family in ("bert", "roberta", "albert")]
    return [WindowMaker(Tokenizer.from_str(text), tiny("roberta").describe()) for text in texts]


def test_most_questions_get_no_more_than_a_quick_look(maker, squad):
    class Counting(WindowMaker):
        calls = 0

        def __call__(self, *arguments):
            self.calls += 1
            return super().__call__(*arguments)

    counting = Counting(maker.tokenizer, maker.model)
    usable([*sample(squad, 200), LONG], counting, options(), lambda note: None)
    assert counting.calls == 1

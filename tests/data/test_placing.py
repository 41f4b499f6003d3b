import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.metrics import normalize_answer
from bskim_export.data.notes import Notes
from bskim_export.data.placing import BLANK, MOVED, NOWHERE, TIDIED, UNPLACED, find_near, fold, place_answers
from bskim_export.data.question import Question, sample
from bskim_export.data.visible import stands_alone, visible_range
from bskim_export.errors import InputError

CONTEXT = "Ada met Bob. Bob met ADA."


def placed(answers, starts, context=CONTEXT, question="Who?", **more) -> tuple[Question | None, list[str]]:
    notes = Notes()
    found = place_answers(Question("1", question, context, tuple(answers), tuple(starts), **more), "here", notes)
    return found, [line.split(":")[0] for line in notes.lines()]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("Bob", 8, (8, 11)),
        ("Bob", 9, (8, 11)),
        ("Bob", 12, (13, 16)),
        ("Bob", -1, (8, 11)),
        ("Bob", 999, (13, 16)),
        ("ADA", -4, (21, 24)),  # an offset is not counted from the end
        ("bob", 13, (13, 16)),  # another case, but where the file says
        ("Ada", 20, (0, 3)),  # verbatim before another case, however far
        ("aDa", 20, (21, 24)),
        ("Bo.", 8, None),  # no regular expression
        ("Eve", 0, None),
        (CONTEXT + "!", 0, None),
    ],
)
def test_the_nearest_place(text, start, expected):
    assert find_near(text, CONTEXT, start) == expected


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("11", -1, "11 churches"),
        ("art", 0, "art of bread"),
        ("he", 0, "he town"),  # nowhere alone: inside a word
        ("her", 0, "her partner"),
        ("paris", 0, "Paris, a"),  # another case, but a whole word
        ("Pari", 0, "Paris, a"),
        ("town", 3, "town"),
        ("church", 0, "churches"),
    ],
)
def test_whole_words_come_first(text, start, expected):
    context = (
        "In 2011 the town had 11 churches, and she knew the art of bread; her partner sold it in Paris, a Parisian."
    )
    place = context.index(expected)
    assert find_near(text, context, start) == (place, place + len(text))
    # What the file says outright is believed, even inside a word.
    inside = context.index("rtner")
    assert find_near("rt", context, inside) == (inside, inside + 2)


@pytest.mark.parametrize(
    ("text", "context", "place"),
    [("京", "東京は大きい。京は古い。", 1), ("大学", "東京大学と京都大学", 2), ("กรุงเทพ", "ที่กรุงเทพมหานคร", 3)],
)
def test_languages_without_spaces_have_no_words_to_be_inside_of(text, context, place):
    assert find_near(text, context, 0) == (place, place + len(text))


@given(st.text("ab1 .-é\u0301人", max_size=40), st.text("ab1é人", min_size=1, max_size=3), st.integers(-9, 50))
def test_no_whole_word_is_passed_over_and_none_is_nearer(context, text, start):
    """Against the definition, written out: every place, best first."""
    size = len(text)
    places = [i for i in range(len(context) - size + 1) if fold(context[i : i + size]) == fold(text)]
    if start in places:
        best = start
    else:
        best = min(
            places,
            key=lambda i: (not stands_alone(context, i, i + size), context[i : i + size] != text, abs(i - start), i),
            default=None,
        )
    assert find_near(text, context, start) == (None if best is None else (best, best + size))


@given(st.text())
def test_folding_keeps_offsets(text):
    assert len(fold(text)) == len(text)
    assert fold(fold(text)) == fold(text)


def test_a_text_that_is_everywhere_inside_words_takes_no_long_look():
    context = "a" * 50_000
    found, _ = placed(["a"] * 500, range(10**6, 10**6 + 500), context)
    assert set(found.starts) == {49_999}


@given(st.text(min_size=1), st.data())
def test_what_stands_at_its_offset_is_found_there(context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    assert find_near(context[start:end], context, start) == (start, end)


@given(st.text("abAB. ", min_size=1, max_size=30), st.text("abAB", min_size=1, max_size=3), st.integers(-5, 40))
def test_what_is_found_stands_there_and_is_missed_only_if_it_stands_nowhere(context, text, start):
    found = find_near(text, context, start)
    if found is None:
        assert text.lower() not in context.lower()
    else:
        assert context[found[0] : found[1]].lower() == text.lower()


def test_real_questions_pass_unchanged(squad):
    notes = Notes()
    for question in sample(squad, 500):
        assert place_answers(question, "here", notes) == question
    assert notes.lines() == []


@given(st.integers(-3, 3))
def test_real_answers_come_back_from_a_shifted_offset(squad, shift):
    for question in sample(squad, 20, seed=2):
        notes = Notes()
        moved = Question(question.id, question.question, question.context, question.answers,
                         tuple(s + shift for s in question.starts))  # fmt: skip
        found = place_answers(moved, "here", notes)
        assert [a.lower() for a in found.answers] == [a.lower() for a in question.answers]
        assert all(found.context[s:].startswith(a) for a, s in zip(found.answers, found.starts, strict=True))
        assert len(notes.lines()) <= 1


@pytest.mark.parametrize("mark", [" ", "\n", "\u200c", "\ufeff", "\u200f", "\u00ad", "\x00"])
def test_what_nobody_sees_at_an_answers_edge_is_left_out_of_its_span(mark):
    context = f"Ada met {mark}Bob{mark}. Bob met ADA."
    found, notes = placed([f"{mark}Bob{mark}"], [8], context)
    assert (found.answers, found.starts, found.gold) == (("Bob",), (9,), (f"{mark}Bob{mark}",))
    assert notes == [TIDIED]


def test_an_answer_that_stands_there_but_for_its_white_space_is_found():
    found, notes = placed(["ADA \n"], [21], "Ada met Bob. Bob met ADA")
    assert (found.answers, found.starts) == (("ADA",), (21,))
    assert notes == [TIDIED]


EDGES = st.text(" \n\u00a0\u200c\ufeffb.", max_size=3)


@given(EDGES, st.sampled_from(["Bob", "the", "ADA.", "Jose\u0301"]), EDGES, EDGES)
def test_scoring_sees_what_the_file_has(before, core, behind, text):
    """Tidying never changes the gold texts, so EM and F1 are those of the official script on the file as it is."""
    answer = before + core + behind
    found, _ = placed([answer], [len(text)], text + answer + text)
    assert [normalize_answer(g) for g in found.gold] == [normalize_answer(answer)]
    assert found.gold == (answer,)
    start, end = visible_range(answer)
    assert (found.answers, found.starts) == ((answer[start:end],), (len(text) + start,))


def test_a_wrong_offset_is_corrected_and_counted():
    found, notes = placed(["Bob"], [0])
    assert found.starts == (8,)
    assert found.accepted == ()
    assert notes == [MOVED]


def test_an_answer_in_another_case_takes_the_contexts():
    found, notes = placed(["bob"], [8])
    assert (found.answers, found.starts, found.gold) == (("Bob",), (8,), ("bob",))
    assert notes == []


def test_an_answer_that_stands_nowhere_is_kept_for_scoring():
    found, notes = placed(["Bob", "Robert"], [8, 8])
    assert (found.answers, found.starts, found.gold) == (("Bob",), (8,), ("Bob", "Robert"))
    assert notes == [UNPLACED]


def test_a_question_with_no_answer_that_stands_anywhere_is_dropped():
    assert placed(["Robert"], [8]) == (None, [NOWHERE])
    assert placed([], [], accepted=("Robert",)) == (None, [NOWHERE])


def test_an_impossible_question_stays():
    found, notes = placed([], [])
    assert found.gold == ()
    assert notes == []


@pytest.mark.parametrize("blank", [{"question": " "}, {"context": "\n"}, {"question": "\u200b"}, {"context": "\x00"}])
def test_what_is_blank_is_dropped(blank):
    assert placed([], [], **blank) == (None, [BLANK])


@pytest.mark.parametrize("answer", ["", " \t", "\u200b", "\ufeff "])
def test_a_blank_answer_is_refused(answer):
    with pytest.raises(InputError, match="here: an answer is blank"):
        placed([answer], [0])


def test_notes_count_and_keep_the_first_place():
    notes = Notes()
    for n in range(1200):
        notes.add("Questions dropped", f"line {n}")
    notes.add("Answers moved", "line 7")
    assert notes.lines() == [
        "Questions dropped: 1,200, the first at line 0",
        "Answers moved: 1, the first at line 7",
    ]

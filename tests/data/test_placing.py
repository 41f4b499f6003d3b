import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.notes import Notes
from bskim_export.data.placing import BLANK, MOVED, NOWHERE, UNPLACED, find_near, place_answers
from bskim_export.data.question import Question, sample
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


@pytest.mark.parametrize("blank", [{"question": " "}, {"context": "\n"}])
def test_what_is_blank_is_dropped(blank):
    assert placed([], [], **blank) == (None, [BLANK])


@pytest.mark.parametrize("answer", ["", " \t"])
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

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.visible import is_blank, stands_alone, visible_range

MARKS = (" ", "\n", "\t", "\u00a0", "\u3000", "\x00", "\x7f", "\u00ad", "\u200b", "\u200c", "\u200d", "\u200e",
         "\u200f", "\u202b", "\u2060", "\u2066", "\ufeff", "\u180e", "\u3164", "\U000e0001")  # fmt: skip
"""White space and marks that nobody sees."""
TEXTS = st.text(
    st.one_of(st.sampled_from(MARKS), st.sampled_from("aé1_-\u0301人ไ❤\ufe0f"), st.characters()), max_size=12
)


@pytest.mark.parametrize("mark", MARKS)
def test_marks_at_the_edges_are_left_out_and_those_inside_are_not(mark):
    assert visible_range(f"{mark}{mark}Mira{mark}Holt{mark}") == (2, 11)
    assert is_blank(mark * 3)


@pytest.mark.parametrize(
    "text", ["Jose\u0301", "❤\ufe0f", "葛\U000e0100", "🏴\U000e0067\U000e0062\U000e007f", "ᠠ\u180b", "א\u05b7"]
)
def test_what_belongs_to_a_visible_character_stays_with_it(text):
    assert visible_range(f"\u200f{text}\u200f ") == (1, 1 + len(text))


@pytest.mark.parametrize("text", ["", "\ufe0f", " \ufe0f\ufe0f", "\u200b\ufeff"])
def test_a_selector_that_chooses_nothing_is_not_seen(text):
    assert is_blank(text)
    assert visible_range(text) == (0, 0)


@given(TEXTS)
def test_a_visible_part_is_all_that_is_visible(text):
    start, end = visible_range(text)
    part = text[start:end]
    assert visible_range(part) == (0, len(part))
    assert is_blank(text[:start])
    assert is_blank(text[end:])
    assert is_blank(text) == (not part)
    assert part.strip() == part


@pytest.mark.parametrize(
    ("text", "part", "alone"),
    [
        ("In 2011", "11", False),
        ("In 11 parts", "11", True),
        ("(11)", "11", True),
        ("partner", "art", False),
        ("Paris-based", "Paris", True),
        ("snake_case", "case", False),
        ("Jose\u0301 Pérez", "Jose", False),  # the accent belongs to the e
        ("Jose\u0301 Pérez", "Jose\u0301", True),
        ("की बात", "क", False),  # a vowel sign belongs to its consonant
        ("می\u200cخواهم", "می", False),  # a joiner parts nothing
        ("Mira\u200c in May", "Mira", True),
        ("co\u00adoperate", "co", False),
        ("東京大学", "京大", True),
        ("ラーメンを食べる", "ラーメン", True),
        ("ภาษาไทย", "ไทย", True),
        ("ที่นี่", "ท", False),
        ("在2011年", "2011", True),
        ("在2011年", "11", False),
        ("한국어를", "한국어", False),  # Korean has spaces: this is inside a word
        ("", "", True),
    ],
)
def test_where_words_begin_and_end(text, part, alone):
    start = text.index(part)
    assert stands_alone(text, start, start + len(part)) == alone


@given(TEXTS)
def test_a_whole_text_stands_alone(text):
    assert stands_alone(text, 0, len(text))

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bskim_export.runtime.sentences import sentence_ranges


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_ranges(text)]


@pytest.mark.parametrize(("text", "sentences"), [
    ("Dr. J. R. R. Tolkien paid $3.50 on Jan. 5, 2010. Who did not?",
     ["Dr. J. R. R. Tolkien paid $3.50 on Jan. 5, 2010.", "Who did not?"]),
    ("It fell by 5.3 percent, i.e. more than U.S. averages. So what.",
     ["It fell by 5.3 percent, i.e. more than U.S. averages.", "So what."]),
    ("See www.example.com. It costs 1,000.5 or .5 of it.", ["See www.example.com.", "It costs 1,000.5 or .5 of it."]),
    ("One.\n\nTwo without a full stop\n\nThree!", ["One.", "Two without a full stop", "Three!"]),
    ("日本語の文。次の文です。", ["日本語の文。", "次の文です。"]),
    ("هذا نص. وهذا آخر؟ نعم", ["هذا نص.", "وهذا آخر؟", "نعم"]),
    ("यह है। दूसरा।", ["यह है।", "दूसरा।"]),
    ("", []), (" \n ", []), ("word", ["word"]),
])  # fmt: skip
def test_sentences_are_those_that_a_reader_sees(text, sentences):
    assert cut(text) == sentences


PIECES = ["word", " ", "3.5", "1,000", "U.S.", ". ", "! ", "? ", "\n\n", "。", "؟ ", "।", "é", "e\u0301", "\x00",
          "\ud800", "\U0001f600", "Dr. ", "中文", "שלום", "\u200b", "...", "\t"]  # fmt: skip
TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.text(st.characters(exclude_categories=()), max_size=200),
)


@settings(max_examples=2000, deadline=None)
@given(TEXT)
@example("1.5" * 50)
@example("." * 1000)
def test_ranges_are_valid_in_order_and_leave_out_nothing_but_white_space(text):
    ranges = sentence_ranges(text)
    place = 0
    for start, end in ranges:
        assert place <= start < end <= len(text)
        assert not text[place:start].strip()
        assert text[start:end].strip() == text[start:end]
        place = end
    assert not text[place:].strip()
    inside = {i for m in re.finditer(r"(?a:\w+(?:[.,]\d+)*)", text) for i in range(m.start() + 1, m.end())}
    numbers = {i for m in re.finditer(r"[0-9]+(?:[.,][0-9]+)+", text) for i in range(m.start() + 1, m.end())}
    starts = {start for start, _ in ranges}
    assert not starts & numbers
    assert not starts & {i for i in inside if text[i - 1].isalnum() and text[i].isalnum()}

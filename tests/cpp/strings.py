"""Strings that tokenizers may disagree on: a seeded stream of them, written with hypothesis."""

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_RANGES = [
    (0x00, 0x1F),  # controls
    (0x20, 0x7E),
    (0x7F, 0xA0),
    (0xA1, 0x24F),  # Latin
    (0x250, 0x2FF),
    (0x300, 0x36F),  # combining marks
    (0x370, 0x3FF),  # Greek
    (0x400, 0x52F),  # Cyrillic
    (0x590, 0x5FF),  # Hebrew
    (0x600, 0x6FF),  # Arabic
    (0x900, 0x97F),  # Devanagari
    (0xE00, 0xE7F),  # Thai
    (0xF00, 0xFFF),  # Tibetan
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1E00, 0x1FFF),  # Latin and Greek, precomposed
    (0x2000, 0x206F),  # spaces, joiners, directions
    (0x2070, 0x218F),
    (0x2460, 0x24FF),
    (0x2C00, 0x2DFF),
    (0x3000, 0x30FF),  # marks of CJK, kana
    (0x3130, 0x33FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA640, 0xA7FF),
    (0xAC00, 0xD7FF),  # Hangul
    (0xE000, 0xE0FF),  # private use
    (0xF900, 0xFAFF),
    (0xFB00, 0xFDFF),  # ligatures, presentation forms
    (0xFE00, 0xFE6F),  # variation selectors, half marks, small forms
    (0xFE70, 0xFFFF),
    (0x10400, 0x1044F),
    (0x11000, 0x1147F),
    (0x1D15E, 0x1D1EF),  # music, which decomposes
    (0x1D400, 0x1D7FF),
    (0x1E900, 0x1E95F),
    (0x1F1E6, 0x1F1FF),  # flags
    (0x1F300, 0x1FAFF),  # emoji
    (0x20000, 0x2FA1F),
    (0xE0000, 0xE01EF),  # tags
    (0x10FF00, 0x10FFFF),
]
_SEQUENCES = [
    "\u0130", "\u0131", "I\u0307", "i\u0307", "ß", "\u1e9e", "SS", "ﬁ", "ﬃ", "ﬅ", "ĳ", "ŉ", "ǰ",
    "Σ", "ς", "ΑΣ", "ΐ", "e\u0301", "é", "e\u0301\u0323", "e\u0323\u0301", "\u0344", "\u0958",
    "\u212b", "\u2126", "½", "²", "①", "㍿", "㌀", "\ufdfa", "\u1100\u1161\u11a8", "\u1100\u1161",
    "각", "가\u11a8", "\u11a8", "が", "か\u3099", "ｶﾞ", "ﾊﾟ", "\u3000", "👩\u200d👩\u200d👧", "👍🏽",
    "❤\ufe0f", "🏳\ufe0f\u200d🌈", "🇩🇪", "🇩🇪🇫", "1\ufe0f\u20e3", "\u200b", "\u200c", "\u200d",
    "\u00ad", "\ufeff", "\u202e", "\u2028", "\u2029", "\x85", "\xa0", "\x1c", "\ufffd", "\ud800",
    "\udfff", "\ud83d", "\u0378", "\U000e0fff", "\uffff", "\U0010ffff", "\u0e33", "\u0e4d\u0e32",
    "\u0fb2\u0f80", "क्षि", "שָׁלוֹם", "مرحبا", "لا", "``", "''", "'s", "'S", "'ll", "'re", "'ve",
    "n't", "’s", "  ", "   ", "\t", "\r\n", "\n\n", " \n ", "▁", "▁▁", "Ġ", "##", "##ing", "中文",
    "中a国", "Tōkyō", "naïve", "U.S.A.", "$3.14", "1,000", "e-mail", "C++", "x²", "10⁻³", "№5", "…",
]  # fmt: skip
_WORDS = ["the", "The", "THE", "of", "1969", "Apollo", "moon's", "(landing)", "unbelievable", "a", "I"]
_TOKENS = ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "[cls]", "[ SEP ]", "<s>", "</s>", "<mask>", "<unk>", "<pad>"]


def pieces(tokens: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """Return a strategy for a short part of a text. `tokens` are those that are found before a text is split."""
    of_range = st.sampled_from(_RANGES).flatmap(lambda r: st.integers(*r)).map(chr)
    known = st.sampled_from([*_TOKENS, *tokens])
    return st.one_of(
        of_range,
        st.lists(of_range, min_size=2, max_size=6).map("".join),
        st.characters(codec=None),
        st.characters(categories=("Cn", "Co", "Cs", "Cf", "Cc")),
        st.characters(categories=("Mn", "Mc", "Me")).flatmap(lambda c: st.integers(1, 4).map(lambda n: "a" + c * n)),
        st.characters(categories=("Lu", "Lt", "Nl", "No", "Zs", "Sk", "So")),
        st.sampled_from(_SEQUENCES),
        st.sampled_from(_SEQUENCES),
        st.sampled_from(_WORDS),
        st.sampled_from([" ", " ", " ", ", ", ".", "-", "  "]),
        known,
        st.tuples(
            st.sampled_from(["a", "é", " ", "_", "7", "中"]), known, st.sampled_from(["b", " ", "\u0301", "-"])
        ).map("".join),
    )


def _long_words() -> st.SearchStrategy[str]:
    part = st.one_of(st.sampled_from([*_SEQUENCES, *_WORDS]), st.characters(codec=None))
    return st.builds(lambda a, n, b: a * n + b, part, st.integers(20, 300), part)


def texts(tokens: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """Return a strategy for a whole text."""
    part = pieces(tokens)
    short = st.lists(part, max_size=25).map("".join)
    spaced = st.lists(part, max_size=25).map(" ".join)
    return st.one_of(short, short, short, spaced, spaced, st.builds("{}{}{}".format, short, _long_words(), short))


def strings(count: int, start: int = 0, tokens: Sequence[str] = ()) -> list[str]:
    """Return as many texts, the same ones for the same arguments. They may have lone surrogates."""
    found: list[str] = []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts(tokens))
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found[:count]

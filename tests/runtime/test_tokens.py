"""A long context is tokenised in pieces, and its tokens are those that it has as a whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bskim_export.runtime import tokens
from bskim_export.runtime.tokens import encode, splits_at_spaces

PARTS = [
    *("Ada", "wrote", "1843", "isn't", "naïve", "东京", "[SEP]", "</s>", "<mask>", ".", ",", "!?", "\n", "\t", "  "),
    *("\x00", "\u0301", "e\u0301", "\u200b", "\ufffd", "😀", "antidisestablishmentarianism", "a", "\r\n", "\xa0", ""),
    "x" * 120,
]
TEXT = st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from([" ", " ", " ", ""])), min_size=1, max_size=60).map(
    lambda pairs: "".join(a + b for a, b in pairs)
)


@pytest.fixture(scope="module")
def families(tokenizers):
    return {name: Tokenizer.from_str(text) for name, text in tokenizers.items()}


def assert_same(tokenizer, question, context, piece):
    found = encode(tokenizer, question, context, piece)
    expected = tokenizer.encode(question, context)
    assert found.ids.tolist() == expected.ids
    assert found.types.tolist() == expected.type_ids
    assert found.offsets.tolist() == [list(pair) for pair in expected.offsets]
    assert found.words.tolist() == [-1 if w is None else w for w in expected.word_ids]
    assert found.sequence.tolist() == [-1 if s is None else s for s in expected.sequence_ids]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_pieces_have_the_tokens_of_the_whole(families, data):
    name = data.draw(st.sampled_from(sorted(families)))
    assert_same(families[name], "Who wrote it?", data.draw(TEXT), data.draw(st.integers(1, 40)))


@pytest.mark.parametrize("piece", [500, 5000])
def test_real_passages_in_pieces_have_the_tokens_of_the_whole(families, squad, piece):
    text = "\n\n".join(dict.fromkeys(q.context for q in squad[:400]))
    for tokenizer in families.values():
        assert_same(tokenizer, squad[0].question, text, piece)


def test_kinds_that_may_be_cut(families):
    assert [name for name, tokenizer in families.items() if splits_at_spaces(tokenizer)] == [
        name for name in families if not name.startswith(("roberta", "albert"))
    ]


def test_a_long_context_is_cut(families):
    lengths = []
    encoded = Tokenizer.encode

    class Noted:
        def __init__(self, tokenizer):
            self._own = tokenizer

        def __getattr__(self, name):
            return getattr(self._own, name)

        def encode(self, *texts, **options):
            lengths.append(len(texts[-1]))
            return encoded(self._own, *texts, **options)

    encode(Noted(families["bert"]), "Who?", "Ada wrote it. " * 20_000)
    assert len(lengths) >= 5
    assert max(lengths) < tokens.PIECE + 100
    assert sum(lengths) == len("Ada wrote it. ") * 20_000

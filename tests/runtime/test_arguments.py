import pytest

from bskim_export.errors import InputError
from bskim_export.runtime.arguments import Example, parse_examples

AB = {"question": "a", "context": "b"}
CD = {"question": "c", "context": "d"}


@pytest.mark.parametrize(
    ("args", "question", "context", "data", "expected"),
    [
        ((), "a", "b", None, ["ab"]),
        ((), ["a", "c"], "b", None, ["ab", "cb"]),
        ((), ("a", "c"), ("b", "d"), None, ["ab", "cd"]),
        ((), ["a"], "b", None, ["ab"]),
        ((), "a", ["b"], None, ["ab"]),
        ((AB,), None, None, None, ["ab"]),
        ((AB, CD), None, None, None, ["ab", "cd"]),
        (([AB, CD],), None, None, None, ["ab", "cd"]),
        (((AB, CD), AB), None, None, None, ["ab", "cd", "ab"]),
        ((), None, None, AB, ["ab"]),
        ((), None, None, [AB, CD], ["ab", "cd"]),
        ((AB,), None, None, CD, ["ab", "cd"]),
        (({"question": ["a", "c"], "context": "b"},), None, None, None, ["ab", "cb"]),
        (({"question": ["a", "c"], "context": ["b", "d"]}, AB), None, None, None, ["ab", "cd", "ab"]),
        ((Example("a", "b"), [Example("c", "d")]), None, None, None, ["ab", "cd"]),
        (({**AB, "id": "another key"},), None, None, None, ["ab"]),
    ],
)
def test_every_way_to_ask_gives_its_examples_in_order(args, question, context, data, expected):
    assert parse_examples(args, question, context, data) == [Example(q, c) for q, c in expected]


def test_texts_are_passed_on_unchanged():
    question, context = "  Was ist das?\n", "\tŻółć 東京 \u200b"
    assert parse_examples((), question, context, None) == [Example(question, context)]


@pytest.mark.parametrize(("question", "context"), [(None, None), ("a", None), (None, "b"), (["a"], None)])
def test_too_little_is_refused(question, context):
    with pytest.raises(InputError, match=r"Pass question= and context=, or a dict with both\."):
        parse_examples((), question, context, None)


@pytest.mark.parametrize(
    ("args", "question", "context", "data"),
    [((AB,), "a", "b", None), ((AB,), "a", None, None), ((), None, "b", [AB]), (([],), "a", "b", None)],
)
def test_both_ways_at_once_are_refused(args, question, context, data):
    with pytest.raises(InputError, match=r"Pass either dicts .* or question= and context=, not both\."):
        parse_examples(args, question, context, data)


@pytest.mark.parametrize(
    ("args", "question", "context", "data"),
    [(([],), None, None, None), ((), None, None, []), ((), [], "b", None), ((), [], [], None)],
)
def test_an_empty_list_is_refused(args, question, context, data):
    with pytest.raises(InputError, match="There are no questions: the list is empty"):
        parse_examples(args, question, context, data)


@pytest.mark.parametrize(
    ("question", "context", "counts"),
    [
        (["a", "c"], ["b"], "2 questions, 1 contexts"),
        ("a", ["b", "d"], "1 questions, 2 contexts"),
        (["a"], [], "1 questions, 0 contexts"),
    ],
)
def test_different_lengths_are_counted(question, context, counts):
    with pytest.raises(InputError, match=f"don't have the same lengths: {counts}"):
        parse_examples((), question, context, None)


@pytest.mark.parametrize(
    ("question", "context", "message"),
    [
        ("", "b", "`question` cannot be empty"),
        ("a", "", "`context` cannot be empty"),
        (["a", ""], "b", "`question` cannot be empty"),
        (["a", "c"], ["b", ""], "`context` cannot be empty"),
        (3, "b", "`question` must be a string, got int"),
        ("a", b"b", "`context` must be a string, got bytes"),
        (["a", None], "b", "`question` must be a string, got NoneType"),
        ("a", {"text": "b"}, "`context` must be a string, got dict"),
        ([["a"]], "b", "`question` must be a string, got list"),
    ],
)
@pytest.mark.parametrize("as_dict", [False, True])
def test_texts_that_cannot_be_used_are_named(question, context, message, as_dict):
    asked = {"question": question, "context": context}
    with pytest.raises(InputError, match=message):
        parse_examples(*(((asked,), None, None, None) if as_dict else ((), question, context, None)))


@pytest.mark.parametrize("missing", ["question", "context"])
def test_a_dict_without_a_key_is_refused(missing):
    item = {key: text for key, text in AB.items() if key != missing}
    with pytest.raises(InputError, match=f"has no '{missing}'; it needs 'question' and 'context'"):
        parse_examples((AB, item), None, None, None)


@pytest.mark.parametrize(("item", "kind"), [("a question", "str"), (7, "int"), (None, "NoneType"), ([AB], "list")])
def test_what_is_no_dict_is_refused(item, kind):
    with pytest.raises(InputError, match=f"A question is a dict with 'question' and 'context', got {kind}"):
        parse_examples(([item],), None, None, None)


def test_errors_are_value_errors():
    with pytest.raises(ValueError, match="cannot be empty"):
        parse_examples((), "", "b", None)

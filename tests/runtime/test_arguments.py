import datasets
import numpy as np
import pytest

from bskim_export.errors import InputError
from bskim_export.runtime.arguments import Example, parse_call

AB = {"question": "a", "context": "b"}
CD = {"question": "c", "context": "d"}
ROWS = datasets.Dataset.from_dict({"question": ["a", "c"], "context": ["b", "d"]})


class Series:
    """A column as pandas has it: iterable, with a length, and no sequence."""

    def __init__(self, values):
        self._values = values

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


class Table:
    """A table as pandas and polars have it: iterating gives the names of its columns."""

    columns = ("question", "context")
    dtypes = ("str", "str")
    shape = (1, 2)

    def __iter__(self):
        return iter(self.columns)


def read(args=(), question=None, context=None, data=None):
    return list(parse_call(args, question, context, data).items)


@pytest.mark.parametrize(
    ("args", "question", "context", "data", "expected"),
    [
        ((), "a", "b", None, ["ab"]),
        (("a", "b"), None, None, None, ["ab"]),
        ((), np.str_("a"), np.str_("b"), None, ["ab"]),
        ((), ["a", "c"], "b", None, ["ab", "cb"]),
        ((), ("a", "c"), ("b", "d"), None, ["ab", "cd"]),
        ((), np.array(["a", "c"]), Series(["b", "d"]), None, ["ab", "cd"]),
        ((), ROWS["question"], ROWS["context"], None, ["ab", "cd"]),
        ((), (q for q in "ac"), iter("bd"), None, ["ab", "cd"]),
        ((), (q for q in "ac"), "b", None, ["ab", "cb"]),
        ((), ["a"], "b", None, ["ab"]),
        ((), "a", ["b"], None, ["ab"]),
        ((AB,), None, None, None, ["ab"]),
        ((AB, CD), None, None, None, ["ab", "cd"]),
        (([AB, CD],), None, None, None, ["ab", "cd"]),
        ((ROWS,), None, None, None, ["ab", "cd"]),
        ((iter([AB, CD]),), None, None, None, ["ab", "cd"]),
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
    assert read(args, question, context, data) == [Example(q, c) for q, c in expected]


@pytest.mark.parametrize(
    ("args", "question", "several", "total"),
    [
        (("a", "b"), None, False, 1),
        ((AB,), None, False, 1),
        ((Example("a", "b"),), None, False, 1),
        (([AB],), None, True, 1),
        ((AB, CD), None, True, 2),
        ((iter([AB]),), None, True, None),
        (({"question": ["a"], "context": "b"},), None, True, 1),
        ((), ["a", "c"], True, 2),
        ((), iter("ac"), True, None),
    ],
)
def test_a_list_is_told_from_one_question(args, question, several, total):
    call = parse_call(args, question, "b" if question else None, None)
    assert (call.several, call.total) == (several, total)


def test_a_generator_is_read_no_further_than_needed():
    asked = []

    def questions():
        for letter in "abc":
            asked.append(letter)
            yield {"question": letter, "context": "x"}

    items = parse_call((questions(),), None, None, None).items
    assert asked == []
    assert next(items) == Example("a", "x")
    assert asked == ["a"]


def test_texts_are_passed_on_unchanged():
    question, context = "  Was ist das?\n", "\tŻółć 東京 \u200b"
    assert read((question, context)) == [Example(question, context)]


@pytest.mark.parametrize(("question", "context"), [(None, None), ("a", None), (None, "b"), (["a"], None)])
def test_too_little_is_refused(question, context):
    with pytest.raises(InputError, match=r"Pass question= and context=, two strings, or a dict with both\."):
        read((), question, context)


@pytest.mark.parametrize(
    ("args", "question", "context", "data"),
    [
        ((AB,), "a", "b", None),
        ((AB,), "a", None, None),
        (("a",), None, "b", None),
        ((), None, "b", [AB]),
        (([],), "a", "b", None),
    ],
)
def test_both_ways_at_once_are_refused(args, question, context, data):
    with pytest.raises(InputError, match=r"Pass either dicts .* or question= and context=, not both\."):
        read(args, question, context, data)


def test_an_empty_list_gives_nothing():
    assert read(([],)) == read(data=[]) == read(question=[], context="b") == read(question=[], context=[]) == []


@pytest.mark.parametrize(
    ("question", "context", "counts"),
    [
        (["a", "c"], ["b"], "2 questions, 1 contexts"),
        ("a", ["b", "d"], "1 questions, 2 contexts"),
        (["a"], [], "1 questions, 0 contexts"),
        (iter("ac"), iter("b"), "2 questions, 1 contexts"),
        (iter("a"), iter("bd"), "1 questions, 2 contexts"),
    ],
)
def test_different_lengths_are_counted(question, context, counts):
    with pytest.raises(InputError, match=f"don't have the same lengths: {counts}"):
        read((), question, context)


@pytest.mark.parametrize(
    ("question", "context", "message"),
    [
        ("", "b", "`question` cannot be empty."),
        ("a", "", "`context` cannot be empty."),
        (["a", ""], "b", "`question` cannot be empty."),
        (["a", "c"], ["b", ""], "`context` cannot be empty."),
        (3, "b", "`question` must be a string, got int."),
        ("a", b"b", "`context` must be a string, got bytes."),
        (["a", None], "b", "`question` must be a string, got NoneType."),
        ("a", {"text": "b"}, "`context` must be a string, got dict."),
        ([["a"]], "b", "`question` must be a string, got list."),
    ],
)
@pytest.mark.parametrize("as_dict", [False, True])
def test_texts_that_cannot_be_used_have_their_error_in_their_place(question, context, message, as_dict):
    items = read(({"question": question, "context": context},)) if as_dict else read((), question, context)
    assert [str(one) for one in items if isinstance(one, InputError)] == [message]
    assert isinstance(items[-1], InputError)  # in each case the last one


@pytest.mark.parametrize("missing", ["question", "context"])
def test_a_dict_without_a_key_is_refused(missing):
    item = {key: text for key, text in AB.items() if key != missing}
    said = f"The dict has no '{missing}'; it needs 'question' and 'context', or 'passages'."
    with pytest.raises(InputError, match=said):
        read((AB, item))
    first, second = read(([AB, item],))
    assert (first, str(second)) == (Example("a", "b"), said)


@pytest.mark.parametrize(("item", "kind"), [("a question", "str"), (7, "int"), (None, "NoneType"), ([AB], "list")])
def test_what_is_no_dict_has_its_error_in_its_place(item, kind):
    said = f"A question is a dict with 'question' and 'context', got {kind}."
    first, second = read(([AB, item],))
    assert (first, str(second)) == (Example("a", "b"), said)


@pytest.mark.parametrize("item", ["a question", b"bytes", 7])
def test_what_is_nothing_of_all_that_is_refused(item):
    with pytest.raises(InputError, match="A question is a dict"):
        read((item,))


def test_a_table_is_refused_with_the_way_to_pass_it():
    with pytest.raises(InputError, match=r"pass question=table\['question'\], context=table\['context'\]"):
        read((Table(),))


def test_errors_are_value_errors():
    assert isinstance(read((), "", "b")[0], ValueError)

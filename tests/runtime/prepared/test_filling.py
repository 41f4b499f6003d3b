"""Documents into a store: which are prepared, which stay, and which leave it."""

import pytest

from bskim_export.errors import InputError
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.prepared import filling
from bskim_export.runtime.prepared.documents import Document
from bskim_export.runtime.prepared.filling import fill, make_plan
from bskim_export.runtime.prepared.prepared import join
from bskim_export.runtime.prepared.store import Store


def documents(**texts):
    return [Document(name, Passage(text), f"{name}.txt") for name, text in texts.items()]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def put(store, split_qa):
    """Return a function: documents by their names -> what became of them."""

    def run(**texts):
        answerer = split_qa.split_answerer()
        plan = make_plan(store, documents(**texts), answerer.identity)
        return fill(store, documents(**texts), plan, answerer)

    return run


def texts(store):
    """Return the texts in a store by name; no name is there twice."""
    found = [(n, p.text) for one in store.load() for n, p in zip(one.names, one.passages, strict=True)]
    assert len(found) == len(dict(found))
    return dict(found)


def test_what_is_prepared_is_what_a_pipeline_prepares(put, store, split_qa):
    given = {"a": "Ada wrote it in 1843. " * 30, "b": "The river is long."}
    filled = put(**given)
    (found,) = store.load()
    expected = join([split_qa.prepare(text, name=name) for name, text in given.items()])
    assert found.states.tobytes() == expected.states.tobytes()
    assert found.features.tobytes() == expected.features.tobytes()
    assert (filled.documents, filled.prepared, filled.before) == (2, 2, 0)
    assert filled.tokens == filled.store_tokens == expected.tokens.sum()
    assert filled.store_bytes == store.files()[0].stat().st_size


def test_only_what_is_not_there_is_prepared(put, store):
    put(a="One.", b="Two.")
    again = put(a="One.", b="Two.")
    assert (again.prepared, again.before, again.tokens) == (0, 2, 0)
    more = put(a="One.", c="Three.")
    assert (more.prepared, more.before, more.store_documents) == (1, 1, 3)
    assert texts(store) == {"a": "One.", "b": "Two.", "c": "Three."}


def test_a_name_stands_for_its_newest_text(put, store):
    put(a="One.", b="Two.", c="Three.")
    changed = put(a="Another.", b="Two.")
    assert (changed.prepared, changed.before, changed.replaced) == (1, 1, 1)
    assert texts(store) == {"a": "Another.", "b": "Two.", "c": "Three."}
    back = put(a="One.", b="Two.", c="Three.")
    assert (back.prepared, back.replaced) == (1, 1)
    assert texts(store) == {"a": "One.", "b": "Two.", "c": "Three."}
    assert put(b=" ").without_words == ["b"]
    assert texts(store) == {"a": "One.", "c": "Three."}
    assert put(b=" ").replaced == 0


def test_documents_without_words_are_left_out_and_named(put, store):
    filled = put(a="", b="\u200b\n", c="Three.")
    assert (filled.prepared, filled.without_words) == (1, ["a", "b"])
    assert texts(store) == {"c": "Three."}
    assert put(d=" ").store_documents == 1
    assert Store(store.folder / "other").files() == []


def test_a_file_holds_some_documents_and_a_run_that_was_stopped_goes_on(put, store, split_qa, monkeypatch):
    monkeypatch.setattr(filling, "GROUP_BLOCKS", 3)
    given = {f"n{i}": f"It is number {i}." for i in range(10)}
    put(n0="It was another.", n9="It was another.")
    done = []

    def stop(characters):
        done.append(characters)
        if len(done) == 8:
            raise KeyboardInterrupt

    answerer = split_qa.split_answerer()
    plan = make_plan(store, documents(**given), answerer.identity)
    assert plan.characters == sum(map(len, given.values()))
    with pytest.raises(KeyboardInterrupt):
        fill(store, documents(**given), plan, answerer, stop)
    assert texts(store) == {**{f"n{i}": f"It is number {i}." for i in range(6)}, "n9": "It was another."}
    rest = put(**given)
    assert (rest.before, rest.prepared, rest.replaced) == (6, 4, 1)
    assert texts(store) == given
    assert sorted(len(one.names) for one in store.load()) == [1, 3, 3, 3]


def test_a_kill_before_an_old_text_was_removed_is_mended(put, store, split_qa):
    put(a="Old.", b="Two.")
    store.add(split_qa.prepare("New.", name="a"))
    filled = put(a="New.")
    assert (filled.prepared, filled.before, filled.replaced) == (0, 1, 1)
    assert texts(store) == {"a": "New.", "b": "Two."}


def test_two_texts_of_one_name_are_refused_before_anything_is_prepared(store, split_qa):
    answerer = split_qa.split_answerer()
    given = [Document("a", Passage("One."), "x.jsonl, line 1"), Document("a", Passage("Two."), "x.jsonl, line 2")]
    with pytest.raises(InputError, match=r"x.jsonl, line 2: another text is called 'a' too: x.jsonl, line 1"):
        make_plan(store, given, answerer.identity)
    twice = [given[0], given[0]]
    assert fill(store, twice, make_plan(store, twice, answerer.identity), answerer).prepared == 1
    with pytest.raises(InputError, match="There are no documents"):
        make_plan(store, [], answerer.identity)


def test_a_store_of_another_model_is_refused(put, store):
    put(a="One.")
    with pytest.raises(InputError, match=r"was prepared by another model, or with other settings.*Name another --out"):
        make_plan(store, documents(a="One."), "another")


def test_a_damaged_store_is_refused_and_says_what_to_do(put, store):
    put(a="One.")
    (path,) = store.files()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="Remove it, and prepare its documents again"):
        put(a="One.")
    path.unlink()
    assert put(a="One.").prepared == 1


def test_a_text_that_changes_meanwhile_is_refused(store, split_qa):
    answerer = split_qa.split_answerer()
    plan = make_plan(store, documents(a="One."), answerer.identity)
    with pytest.raises(InputError, match=r"a.txt: the text of 'a' was changed just now"):
        fill(store, documents(a="Two."), plan, answerer)
    assert store.files() == []


def test_a_store_may_hold_states_in_int8_beside_others(put, store, split_qa):
    put(a="Ada wrote it in 1843.")
    answerer = split_qa.split_answerer()
    more = documents(a="Ada wrote it in 1843.", b="The river is long. " * 20)
    fill(store, more, make_plan(store, more, answerer.identity), answerer, states="int8")
    kinds = {one.names[0]: one.states.dtype.name for one in store.load()}
    assert kinds == {"a": "float16", "b": "int8"}
    put(b="The river is short.")
    assert texts(store) == {"a": "Ada wrote it in 1843.", "b": "The river is short."}

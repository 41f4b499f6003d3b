"""Prepared documents in files: what was written is read, or refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.data.question import sample
from bskim_export.errors import InputError, OutputError
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.prepared.prepared import Prepared, join
from bskim_export.runtime.prepared.store import STATES, Store, document_key, load, save

ROOT = Path(__file__).parents[3]
ARRAYS = ("states", "features", "offsets", "words", "tokens")


@pytest.fixture(scope="module")
def documents(split_qa, squad) -> list[Prepared]:
    """Some documents, each prepared by itself."""
    texts = [q.context for q in sample(squad, 5, seed=7)]
    texts.append("It has a lone \ud800 and \U0001f469\u200d\U0001f680, and ends with blanks. \n ")
    return [split_qa.prepare(text, name=f"{number}/\u00e4 \ud800.txt") for number, text in enumerate(texts)]


@pytest.fixture(scope="module", params=STATES)
def two(documents, request) -> Prepared:
    """Two documents together, their states kept in either dtype."""
    whole = join(documents[-2:])
    return whole.to_int8() if request.param == "int8" else whole


@pytest.fixture(scope="module")
def content(two, tmp_path_factory) -> bytes:
    """The bytes of a file of two documents."""
    path = tmp_path_factory.mktemp("content") / "a.safetensors"
    save(two, path)
    return path.read_bytes()


def check_same(found: Prepared, expected: Prepared) -> None:
    for name in ARRAYS:
        own, other = getattr(found, name), getattr(expected, name)
        assert own.dtype == other.dtype
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(found.scales, expected.scales)
    for name in ("passages", "names", "joint", "identity"):
        assert getattr(found, name) == getattr(expected, name)


def test_what_is_saved_is_loaded(split_qa, documents, tmp_path):
    titled = split_qa.prepare(passages=["Ada wrote it.", {"title": "A title", "text": "In 1843."}, ""])
    for number, prepared in enumerate(
        [titled, titled.to_int8(), *documents, join(documents), join(documents).to_int8()]
    ):
        path = tmp_path / f"{number}.safetensors"
        save(prepared, path)
        found = load(path)
        check_same(found, prepared)
        question = "Who wrote it?"
        assert split_qa(question=question, prepared=found) == split_qa(question=question, prepared=prepared)
        save(found, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_library_reads_the_files(documents, tmp_path):
    library = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    path = tmp_path / "a.safetensors"
    save(join(documents), path)
    found = load_file(path)
    for name in ARRAYS:
        np.testing.assert_array_equal(found[name], getattr(join(documents), name))
    with library.safe_open(path, "np") as file:
        assert file.metadata()["format"] == "bskim-export prepared 1"


def test_states_are_not_read_before_a_question_needs_them(documents, tmp_path):
    save(documents[0], tmp_path / "a")
    states = load(tmp_path / "a").states
    while not isinstance(states, np.memmap):
        states = states.base
    assert states.mode == "r"


# Damage


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_file_that_was_cut_off_is_refused(content, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "a.safetensors"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(InputError, match=r"was cut off|is damaged"):
        load(path)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_anywhere_is_refused_when_it_is_read(content, two, data, tmp_path_factory):
    header = 8 + int.from_bytes(content[:8], "little")
    begin, end = data.draw(
        st.sampled_from([(0, 8), (8, header), (header, len(content)), (len(content) - 3000, len(content))])
    )
    place = data.draw(st.integers(begin, end - 1))
    flipped = bytearray(content)
    flipped[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flipped") / "a.safetensors"
    path.write_bytes(flipped)
    try:
        (found,) = Collection([load(path)], two.identity).parts
        states = [found.states_of(block) for block in range(len(found))]
    except InputError:
        return
    # What nobody reads may be flipped: blanks behind the header.
    assert 8 <= place < header
    check_same(found, two)
    np.testing.assert_array_equal(states, [two.states_of(block) for block in range(len(two))])


def test_flipped_states_are_refused_by_the_questions_that_read_them(split_qa, squad, tmp_path):
    long = " ".join(q.context for q in sample(squad, 12, seed=8))
    save(split_qa.prepare(long), tmp_path / "a")
    good = load(tmp_path / "a")
    questions = [q.question for q in sample(squad, 30, seed=8)]
    answers = split_qa(question=questions, prepared=good, max_blocks=3)
    answerer = split_qa.split_answerer(split_qa.options(max_blocks=3))
    asked = answerer.ask((question, Collection([good], answerer.identity)) for question in questions)
    read = [set(one.readings[0].blocks.tolist()) for one in asked]
    spoiled = max(read[0])
    raw = bytearray((tmp_path / "a").read_bytes())
    raw[8 + int.from_bytes(raw[:8], "little") + spoiled * good.states[0].nbytes + 5] ^= 1
    (tmp_path / "b").write_bytes(raw)
    found = load(tmp_path / "b")
    outcomes = split_qa(question=questions, prepared=found, max_blocks=3, on_error="return")
    for own, answer, outcome in zip(read, answers, outcomes, strict=True):
        if spoiled in own:
            assert "its states are not those that were written" in str(outcome)
        else:
            assert {**outcome, "score": 0} == {**answer, "score": 0}
    assert {type(one) for one in outcomes} == {InputError, dict}
    # To write it again does not make it whole.
    save(found, tmp_path / "c")
    with pytest.raises(InputError, match=r"/c' is damaged: its states"):
        load(tmp_path / "c").states_of(spoiled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": [3]}, "do not fit each other"),
        ({"tokens": [-1]}, "do not fit each other"),
        ({"words": np.zeros((1, 16), np.int32)}, "do not fit each other"),
        ({"features": np.zeros((2, 2, 2), np.float32)}, "do not fit each other"),
        ({"names": ["a", "b"]}, "do not fit each other"),
        ({"names": [None]}, "its names are none"),
        ({"offsets": np.full((1, 32, 2), 99, np.int32)}, "its offsets are not those of its texts"),
        ({"offsets": np.full((1, 32, 2), -1, np.int32)}, "its offsets are not those of its texts"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, message, split_qa, tmp_path):
    """Also with checksums that are right."""
    prepared = split_qa.prepare("Ada wrote it in 1843.", name="ada")
    for name, value in change.items():
        if name == "tokens":
            value = np.array(value * 32, np.int64)[:1] * (1 if value[0] < 0 else 11)
        setattr(prepared, name, value)
    save(prepared, tmp_path / "a")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b"\xff\xfe\xff",
        b"[" * 5000,
        b'{"__metadata__": 3}',
        b'{"__metadata__": {"format": "other"}}',
        *(
            b'{"__metadata__": {"format": "bskim-export prepared 1", "crc32": "{}"}, "states": %s}' % entry
            for entry in (
                b"3",
                b"{}",
                b'{"dtype": "F16", "shape": [1e999], "data_offsets": [0, 0]}',
                b'{"dtype": "F16", "shape": [0, 9999999999999999999999], "data_offsets": [0, 0]}',
                b'{"dtype": "F16", "shape": [0, 4611686018427387904, 4611686018427387904], "data_offsets": [0, 0]}',
                b'{"dtype": "F16", "shape": [2], "data_offsets": [-4, 0]}',
                b'{"dtype": "F16", "shape": [2], "data_offsets": [0, 4, 8]}',
                b'{"dtype": "F16", "shape": [true], "data_offsets": [0, 2]}',
                b'{"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}',
                b'{"dtype": ["F16"], "shape": [1], "data_offsets": [0, 2]}',
                b'{"dtype": "F16", "shape": "1", "data_offsets": "02"}',
            )
        ),
    ],
)
def test_a_header_that_is_none_is_refused(header, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    with pytest.raises(InputError, match=r"is damaged|holds no prepared passages|is no file in safetensors"):
        load(path)


def test_other_files_are_refused(tmp_path, documents):
    for name, content in {
        "empty": b"", "text": b"Ada wrote it in 1843.", "long": (1 << 60).to_bytes(8, "little") + bytes(64)
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"/{name}' is no file in safetensors, or it was cut off"):
            load(tmp_path / name)
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"states": documents[0].states}, tmp_path / "foreign.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="holds no prepared passages of this release"):
        load(tmp_path / "foreign.safetensors")
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load(path)
    with pytest.raises(OutputError):
        save(documents[0], tmp_path)


# A store


def test_a_store_holds_what_was_added(split_qa, documents, tmp_path):
    store = Store(tmp_path / "made" / "here")
    with pytest.raises(InputError, match=r"There is no store '.*here'. Make one: bskim-prepare"):
        store.load()
    assert list(store.keys()) == []
    first = store.add(join(documents[:2]))
    store.add(join(documents[2:]))
    assert store.add(join(documents[:2])) == first
    keys = [document_key(one.names[0], one.passages) for one in documents]
    assert sorted(store.keys()) == sorted(keys)
    assert len(store.files()) == len(os.listdir(store.folder)) == 2
    texts = {one.names[0]: one.passages[0].text for one in documents}
    for answer in split_qa(question="Who wrote it?", prepared=store.load(), top_k=5):
        assert texts[answer["document"]][answer["start"] : answer["end"]] == answer["answer"]
    with pytest.raises(InputError, match="Documents of a store have names: pass name="):
        store.add(split_qa.prepare("Ada wrote it."))
    save(split_qa.prepare("Ada wrote it."), store.folder / "unnamed.safetensors")
    with pytest.raises(InputError, match=r"unnamed.safetensors' holds passages without names"):
        list(store.keys())


def test_a_store_whose_files_are_all_gone_says_so(documents, tmp_path):
    (tmp_path / ".hidden.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="is empty: bskim-prepare adds documents to it"):
        Store(tmp_path).load()


def test_a_key_is_that_of_a_name_and_a_text():
    texts = [("a", "b", ""), ("a", "b", "c"), ("a", "c", "b"), ("b", "b", ""), ("a", "\ud800", ""), ("a", "\ufffd", "")]
    keys = [document_key(name, [Passage(text, title)]) for name, text, title in texts]
    assert len(set(keys)) == len(keys)


def test_documents_are_removed_and_who_reads_goes_on(split_qa, documents, tmp_path):
    store = Store(tmp_path / "store")
    path = store.add(join(documents[:3]))
    other = store.add(join(documents[3:]))
    before = store.load()
    keys = [document_key(one.names[0], one.passages) for one in documents]
    assert store.remove(["nothing", keys[1]]) == 1
    assert sorted(store.keys()) == sorted(keys[:1] + keys[2:])
    (after,) = (one for one in store.load() if one.source == str(path))
    check_same(after, join([documents[0], documents[2]]))
    assert store.remove(keys[3:], [other]) == 3
    assert store.files() == [path]
    assert store.remove(keys) == 2
    assert store.files() == []
    found = split_qa(question=["Who?", "Why?"], prepared=before)  # its files are gone
    assert found == split_qa(question=["Who?", "Why?"], prepared=[load_again(one) for one in before])


def load_again(prepared: Prepared) -> Prepared:
    return join([prepared])


def test_one_at_a_time_has_a_store_alone(tmp_path):
    store = Store(tmp_path / "store")
    with (
        store.alone(),
        pytest.raises(OutputError, match="Another bskim-prepare writes into"),
        Store(tmp_path / "store").alone(),
    ):
        raise AssertionError
    with store.alone():
        pass


ADDS = """
import sys
from pathlib import Path
from bskim_export.runtime.prepared.store import Store, load

prepared = load(sys.argv[1])
store = Store(sys.argv[2])
for i in range(40):
    prepared.names = [f"{sys.argv[3]} {i % 30} {j}" for j in range(len(prepared.passages))]  # some twice
    store.add(prepared)
"""

DIES = """
import os, signal, sys
from bskim_export.runtime.prepared import tensor_file
from bskim_export.runtime.prepared.store import Store, load

class Dying:
    def __init__(self, stream):
        self.stream, self.count = stream, 0
    def write(self, part):
        self.stream.write(bytes(part)[: len(part) // 2])
        self.stream.flush()
        self.count += 1
        if self.count == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

real = tensor_file.write_atomic
tensor_file.write_atomic = lambda path, write: real(path, lambda stream: write(Dying(stream)))
prepared = load(sys.argv[1])
prepared.names = ["new"] * len(prepared.passages)
Store(sys.argv[2]).add(prepared)
"""


def test_two_processes_add_at_once_while_a_third_reads(documents, tmp_path):
    save(join(documents[:2]), tmp_path / "a")
    store = Store(tmp_path / "store")
    store.add(documents[2])
    command = [sys.executable, "-c", ADDS, str(tmp_path / "a"), str(store.folder)]
    running = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("one", "two")]
    while any(one.poll() is None for one in running):
        assert store.load()
        assert len(set(store.keys())) >= 1
    assert [one.returncode for one in running] == [0, 0]
    assert len(list(store.keys())) == len(set(store.keys())) == 2 * 30 * 2 + 1


def test_a_kill_while_a_file_is_written_leaves_the_store_as_it_was(documents, tmp_path):
    save(join(documents[:2]), tmp_path / "a")
    store = Store(tmp_path / "store")
    store.add(documents[2])
    keys = list(store.keys())
    for writes in (1, 3, 9):
        command = [sys.executable, "-c", DIES, str(tmp_path / "a"), str(store.folder), str(writes)]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        assert list(store.keys()) == keys
        assert len(store.load()) == 1
    # Whoever writes the same documents then, clears what was left.
    found = load(tmp_path / "a")
    found.names = ["new"] * 2
    store.add(found)
    assert sorted(os.listdir(store.folder)) == sorted(path.name for path in store.files())

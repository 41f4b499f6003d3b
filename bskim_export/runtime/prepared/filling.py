"""Documents into a store: those that are not there yet, some at a time."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bskim_export.errors import InputError
from bskim_export.runtime.prepared.asking import SplitAnswerer
from bskim_export.runtime.prepared.documents import Document
from bskim_export.runtime.prepared.prepared import Prepared, join
from bskim_export.runtime.prepared.store import STATES, Store, document_key
from bskim_export.runtime.windows import NoWordsError

GROUP_BLOCKS = 2048
"""Blocks from which on a file is written: 65,000 tokens, some 50 MB of a small model. That much is lost by a kill, some
seconds of work. And a million blocks are 500 files: a process that answers has all of them open."""


@dataclass
class Filled:
    """What became of some documents.

    documents: that were given
    before: of these, how many were in the store already
    prepared: how many were not
    replaced: documents of the same names and other texts, which left the store
    without_words: names of documents that have none, and were left out
    tokens: of those that were prepared
    seconds: that took
    store_documents, store_tokens, store_bytes: what the store holds now
    """

    documents: int = 0
    before: int = 0
    prepared: int = 0
    replaced: int = 0
    without_words: list[str] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    store_documents: int = 0
    store_tokens: int = 0
    store_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {**asdict(self), "store_bytes_per_token": self.store_bytes / max(1, self.store_tokens)}


@dataclass
class Plan:
    """Which documents are to be prepared, and which of the store are in their way.

    keys: of each document, by its name
    missing: keys of those that are not in the store
    characters: that these have
    old: files and keys of the documents in the store that have a name of these and another text
    """

    keys: dict[str, str]
    missing: set[str]
    characters: int
    old: dict[str, list[tuple[Path, str]]]


def make_plan(store: Store, documents: Iterable[Document], identity: str) -> Plan:
    """Read all documents once, and compare them with the store.

    Args:
        identity: of what prepares; see `prepared.identity_of`

    Raises:
        InputError: the store is another model's, or damaged; a document cannot be read; two have one name.
    """
    held: dict[str, list[tuple[Path, str]]] = {}
    for path, prepared, found in store.contents():
        if prepared.identity != identity:
            raise InputError(
                f"The store '{store.folder}' was prepared by another model, or with other settings, than this bundle's "
                f"(its file '{path.name}'). Name another --out, or remove the store."
            )
        for name, key in zip(prepared.names, found, strict=True):
            held.setdefault(name, []).append((path, key))
    keys: dict[str, str] = {}
    places: dict[str, str] = {}
    plan = Plan(keys, set(), 0, {})
    for document in documents:
        name, key = document.name, document_key(document.name, [document.passage])
        if keys.setdefault(name, key) != key:
            raise InputError(
                f"{document.place}: another text is called '{name}' too: {places[name]}. Give each a name of its own."
            )
        places.setdefault(name, document.place)
        there = held.get(name, ())
        if key not in plan.missing and key not in (one for _, one in there):
            plan.missing.add(key)
            plan.characters += len(document.passage.whole)
        if old := [one for one in there if one[1] != key]:
            plan.old[name] = old
    if not keys:
        raise InputError("There are no documents in these files.")
    return plan


def fill(
    store: Store,
    documents: Iterable[Document],
    plan: Plan,
    answerer: SplitAnswerer,
    progress: Callable[[int], object] = lambda characters: None,
    states: str = STATES[0],
) -> Filled:
    """Prepare what is missing, and write it some documents at a time. What they replace is removed then.

    Args:
        documents: those of the plan, read once more
        progress: called with the characters of each that is done
        states: what states are kept in, one of STATES

    Raises:
        InputError: a document is not what it was when the plan was made.
        OutputError: the store cannot be written.
    """
    start = time.perf_counter()
    filled = Filled(documents=len(plan.keys), before=len(plan.keys) - len(plan.missing))
    _remove(store, plan, filled, [name for name in plan.old if plan.keys[name] not in plan.missing])
    for group, names in _groups(documents, plan, answerer, filled, progress):
        if group:
            whole = join(group)
            store.add(whole.to_int8() if states == "int8" else whole)
        filled.prepared += len(group)
        filled.tokens += sum(int(one.tokens.sum()) for one in group)
        _remove(store, plan, filled, names)
    filled.seconds = time.perf_counter() - start
    for path, prepared, _ in store.contents():
        filled.store_documents += len(prepared.names)
        filled.store_tokens += int(prepared.tokens.sum())
        filled.store_bytes += path.stat().st_size
    return filled


def _groups(
    documents: Iterable[Document],
    plan: Plan,
    answerer: SplitAnswerer,
    filled: Filled,
    progress: Callable[[int], object],
) -> Iterator[tuple[list[Prepared], list[str]]]:
    """Yield what becomes one file, and the names of the documents that were looked at for it."""
    todo = set(plan.missing)
    group: list[Prepared] = []
    names: list[str] = []
    blocks = 0
    for document in documents:
        key = document_key(document.name, [document.passage])
        if plan.keys.get(document.name) != key:
            raise InputError(f"{document.place}: the text of '{document.name}' was changed just now. Start again.")
        if key not in todo:
            continue
        todo.remove(key)
        names.append(document.name)
        try:
            # Each alone: what is prepared of a document does not depend on others, not even by rounding.
            group.append(answerer.prepare([document.passage], joint=True, names=[document.name]))
            blocks += len(group[-1])
        except NoWordsError:
            filled.without_words.append(document.name)
        progress(len(document.passage.whole))
        if blocks >= GROUP_BLOCKS:
            yield group, names
            group, names, blocks = [], [], 0
    if names:
        yield group, names


def _remove(store: Store, plan: Plan, filled: Filled, names: Iterable[str]) -> None:
    """Remove the documents that had these names before."""
    old = [one for name in names for one in plan.old.get(name, ())]
    if old:
        filled.replaced += store.remove({key for _, key in old}, {path for path, _ in old})

"""A split model's lower layers as they are run: passages to states and features, questions to states and queries."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bskim_export.backends.base import Backend, Engine
from bskim_export.blocks import MASKED, count_blocks
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph, Split
from bskim_export.errors import BundleError
from bskim_export.runtime.batch import require_numbers
from bskim_export.runtime.bundle_runner import BundleRunner

Floats = npt.NDArray[np.float32]
BATCH = 8
"""Sections of a batch."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is known of a question before it meets a passage.

    ids: int64 [T], `[CLS] question [SEP]`, not padded
    states: float32 [K, block_size, H], hidden states behind the lower layers
    queries: float32 [T, F], what each token looks for among the features of blocks
    """

    ids: npt.NDArray[np.int64]
    states: Floats
    queries: Floats


class Lower(Protocol):
    """Runs the lower layers of a split model. The results of a sequence are the same in any batch, but for rounding."""

    def prepare(self, sections: Sequence[npt.NDArray[np.int64]]) -> list[tuple[Floats, Floats]]:
        """Return the states, [K, block_size, H], and features, [K, parts, F], of each section.

        Args:
            sections: token ids, int64 [S] each, not padded, without `[CLS]`
        """

    def ask(self, questions: Sequence[npt.NDArray[np.int64]]) -> list[Question]:
        """Return what is known of each question, from its ids."""


class BundleLower:
    """The lower layers of a bundle. Safe to call from several threads, as its pipeline is.

    Args:
        bundle: of a split model
        split: its manifest's
        backend: compiles and runs the graphs
        runner: of the upper layers; compiles these graphs too
    """

    def __init__(self, bundle: Bundle, split: Split, backend: Backend, runner: BundleRunner):
        self._split = split
        self._size = bundle.model.block_size
        self._pad = bundle.model.pad_token_id
        self._backend = backend
        self._runner = runner
        self._engines: dict[tuple[str, bool], Engine] = {}
        self._compiling = Lock()
        self._process = os.getpid()

    def prepare(self, sections: Sequence[npt.NDArray[np.int64]]) -> list[tuple[Floats, Floats]]:
        """Run sections, side by side on the cores of a CPU, else in batches; see `Lower.prepare`."""
        found: dict[int, tuple[Floats, Floats]] = {}
        if self._runner.alone:
            cores = self._backend.threads
            several = cores > 1 and len(sections) >= cores
            with ThreadPoolExecutor(cores if several else 1, thread_name_prefix="bskim") as pool:
                return list(pool.map(lambda one: self._prepare([one], several)[0], sections))
        # Those of like length together: a short one is not padded to a long one's length.
        order = sorted(range(len(sections)), key=lambda i: len(sections[i]))
        for group in alike(order, [len(own) for own in sections]):
            found |= zip(group, self._prepare([sections[i] for i in group]), strict=True)
        return [found[i] for i in range(len(sections))]

    def _prepare(self, sections: Sequence[npt.NDArray[np.int64]], several: bool = False) -> list[tuple[Floats, Floats]]:
        """Run sections as one batch.

        Args:
            several: beside others
        """
        found = self._run(self._split.prepare, "section", sections, several)
        states = found["section_states"].reshape(len(sections), -1, self._size, found["section_states"].shape[-1])
        features = found["features"].reshape(*states.shape[:2], self._split.parts, self._split.width)
        counts = [count_blocks(len(ids), self._size) for ids in sections]
        return [(states[i, :n], features[i, :n]) for i, n in enumerate(counts)]

    def ask(self, questions: Sequence[npt.NDArray[np.int64]]) -> list[Question]:
        """Run questions as one batch; see `Lower.ask`."""
        found = self._run(self._split.question, "question", questions)
        asked = []
        for i, ids in enumerate(questions):
            blocks = count_blocks(len(ids), self._size)
            states = found["question_states"][i, : blocks * self._size]
            queries = np.array(found["queries"][i, : len(ids)], np.float32)
            asked.append(Question(ids, states.reshape(blocks, self._size, -1), queries))
        return asked

    def unload(self) -> None:
        """Let go of the engines. A later run compiles them anew."""
        self._engines = {}

    def _engine(self, graph: Graph, several: bool) -> Engine:
        self._runner.require_own_process()
        if self._process != os.getpid():
            # In a child of fork: the threads of the engines were not copied, and a lock may have been copied locked.
            self._engines, self._compiling, self._process = {}, Lock(), os.getpid()
        with self._compiling:
            engines, key = self._engines, (graph.file, several)
            if key not in engines:
                (engines[key],) = self._runner.load_graphs([graph], self._backend.threads if several else 1)
            return engines[key]

    def _run(
        self, graph: Graph, kind: str, rows: Sequence[npt.NDArray[np.int64]], several: bool = False
    ) -> dict[str, Floats]:
        ids, mask = pad_rows(rows, self._pad, self._size)
        feeds: dict[str, Any] = {
            f"{kind}_ids": self._backend.to_device(ids),
            f"{kind}_mask": self._backend.to_device(np.where(mask, np.float32(0), MASKED)),
        }
        found = self._engine(graph, several).run(feeds)
        results = {name: np.asarray(self._backend.to_host(value), np.float32) for name, value in found.items()}
        for name, values in results.items():
            require_numbers(values, name)
        return results


def alike(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield groups of at most BATCH sections, whose shortest has at least half the length of the longest.

    Args:
        order: sections by their numbers, the shortest first
        lengths: of each section

    Example:
        >>> list(alike([2, 0, 1], [30, 40, 10]))
        [[2], [0, 1]]
    """
    group: list[int] = []
    for i in order:
        if group and (len(group) == BATCH or lengths[i] > 2 * lengths[group[0]]):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def pad_rows(
    rows: Sequence[npt.NDArray[np.int64]], pad: int, size: int, first: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return rows of ids padded to whole blocks of the longest, and which are tokens: [B, first + M * size] both.

    Args:
        first: tokens of a row before its first block
    """
    length = first + count_blocks(max(map(len, rows)) - first, size) * size
    ids = np.full((len(rows), length), pad, np.int64)
    for row, own in zip(ids, rows, strict=True):
        row[: len(own)] = own
    return ids, np.arange(length) < np.array([[len(own)] for own in rows])


def require_split(bundle: Bundle) -> Split:
    """Return a bundle's lower layers.

    Raises:
        BundleError: its model is not split.
    """
    if bundle.manifest.split is None:
        raise BundleError(
            f"The model of '{bundle.folder}' is not split: it reads question and passage together, so that nothing can "
            "be prepared. Train one that is: bskim-train --split LAYER, and export it."
        )
    return bundle.manifest.split


def require_joint(bundle: Bundle) -> None:
    """Raise BundleError if a bundle's model is split: its windows are others."""
    if bundle.manifest.split is not None:
        raise BundleError(
            f"The model of '{bundle.folder}' is split: it answers by `qa(...)`, `qa.prepare` and bskim-prepare "
            "(docs/prepared.md). This is for models that read question and passage together."
        )

"""Prepared passages: what the lower layers made of them, kept for all questions."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.checks import TOKENIZER
from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.characters import Characters
from bskim_export.runtime.prepared.cut import cut_sections, section_blocks
from bskim_export.runtime.prepared.lower import Lower
from bskim_export.runtime.prepared.passages import PassageTokens, cut_passage, section_ids
from bskim_export.runtime.windows import NoWordsError

SECTIONS = 64
"""Sections that are handed over together: so many results in float32 are held at once, some 35 MB of a small model."""

REMEMBERED = 256
"""Passages whose characters are kept at most: each takes eight bytes."""


@dataclass(eq=False, repr=False)
class Prepared:
    """Passages with N blocks together, prepared by a split model. A question to them runs its upper layers only.

    `QAPipeline.prepare` makes one, `store.save` and `store.load` keep it in a file.

    Attributes:
        identity: of what prepared it, see `identity_of`; a pipeline takes no other
        passages: the texts
        tokens: of each passage, how many tokens it has
        states: float16 [N, block_size, H], hidden states behind the lower layers; or int8, see `to_int8`
        features: float32 [N, parts, F], by which a question's blocks are chosen
        offsets: int32 [N, block_size, 2], the characters that each token stands for
        words: int32 [N, block_size], the word of each token; -1 for none
        joint: they are passages that answers name by number, not one context
        names: of the documents, where they have names
        scales: float32 [N, block_size], of int8 states: what each token's are multiplied by; else None
        checks: int64 [N], of what lies in a file: the checksum of each block's states
        source: the file
    """

    identity: str
    passages: list[Passage]
    tokens: npt.NDArray[np.int64]
    states: npt.NDArray[np.float16] | npt.NDArray[np.int8]
    features: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int32]
    words: npt.NDArray[np.int32]
    joint: bool = False
    names: list[str] = field(default_factory=list)
    scales: npt.NDArray[np.float32] | None = None
    checks: npt.NDArray[np.int64] | None = None
    source: str = ""
    _characters: dict[int, Characters] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return len(self.states)

    def __repr__(self) -> str:
        return f"Prepared({len(self.passages):,} passages, {len(self):,} blocks, {self.nbytes / 1e6:,.1f} MB)"

    @cached_property
    def first(self) -> npt.NDArray[np.int64]:
        """Return int64 [P + 1]: the first block of each passage, and the number of blocks."""
        return np.concatenate([[0], np.cumsum(-(-self.tokens // self.words.shape[1]))])

    @cached_property
    def passage(self) -> npt.NDArray[np.int64]:
        """Return int64 [N], the passage of each block."""
        return np.repeat(np.arange(len(self.tokens)), np.diff(self.first))

    def states_of(self, block: int) -> npt.NDArray[np.float32]:
        """Return the states of a block, float32 [block_size, H].

        Raises:
            InputError: they lie in a file, and are not those that were written.
        """
        found = self.states[block]
        if self.checks is not None and checksum(found) != self.checks[block]:
            raise InputError(
                f"'{self.source}' is damaged: its states are not those that were written. Remove it, and prepare its "
                "documents again."
            )
        states: npt.NDArray[np.float32] = found.astype(np.float32)
        return states if self.scales is None else states * self.scales[block, :, None]

    def to_int8(self) -> "Prepared":
        """Return the same with states in int8, half as large: each token's with a scale of its own, symmetric.

        Example:
            >>> qa.prepare("Ada wrote it in 1843.").to_int8()  # doctest: +SKIP
        """
        if self.scales is not None:
            return self
        states = np.empty(self.states.shape, np.int8)
        scales = np.empty(self.words.shape, np.float32)
        for block in range(len(self)):  # one at a time: in float32, all of a large document would be large
            found = self.states_of(block)
            largest = np.abs(found).max(1)
            scales[block] = np.where(largest > 0, largest, 1) / 127
            states[block] = np.rint(found / scales[block, :, None])
        return replace(self, states=states, scales=scales, checks=None, source="", _characters={})

    @property
    def sums(self) -> npt.NDArray[np.int64]:
        """Return int64 [N], the checksum of each block's states; of what was loaded, as they were when written."""
        return np.array([checksum(block) for block in self.states], np.int64) if self.checks is None else self.checks

    def is_token(self, block: int) -> npt.NDArray[np.bool_]:
        """Return bool [block_size]: which positions of a block hold a token, not padding."""
        size = self.words.shape[1]
        own = self.passage[block]
        left = self.tokens[own] - (block - self.first[own]) * size
        there: npt.NDArray[np.bool_] = np.arange(size) < left
        return there

    def characters(self, passage: int) -> Characters:
        """Return the characters of a passage's text; those of the last ones are kept."""
        found = self._characters.get(passage)
        if found is None:
            if len(self._characters) >= REMEMBERED:
                self._characters.clear()
            found = self._characters[passage] = Characters(self.passages[passage].whole)
        return found

    def only(self, passages: Sequence[int]) -> "Prepared":
        """Return some of the passages, at least one, by their numbers."""
        blocks = np.concatenate([np.arange(self.first[i], self.first[i + 1]) for i in passages])
        return replace(
            self,
            passages=[self.passages[i] for i in passages],
            tokens=self.tokens[list(passages)],
            states=self.states[blocks],
            features=self.features[blocks],
            offsets=self.offsets[blocks],
            words=self.words[blocks],
            scales=None if self.scales is None else self.scales[blocks],
            names=[self.names[i] for i in passages] if self.names else [],
            checks=None if self.checks is None else self.checks[blocks],
            _characters={},
        )

    @property
    def nbytes(self) -> int:
        """Return how many bytes its arrays take."""
        arrays = (self.states, self.features, self.offsets, self.words, self.scales)
        return sum(a.nbytes for a in arrays if a is not None)


def join(parts: Sequence[Prepared]) -> Prepared:
    """Return the passages of several, at least one, as one: all of one model, their states in one dtype, and with names
    or without."""
    scales = [one.scales for one in parts if one.scales is not None]
    return replace(
        parts[0],
        passages=[passage for one in parts for passage in one.passages],
        tokens=np.concatenate([one.tokens for one in parts]),
        states=np.concatenate([one.states for one in parts]),
        features=np.concatenate([one.features for one in parts]),
        offsets=np.concatenate([one.offsets for one in parts]),
        words=np.concatenate([one.words for one in parts]),
        scales=np.concatenate(scales) if scales else None,
        joint=True,
        names=[name for one in parts for name in one.names],
        checks=None if all(one.checks is None for one in parts) else np.concatenate([one.sums for one in parts]),
        source="",
        _characters={},
    )


def checksum(array: npt.NDArray[Any]) -> int:
    """Return the CRC-32 of an array's bytes."""
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B")) if array.size else 0


def identity_of(bundle: Bundle) -> str:
    """Return what two bundles have in common if and only if they prepare passages alike."""
    split = bundle.manifest.split
    layer = None if split is None else split.layer
    files = bundle.manifest.files
    return f"{bundle.weights_hash[:32]}-{files[TOKENIZER][:16]}-{layer}-{bundle.model.max_seq_len}"


def prepare_passages(
    passages: Iterable[Passage],
    tokenizer: Tokenizer,
    model: Model,
    lower: Lower,
    identity: str,
    joint: bool,
    names: Sequence[str] = (),
) -> Prepared:
    """Run the lower layers over passages, section by section.

    Args:
        tokenizer, model, lower: of the split model
        joint: see Prepared; passages without words are left out of the blocks then
        names: of the passages

    Raises:
        NoWordsError: the context, or all passages, have no words.
    """
    texts = list(passages)
    cut: list[PassageTokens] = []
    for one in texts:
        try:
            cut.append(cut_passage(tokenizer, one.whole, model))
        except NoWordsError:
            if not joint:
                raise NoWordsError("`context` cannot be empty: it has no words.") from None
            cut.append(PassageTokens.empty(model.block_size))
    if not any(own.blocks for own in cut):
        raise NoWordsError("`passages` cannot be empty: none of them has words.")
    states, features = [], []
    for run_states, run_features in _run_sections(cut, model, lower):
        states.append(run_states)
        features.append(run_features)
    return Prepared(
        identity,
        texts,
        np.array([len(own.offsets) for own in cut], np.int64),
        np.concatenate(states),
        np.concatenate(features),
        np.concatenate([own.padded_offsets for own in cut]),
        np.concatenate([own.padded_words for own in cut]),
        joint,
        list(names),
    )


def _run_sections(
    cut: Sequence[PassageTokens], model: Model, lower: Lower
) -> Iterator[tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]]:
    """Yield the kept states and features of all sections, in order."""
    width = section_blocks(model.max_seq_len, model.block_size)
    sections = [(own, section) for own in cut for section in cut_sections(own.blocks, width)]
    for begin in range(0, len(sections), SECTIONS):
        part = sections[begin : begin + SECTIONS]
        done = lower.prepare([section_ids(*one, model) for one in part])
        for (_, section), (states, features) in zip(part, done, strict=True):
            keep = slice(section.keep_first - section.first, section.keep_stop - section.first)
            yield states[keep].astype(np.float16), np.ascontiguousarray(features[keep])

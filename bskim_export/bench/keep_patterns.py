"""The blocks that a trained model kept of real windows, to time models whose weights are random.

`keep_patterns.json` holds windows of SQuAD dev questions: how long each was, and after which layer of the example model
each of its blocks was dropped, at the model's own thresholds and, for speed only, at one that is imposed and drops more
than is good for the answers. It is made by

    python -m bskim_export.bench.keep_patterns BUNDLE

of a bundle of the example model with predictors at all layers. A window that would have been run once more, with its
best block protected, is recorded as its first run only.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.atomic import write_json
from bskim_export.blocks import KEPT, count_blocks, count_question_blocks
from bskim_export.bundle.manifest import Model
from bskim_export.data.question import sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import Judged, Policy, Thresholds
from bskim_export.runtime.windows import Window

FILE = Path(__file__).with_name("keep_patterns.json")
BLOCK_SIZE = 32
IMPOSED = 0.3
SETTINGS = ("own", "imposed")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_KEPT = "-"


@dataclass(frozen=True)
class Pattern:
    """The outcome of one real window.

    length: real tokens
    question_length: those before the first passage token
    may_leave: it left the batch when its passage blocks were gone
    num_layers: of the model that was recorded
    dropped_after: by setting, int64 [K], the layer of that model after which each block was dropped; KEPT if none
    """

    length: int
    question_length: int
    may_leave: bool
    num_layers: int
    dropped_after: dict[str, npt.NDArray[np.int64]]

    @property
    def question_blocks(self) -> int:
        """Return how many blocks hold a token of the question."""
        return count_question_blocks(self.question_length, BLOCK_SIZE)


def load_patterns(path: Path = FILE) -> list[Pattern]:
    """Return the recorded windows.

    Example:
        >>> min(p.length for p in load_patterns()) > 30
        True
    """
    recorded = json.loads(path.read_text(encoding="utf-8"))
    patterns = []
    for line in recorded["windows"]:
        length, question_length, may_leave, *blocks = line.split()
        dropped = {name: np.array([_layer(m) for m in marks]) for name, marks in zip(SETTINGS, blocks, strict=True)}
        layers = recorded["num_layers"]
        patterns.append(Pattern(int(length), int(question_length), may_leave == "1", layers, dropped))
    return patterns


def _layer(mark: str) -> int:
    return KEPT if mark == _KEPT else _DIGITS.index(mark)


def draw_patterns(patterns: Sequence[Pattern], length: int, count: int) -> list[Pattern]:
    """Return `count` of the windows that have at most `length` positions, the same ones every time.

    So they have the mix of lengths that SQuAD has below `length`. Where there are fewer, they come round again.

    Raises:
        InputError: no window is that short.
    """
    fitting = [p for p in patterns if p.length <= length]
    if not fitting:
        raise InputError(f"No recorded window has at most {length} positions; the shortest that may be asked for is "
                         f"{min(p.length for p in patterns)}.")  # fmt: skip
    order = np.random.default_rng(0).permutation(len(fitting))
    return [fitting[i] for i in np.resize(order, count)]


def make_window(pattern: Pattern, model: Model, vocabulary: int, positions: int | None = None) -> Window:
    """Return a window of random tokens, as long as a recorded one.

    Args:
        vocabulary: token ids below this
        positions: pad it to so many; default: to whole blocks

    Raises:
        InputError: the model's blocks have another size than the recorded ones.
    """
    size = model.block_size
    if size != BLOCK_SIZE:
        raise InputError(f"The keep patterns were recorded in blocks of {BLOCK_SIZE}; this model's have {size}.")
    padded = count_blocks(positions or pattern.length, size) * size
    ids = np.full(padded, model.pad_token_id, np.int64)
    ids[: pattern.length] = np.random.default_rng(pattern.length).integers(0, vocabulary, pattern.length)
    types = np.zeros(padded, np.int64)
    if model.type_vocab_size > 1:
        types[pattern.question_length : pattern.length] = 1
    places = np.arange(padded, dtype=np.int64) + model.position_offset
    if model.pad_position is not None:
        places[pattern.length :] = model.pad_position
    asked = count_question_blocks(pattern.question_length, size)
    # Random tokens stand for no text, and nothing is decoded.
    offsets = np.zeros((0, 2), np.int32)
    words = np.zeros(0, np.int32)
    return Window(ids, types, places, pattern.length, pattern.question_length, asked, pattern.may_leave, offsets, words)


class Replay(Policy):
    """A policy that drops of each window what was dropped when it was recorded, whatever the scores are.

    A block that was dropped at some depth is dropped behind the first predictor at that depth or deeper. Every
    predictor runs and its scores are read, as if they decided.

    Args:
        patterns: of the batch's windows, in order
        setting: one of SETTINGS
    """

    def __init__(self, patterns: Sequence[Pattern], setting: str, model: Model, skim_layers: Sequence[int]):
        self._after = [_replayed(p, setting, model, skim_layers) for p in patterns]

    def scores(self, layer: int) -> bool:
        return True

    def allowed(self, layer: int, judged: Judged) -> Judged:
        stays = np.zeros_like(judged)
        for row, after in zip(stays, self._after, strict=True):
            row[: len(after)] = after > layer
        return stays


def _replayed(pattern: Pattern, setting: str, model: Model, skim_layers: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return int64 [K], the layer of `model` after which each block is dropped: the first predictor at the same depth,
    layers done over layers there are, or deeper."""
    dropped = pattern.dropped_after[setting]
    depth = (dropped + 1) / pattern.num_layers
    depths = (np.array(skim_layers) + 1) / model.num_layers
    layers = np.array([*skim_layers, KEPT])
    return np.where(dropped == KEPT, KEPT, layers[np.searchsorted(depths, depth - 1e-9)])


def record(bundle: Path, questions: int = 400) -> dict[str, Any]:
    """Return the content of `keep_patterns.json`, from a random sample of SQuAD dev."""
    qa = QAPipeline(bundle)
    answerer = qa.answerer()
    model = qa.bundle.model
    policies = [qa.policy, Thresholds(dict.fromkeys(qa.bundle.skim_layers, IMPOSED))]
    lines = []
    for question in sample(load_squad(), questions):
        windows = answerer.windows(question.question, question.context)
        results = zip(windows, *(answerer.runner.run(windows, policy) for policy in policies), strict=True)
        for window, *outcomes in results:
            facts = (window.length, window.question_length, int(any(outcome.left for outcome in outcomes)))
            lines.append(" ".join([*map(str, facts), *(_marks(outcome.dropped_after) for outcome in outcomes)]))
    return {
        "about": f"Windows of {questions} questions of SQuAD 1.1 dev in the model below. A line is one window: its "
        "tokens, those of its question, whether it left the batch, and for each block the layer after which it "
        f"was dropped ({_KEPT} if it never was), first at the model's own thresholds, then at {IMPOSED} at every "
        "layer, which is imposed to measure speed and no good for answers.",
        "model": model.source,
        "num_layers": model.num_layers,
        "thresholds": qa.bundle.thresholds,
        "windows": lines,
    }


def _marks(dropped_after: npt.NDArray[np.int16]) -> str:
    return "".join(_KEPT if layer == KEPT else _DIGITS[layer] for layer in dropped_after)


if __name__ == "__main__":
    write_json(FILE, record(Path(sys.argv[1])))

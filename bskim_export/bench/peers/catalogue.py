"""The peers by name, and how each is made from a checkpoint."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForQuestionAnswering, PreTrainedModel

from bskim_export.bench.peers.base import Peer, Unavailable
from bskim_export.bench.peers.graphs import export_plain, onnxruntime_peers, openvino_peers
from bskim_export.bench.peers.libraries import compiled_peers, ctranslate2_peers, torch_peers


@dataclass(frozen=True)
class Source:
    """The model that all peers run.

    path: a directory as Hugging Face has it
    folder: where a peer may put files
    threads: that each may use
    """

    path: Path
    folder: Path
    threads: int

    def load(self, attention: str | None = None) -> PreTrainedModel:
        """Return the model in fp32, as transformers loads it: predictors are left out.

        Args:
            attention: the implementation; default: the one that transformers chooses
        """
        model = AutoModelForQuestionAnswering.from_pretrained(
            self.path, dtype=torch.float32, attn_implementation=attention
        )
        return model.eval()

    @cached_property
    def model(self) -> PreTrainedModel:
        """Return the model that several peers share; none changes it."""
        return self.load()

    @cached_property
    def graph(self) -> Path:
        """Return the model as one ONNX graph of batches, as any exporter writes it."""
        return export_plain(self.load("eager"), self.folder / "plain.onnx")


def _optimum(source: Source) -> Iterator[Peer]:
    raise Unavailable(
        f"optimum-onnx 0.1 needs transformers before 4.58, and {version('transformers')} is here. What it runs is "
        "the peer 'onnxruntime': its exporter writes such a graph, and ONNX Runtime runs it."
    )


PEERS: dict[str, Callable[[Source], Iterator[Peer]]] = {
    "torch": lambda source: torch_peers(source.model, source.threads),
    "torch-compile": lambda source: compiled_peers(source.model, source.threads),
    "onnxruntime": lambda source: onnxruntime_peers(source.graph, source.threads),
    "openvino": lambda source: openvino_peers(source.graph, source.threads),
    "optimum": _optimum,
    "ctranslate2": lambda s: ctranslate2_peers(s.path, s.folder / "ctranslate2", s.model, s.threads),
}


def open_peers(
    names: Sequence[str], source: Source, on_missing: Callable[[str], None], progress: Callable[[str], None]
) -> list[Peer]:
    """Return the ways of some peers to run a model.

    Args:
        names: of PEERS
        on_missing: called with the name of one that cannot be had, and why
        progress: called with the name of each before it is made
    """
    found: list[Peer] = []
    for name in names:
        progress(name)
        try:
            with _quiet():
                found += PEERS[name](source)
        except Unavailable as reason:
            on_missing(f"{name}: {reason}")
        except (ImportError, PackageNotFoundError) as error:
            on_missing(f"{name}: it is not installed ({error}). pip install 'bskim-export[peers]'")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep libraries from telling, for each peer anew, that predictors are no weights of theirs."""
    level, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()

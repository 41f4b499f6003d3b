"""What a pipeline of a split model does besides: it prepares passages, and answers from prepared ones."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from bskim_export.backends.base import Backend
from bskim_export.bundle.bundle import Bundle
from bskim_export.errors import InputError, only_own_errors
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import Call, Example
from bskim_export.runtime.asked import Passage, read_passages
from bskim_export.runtime.asking import Done, ask_all, new_asked
from bskim_export.runtime.bundle_runner import BundleRunner
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.prepared.asking import PreparedAsked, SplitAnswerer, ask_items
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.prepared.lower import BundleLower, require_split
from bskim_export.runtime.prepared.prepared import Prepared, identity_of
from bskim_export.runtime.windows import NoWordsError, WindowMaker


class Preparing(ABC):
    """The part of `QAPipeline` that is about prepared passages."""

    bundle: Bundle
    backend: Backend
    runner: BundleRunner
    maker: WindowMaker
    _turn: AbstractContextManager[Any]

    @abstractmethod
    def answerer(self, options: RunOptions | None = None) -> Answerer:
        """Return the parts of a pipeline whose model is not split; see `QAPipeline.answerer`."""

    @abstractmethod
    def upper(self, options: RunOptions | None = None) -> Answerer:
        """Return what runs windows; see `QAPipeline.upper`."""

    @only_own_errors
    def prepare(
        self, document: str | None = None, *, passages: Iterable[Any] | None = None, name: str | None = None
    ) -> Prepared:
        """Read a document, or passages, once for all questions: `qa(question=..., prepared=...)` then runs the upper
        layers only, over the blocks that the question may need (docs/prepared.md).

        Args:
            document: a text
            passages: instead of it, strings or dicts with "text" and perhaps "title", as for `run`
            name: of the document; answers then say "document"

        Returns:
            what is to be passed as `prepared`; `runtime.prepared.store.save` keeps it in a file.

        Raises:
            BundleError: the model is not split.
            InputError: there is no text.

        Example:
            >>> prepared = qa.prepare("Ada wrote it in 1843.")  # doctest: +SKIP
            >>> qa(question="Who wrote it?", prepared=prepared)["answer"]  # doctest: +SKIP
            'Ada'
        """
        answerer = self.split_answerer()
        if (document is None) == (passages is None):
            raise InputError("Pass either a document, one string, or passages=, a list of strings or dicts.")
        if document is None:
            if isinstance(passages, (str, bytes, Mapping)) or not isinstance(passages, Iterable):
                raise InputError("`passages` must be a list of strings or dicts. One text is a document.")
            found = list(read_passages(passages))
            if not found:
                raise InputError("`passages` cannot be empty: there is nothing to prepare.")
        elif not isinstance(document, str):
            raise InputError(f"`document` must be a string, got {type(document).__name__}.")
        else:
            found = [Passage(str(document))]
        if name is not None and not isinstance(name, str):
            raise InputError(f"`name` must be a string, got {type(name).__name__}.")
        names = [] if name is None else [str(name)] * len(found)
        with self._turn:
            try:
                return answerer.prepare(found, document is None, names)
            except NoWordsError:
                if document is None:
                    raise
                raise InputError("`document` cannot be empty: it has no words.") from None

    def split_answerer(self, options: RunOptions | None = None) -> SplitAnswerer:
        """Return the pipeline's parts at some settings; default: the bundle's own.

        Raises:
            BundleError: the model is not split.
        """
        split = require_split(self.bundle)
        return SplitAnswerer(self.maker.tokenizer, split, identity_of(self.bundle), self._lower, self.upper(options))

    def done(self, call: Call, options: RunOptions, prepared: Any, return_skim: bool) -> Iterable[Done | InputError]:
        """Run the questions of a call, and yield each when it is done, or its error.

        Args:
            prepared: see `ask_prepared`
        """
        if prepared is not None or self.bundle.manifest.split is not None:
            return self.ask_prepared(call.items, options, prepared, return_skim)
        answerer = self.answerer(options).able()
        return ask_all(answerer, (new_asked(answerer, item, return_skim) for item in call.items))

    def ask_prepared(
        self, items: Iterable[Example | InputError], options: RunOptions, prepared: Any, return_skim: bool
    ) -> Iterator[PreparedAsked | InputError]:
        """Run the questions of a call, and yield each when it is done, or its error.

        Args:
            prepared: a Prepared, or several; None to prepare each question's own passages

        Raises:
            BundleError: the model is not split.
            InputError: `prepared` is something else, or another model's.
        """
        answerer = self.split_answerer(options)
        return ask_items(answerer, items, self._collection(prepared), return_skim)

    def warm_up_split(self) -> None:
        """Prepare a text of every length once, and ask about it; see `QAPipeline.warm_up`."""
        size = self.bundle.model.block_size
        lengths = range(size, self.bundle.model.max_seq_len, size)
        for length in lengths:
            found = self.prepare("a " * length)
            options = self.upper().options
            list(self.ask_prepared([Example("a")], options, found, False))

    def unload_lower(self) -> None:
        """Let go of the engines of the lower layers."""
        if self.bundle.manifest.split is not None:
            self._lower.unload()

    @property
    def _lower(self) -> BundleLower:
        """Return the lower layers; for all threads the same ones, which compile nothing before they run."""
        found: BundleLower | None = self.__dict__.get("_lower_layers")
        if found is None:
            made = BundleLower(self.bundle, require_split(self.bundle), self.backend, self.runner)
            found = self.__dict__.setdefault("_lower_layers", made)
        assert found is not None
        return found

    def _collection(self, prepared: Any) -> Collection | None:
        if prepared is None or isinstance(prepared, Collection):
            return prepared
        parts = [prepared] if isinstance(prepared, Prepared) else prepared
        if not isinstance(parts, Sequence) or not all(isinstance(one, Prepared) for one in parts):
            raise InputError(
                f"`prepared` must be what `prepare` returns, or a list of these, got {type(prepared).__name__}."
            )
        return Collection(parts, identity_of(self.bundle))

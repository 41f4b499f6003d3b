"""A reader for Haystack pipelines, with the inputs and outputs of the ExtractiveReader that Haystack had up to 2.x."""

from typing import Any

from bskim_export.errors import missing_extra
from bskim_export.runtime.pipeline import QAPipeline

try:
    from haystack import Document, ExtractedAnswer, component, default_from_dict, default_to_dict
except ImportError:
    raise missing_extra("haystack-ai", "haystack", "The Haystack component") from None


@component
class BskimReader:
    """Answers a query from the documents that a retriever found, all of them jointly.

    Args:
        bundle: the directory that bskim-export wrote; opened by `warm_up`, which Haystack's pipelines call
        top_k: answers at most
        score_threshold: answers with a lower score are left out
        max_seq_length, stride: positions of a window, and tokens that neighbours share; default: the bundle's
        max_batch_size: windows that run together
        no_answer: the empty answer may be one of them: its data and document are None, its score is a probability
        **pipeline: further arguments of QAPipeline, as "backend" or "threads"

    Raises:
        BskimError: by `warm_up`, if the bundle cannot be opened; by `run`, as `QAPipeline.run` does.

    Example:
        >>> reader = BskimReader("engines/", top_k=3)
        >>> reader.run(query="Who wrote it?", documents=[Document(content="Ada wrote it.")])  # doctest: +SKIP
        {'answers': [ExtractedAnswer(query='Who wrote it?', score=0.98, data='Ada', ...)]}
    """

    def __init__(
        self, bundle: str = "engines", top_k: int = 20, score_threshold: float | None = None,
        max_seq_length: int | None = None, stride: int | None = None, max_batch_size: int | None = None,
        no_answer: bool = True, **pipeline: Any,
    ):  # fmt: skip
        self.options = _options(top_k, score_threshold, max_seq_length, stride, max_batch_size, no_answer)
        self.arguments = {"bundle": str(bundle), **pipeline}
        self.qa: Any = None

    def warm_up(self) -> None:
        """Open the bundle, once."""
        self.qa = self.qa or QAPipeline(**self.arguments)

    def to_dict(self) -> dict[str, Any]:
        """Return the component as Haystack writes it into a pipeline's file."""
        return default_to_dict(self, **self.arguments, **self.options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "BskimReader":
        """Return the component that `to_dict` was called on, not warmed up."""
        return default_from_dict(cls, data)

    @component.output_types(answers=list[ExtractedAnswer])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        max_seq_length: int | None = None,
        stride: int | None = None,
        max_batch_size: int | None = None,
        answers_per_seq: int | None = None,
        no_answer: bool | None = None,
        overlap_threshold: float | None = None,
    ) -> dict[str, list[ExtractedAnswer]]:
        """Return {"answers"}, best first; of documents without text, none. Arguments that are given replace the
        component's; answers_per_seq and overlap_threshold are without effect, for all windows answer as one."""
        given = _options(top_k, score_threshold, max_seq_length, stride, max_batch_size, no_answer)
        o = self.options | {name: value for name, value in given.items() if value is not None}
        texts = [document.content or "" for document in documents]
        if not any(text.strip() for text in texts):
            return {"answers": []}
        self.warm_up()
        found = self.qa.run(
            question=query, passages=texts, top_k=o["top_k"], max_seq_len=o["max_seq_length"], doc_stride=o["stride"],
            batch_size=o["max_batch_size"], handle_impossible_answer=o["no_answer"],
        )  # fmt: skip
        answers = [_extracted(query, documents, a) for a in (found if isinstance(found, list) else [found])]
        return {"answers": [a for a in answers if a.score >= (o["score_threshold"] or 0)]}


def _options(*values: Any) -> dict[str, Any]:
    names = ("top_k", "score_threshold", "max_seq_length", "stride", "max_batch_size", "no_answer")
    return dict(zip(names, values, strict=True))


def _extracted(query: str, documents: list[Document], answer: dict[str, Any]) -> ExtractedAnswer:
    if answer["passage"] is None:
        return ExtractedAnswer(query=query, score=answer["score"])
    document, span = documents[answer["passage"]], ExtractedAnswer.Span(answer["start"], answer["end"])
    return ExtractedAnswer(query, answer["score"], answer["answer"], document, document_offset=span)

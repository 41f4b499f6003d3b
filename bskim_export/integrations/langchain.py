"""A document compressor for LangChain: of what a retriever found, the sentences that matter to the query."""

from collections.abc import Sequence
from typing import Any

from bskim_export.errors import missing_extra
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.sentences import LANGUAGE

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field
except ImportError:
    raise missing_extra("langchain-core", "langchain", "The LangChain compressor") from None

SCORE = "relevance_score"
"""The key in a document's metadata that LangChain's own rerankers use too."""


class BskimCompressor(BaseDocumentCompressor):
    """Cuts documents down to their sentences that matter to a query, and leaves out those of which nothing is kept.

    The documents are copies, in the order in which they came. Their metadata has `SCORE` on top: the probability of
    the document's best sentence.

    Args:
        pipeline: judges the documents; may be shared with others
        threshold, keep, language: as for `QAPipeline.highlight`

    Raises:
        BskimError: by `compress_documents`, whatever `QAPipeline.highlight` raises.

    Example:
        >>> compressor = BskimCompressor(pipeline=QAPipeline("engines/"))  # doctest: +SKIP
        >>> documents = [Document("It was long. Ada wrote it.")]
        >>> compressor.compress_documents(documents, "Who wrote it?")  # doctest: +SKIP
        [Document(metadata={'relevance_score': 0.9}, page_content='Ada wrote it.')]
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    pipeline: QAPipeline = Field(exclude=True)
    threshold: float | None = None
    keep: float | None = None
    language: str = LANGUAGE

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return what is kept of the documents; of documents without text, none. `callbacks` is without effect."""
        texts = [document.page_content for document in documents]
        if not any(text.strip() for text in texts):
            return []
        options: dict[str, Any] = {"threshold": self.threshold, "keep": self.keep, "language": self.language}
        found = self.pipeline.highlight(query, texts, **options)
        return [
            document.model_copy(
                update={"page_content": one["text"], "metadata": {**document.metadata, SCORE: one["score"]}}
            )
            for document, one in zip(documents, found["passages"], strict=True)
            if one["text"]
        ]

"""A node postprocessor for LlamaIndex: of what a retriever found, the sentences that matter to the query."""

from typing import Any

from bskim_export.errors import InputError, missing_extra
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.sentences import LANGUAGE

try:
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
    from pydantic import Field
except ImportError:
    raise missing_extra("llama-index-core", "llama-index", "The LlamaIndex postprocessor") from None


class BskimPostprocessor(BaseNodePostprocessor):
    """Cuts nodes down to their sentences that matter to a query, and leaves out those of which nothing is kept.

    The nodes are copies, in the order in which they came. Their score is the probability of the node's best sentence.

    Args:
        pipeline: judges the nodes; may be shared with others
        threshold, keep, language: as for `QAPipeline.highlight`

    Raises:
        InputError: by `postprocess_nodes`, if there is no query.
        BskimError: by `postprocess_nodes`, whatever else `QAPipeline.highlight` raises.

    Example:
        >>> postprocessor = BskimPostprocessor(pipeline=QAPipeline("engines/"))  # doctest: +SKIP
        >>> postprocessor.postprocess_nodes(nodes, query_str="Who wrote it?")  # doctest: +SKIP
        [NodeWithScore(node=TextNode(..., text='Ada wrote it.'), score=0.9)]
    """

    pipeline: QAPipeline = Field(exclude=True)
    threshold: float | None = None
    keep: float | None = None
    language: str = LANGUAGE

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex knows the class."""
        return "BskimPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("There is no query to judge the nodes by: pass query_str or query_bundle.")
        # Metadata would be pruned with the text and come back as part of it.
        texts = [node.node.get_content(metadata_mode=MetadataMode.NONE) for node in nodes]
        if not any(text.strip() for text in texts):
            return []
        options: dict[str, Any] = {"threshold": self.threshold, "keep": self.keep, "language": self.language}
        found = self.pipeline.highlight(query_bundle.query_str, texts, **options)
        return [
            NodeWithScore(node=_with_text(node.node, one["text"]), score=one["score"])
            for node, one in zip(nodes, found["passages"], strict=True)
            if one["text"]
        ]


def _with_text(node: BaseNode, text: str) -> BaseNode:
    copy = node.model_copy()  # the retriever's own node may be that of its store
    copy.set_content(text)
    return copy

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

from bskim_export.errors import InputError
from bskim_export.integrations.langchain import SCORE, BskimCompressor


class Retriever(BaseRetriever):
    """Finds what it was made with."""

    found: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.found


def documents(texts):
    return [Document(text, metadata={"source": f"{i}.txt"}, id=str(i)) for i, text in enumerate(texts)]


def test_a_chain_keeps_what_the_pipeline_keeps(qa, question, texts):
    given = documents(texts)
    compressor = BskimCompressor(pipeline=qa)
    compress = RunnableLambda(lambda given: compressor.compress_documents(given["documents"], given["query"]))
    chain = {"documents": Retriever(found=given), "query": RunnablePassthrough()} | compress
    expected = qa.highlight(question, texts)["passages"]
    found = chain.invoke(question)
    assert [(int(d.id), d.page_content, d.metadata[SCORE]) for d in found] == [
        (one["index"], one["text"], one["score"]) for one in expected if one["text"]
    ]
    assert {"source": "2.txt", SCORE: expected[2]["score"]} in [d.metadata for d in found]
    assert given == documents(texts)  # the retriever's own are as they were
    assert asyncio.run(compressor.acompress_documents(given, question)) == found


def test_documents_of_which_nothing_is_kept_are_left_out(qa, question, texts):
    (one,) = BskimCompressor(pipeline=qa, keep=0.1).compress_documents(documents(texts), question)
    assert one.metadata["source"] == "2.txt"
    assert one.page_content == qa.highlight(question, texts, keep=0.1)["passages"][2]["text"] != texts[2]
    assert list(BskimCompressor(pipeline=qa, threshold=1.0).compress_documents(documents(texts), question)) == []


def test_nothing_is_found_where_there_is_no_text(qa, question):
    compressor = BskimCompressor(pipeline=qa)
    assert list(compressor.compress_documents([], question)) == []
    assert list(compressor.compress_documents(documents(["", " \n"]), question)) == []


def test_what_cannot_be_used_is_refused(qa, question, texts):
    with pytest.raises(ValidationError, match="pipeline"):
        BskimCompressor()
    with pytest.raises(InputError, match="either `threshold` or `keep`"):
        BskimCompressor(pipeline=qa, keep=0.5, threshold=0.5).compress_documents(documents(texts), question)
    with pytest.raises(InputError, match="cannot be empty"):
        BskimCompressor(pipeline=qa).compress_documents(documents(texts), "")

import asyncio

import pytest
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from bskim_export.errors import InputError
from bskim_export.integrations.llama_index import BskimPostprocessor


def nodes(texts):
    return [
        NodeWithScore(node=TextNode(id_=str(i), text=text, metadata={"title": "Ada"}), score=0.5)
        for i, text in enumerate(texts)
    ]


def test_it_keeps_what_the_pipeline_keeps(qa, question, texts):
    given = nodes(texts)
    postprocessor = BskimPostprocessor(pipeline=qa)
    expected = qa.highlight(question, texts)["passages"]
    found = postprocessor.postprocess_nodes(given, QueryBundle(question))
    assert [(int(n.node_id), n.text, n.score) for n in found] == [
        (one["index"], one["text"], one["score"]) for one in expected if one["text"]
    ]
    assert all(n.metadata == {"title": "Ada"} for n in found)
    assert given == nodes(texts)  # the retriever's own are as they were
    assert postprocessor.postprocess_nodes(given, query_str=question) == found
    assert asyncio.run(postprocessor.apostprocess_nodes(given, query_str=question)) == found


def test_nodes_of_which_nothing_is_kept_are_left_out(qa, question, texts):
    (one,) = BskimPostprocessor(pipeline=qa, keep=0.1).postprocess_nodes(nodes(texts), query_str=question)
    assert one.node_id == "2"
    assert one.text == qa.highlight(question, texts, keep=0.1)["passages"][2]["text"] != texts[2]
    assert BskimPostprocessor(pipeline=qa, threshold=1.0).postprocess_nodes(nodes(texts), query_str=question) == []


def test_nothing_is_found_where_there_is_no_text(qa, question):
    postprocessor = BskimPostprocessor(pipeline=qa)
    assert postprocessor.postprocess_nodes([], QueryBundle(question)) == []
    assert postprocessor.postprocess_nodes(nodes(["", " \n"]), QueryBundle(question)) == []


def test_what_cannot_be_used_is_refused(qa, question, texts):
    with pytest.raises(ValidationError, match="pipeline"):
        BskimPostprocessor()
    postprocessor = BskimPostprocessor(pipeline=qa)
    with pytest.raises(InputError, match="pass query_str or query_bundle"):
        postprocessor.postprocess_nodes(nodes(texts))
    with pytest.raises(InputError, match="cannot be empty"):
        postprocessor.postprocess_nodes(nodes(texts), query_str="")


def test_its_settings_are_written_without_the_pipeline(qa):
    written = BskimPostprocessor(pipeline=qa, keep=0.5).to_dict()
    assert written["class_name"] == "BskimPostprocessor"
    assert written["keep"] == 0.5
    assert "pipeline" not in written

import json

import pytest
from haystack import Document, Pipeline, component

from bskim_export.errors import BundleError, InputError
from bskim_export.integrations.haystack import BskimReader


@component
class Retriever:
    """Finds what it was made with."""

    def __init__(self, texts: list[str | None]):
        self.texts = texts

    @component.output_types(documents=list[Document])
    def run(self, query: str):
        return {"documents": [Document(content=text, meta={"number": i}) for i, text in enumerate(self.texts)]}


@pytest.fixture
def reader(minilm_bundle) -> BskimReader:
    return BskimReader(str(minilm_bundle), threshold=0.001, top_k=3)


def documents(texts):
    return [Document(content=text) for text in texts]


def test_a_pipeline_answers_from_what_its_retriever_found(reader, qa, question, texts):
    pipeline = Pipeline()
    pipeline.add_component("retriever", Retriever([*texts, None]))
    pipeline.add_component("reader", reader)
    pipeline.connect("retriever.documents", "reader.documents")
    answers = pipeline.run({"retriever": {"query": question}, "reader": {"query": question}})["reader"]["answers"]
    expected = qa(question=question, passages=texts, top_k=3, handle_impossible_answer=True)
    assert [(a.data or "", a.score) for a in answers] == [(one["answer"], one["score"]) for one in expected]
    assert answers[0].data == "Ada Lovelace"
    assert answers[0].query == question
    for answer, one in zip(answers, expected, strict=True):
        if one["passage"] is None:
            assert (answer.data, answer.document, answer.document_offset) == (None, None, None)
        else:
            assert answer.document.meta == {"number": one["passage"]}
            offset = answer.document_offset
            assert answer.document.content[offset.start : offset.end] == answer.data


def test_a_pipeline_is_written_and_read_again(reader, question, texts):
    pipeline = Pipeline()
    pipeline.add_component("reader", reader)
    given = {"reader": {"query": question, "documents": documents(texts)}}
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["bskim_export.integrations.haystack"])
    assert again.run(given) == pipeline.run(given)


def test_the_component_is_written_and_read_again(reader):
    reader.warm_up()
    written = json.loads(json.dumps(reader.to_dict()))
    assert written["type"] == "bskim_export.integrations.haystack.BskimReader"
    again = BskimReader.from_dict(written)
    assert again.qa is None
    assert again.to_dict() == written
    assert written["init_parameters"]["threshold"] == 0.001


def test_arguments_of_a_call_replace_the_components(reader, qa, question, texts):
    def found(**arguments):
        return reader.run(question, documents(texts), **arguments)["answers"]

    own = {"max_seq_len": 64, "doc_stride": 16}
    one = qa(question=question, passages=texts, **own)
    (only,) = found(top_k=1, no_answer=False, max_seq_length=64, stride=16, max_batch_size=1)
    assert (only.data, only.score) == (one["answer"], one["score"])
    every = found(answers_per_seq=1, overlap_threshold=0.5)
    assert len(every) == 3
    middle = every[1].score
    assert found(score_threshold=middle) == every[:2]
    assert BskimReader(str(qa.bundle.folder), 3, middle, threshold=0.001).run(question, documents(texts)) == {
        "answers": every[:2]
    }


def test_nothing_is_found_where_there_is_no_text(question):
    reader = BskimReader("nowhere")  # never opened
    assert reader.run(question, []) == {"answers": []}
    assert reader.run(question, documents([None, "", " \n"])) == {"answers": []}


def test_a_bundle_that_is_missing_and_a_query_without_words_are_refused(reader, question, texts):
    with pytest.raises(BundleError, match="nowhere"):
        BskimReader("nowhere").warm_up()
    with pytest.raises(BundleError, match="nowhere"):
        BskimReader("nowhere").run(question, documents(texts))
    with pytest.raises(InputError, match="cannot be empty"):
        reader.run("", documents(texts))

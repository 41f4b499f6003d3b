"""`bskim-prepare`, and `bskim-ask --store`."""

import json
import os
from itertools import count

import pytest
from commands.cli import in_one_line, run, succeed

from bskim_export.commands.ask_store import AROUND, around
from bskim_export.runtime.prepared import filling
from bskim_export.runtime.prepared.asking import SplitAnswerer
from bskim_export.runtime.prepared.store import Store

ADA = "Ada Lovelace wrote the first program in 1843. "


@pytest.fixture
def corpus(tmp_path):
    """A directory of documents."""
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    (folder / "ada.txt").write_text(ADA * 40, encoding="utf-8")
    (folder / "sub" / "river.txt").write_text("The river is long and cold.", encoding="utf-8")
    (folder / "lines.jsonl").write_text('{"text": "Bread is made of flour.", "name": "bread"}\n', encoding="utf-8")
    return folder


@pytest.fixture
def prepare(split_bundle, tmp_path):
    """Return a function: files and options -> the result of bskim-prepare."""
    return lambda *arguments: run("prepare", *arguments, "--bundle", split_bundle, "--out", tmp_path / "store")


def report(*arguments):
    return json.loads(run(*arguments, "--json").stdout)


def test_documents_are_prepared_once_and_told(prepare, corpus, tmp_path, split_bundle):
    (corpus / "blank.txt").write_text(" \n", encoding="utf-8")
    (corpus / "picture.png").write_bytes(b"\xff")
    done = prepare(corpus)
    assert done.exit_code == 0, done.output
    shown = in_one_line(done)
    assert "Left out, for they end neither in .txt, .md nor in .jsonl, .jsonl.gz: picture.png." in shown
    assert "Documents without words were left out: blank.txt." in shown
    assert "Prepared 3 documents, 4" in shown
    assert "Store 3 documents, 4" in shown
    assert "bytes a token" in shown
    assert f"Ask bskim-ask {split_bundle}" in shown
    names = {name for one in Store(tmp_path / "store").load() for name in one.names}
    assert names == {"ada.txt", "sub/river.txt", "bread"}
    again = prepare(corpus, "--json")
    found = json.loads(again.stdout)
    assert (found["documents"], found["before"], found["prepared"], found["tokens"]) == (4, 3, 0, 0)
    assert found["without_words"] == ["blank.txt"]
    assert found["store_documents"] == 3
    assert found["store_bytes_per_token"] == found["store_bytes"] / found["store_tokens"] > 32 * 2
    assert "3 were there already" in again.stderr
    (corpus / "ada.txt").write_text("Another text.", encoding="utf-8")
    changed = prepare(corpus / "ada.txt")
    assert "Prepared 1 documents" in in_one_line(changed)
    assert "Removed 1, in whose place they are" in in_one_line(changed)


def test_an_interrupted_run_says_what_to_do_and_goes_on(prepare, corpus, monkeypatch):
    monkeypatch.setattr(filling, "GROUP_BLOCKS", 1)
    prepare_one = SplitAnswerer.prepare
    number = count(1)

    def interrupted(self, *arguments, **options):
        if next(number) == 3:
            raise KeyboardInterrupt
        return prepare_one(self, *arguments, **options)

    monkeypatch.setattr(SplitAnswerer, "prepare", interrupted)
    done = prepare(corpus)
    assert done.exit_code == 130
    assert "Interrupted. What is in the store stays; the same command goes on with the rest." in in_one_line(done)
    rest = in_one_line(prepare(corpus))
    assert "Prepared 1 documents" in rest
    assert "2 were there already" in rest


def test_what_cannot_be_read_is_told_before_anything_is_prepared(prepare, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(SplitAnswerer, "prepare", lambda *_, **__: pytest.fail("it was prepared"))
    (corpus / "zz.txt").write_bytes(b"one\ntwo \xff")
    refused = prepare(corpus)
    assert refused.exit_code == 1
    assert "zz.txt', line 2: this is no text in UTF-8" in in_one_line(refused)
    (corpus / "zz.txt").unlink()
    (corpus / "lines.jsonl").write_text('{"text": "a"}\n{"text"\n', encoding="utf-8")
    assert "lines.jsonl, line 2: not valid JSON" in in_one_line(prepare(corpus))
    os.mkdir(tmp_path / "empty")
    assert "There are no documents in these files" in in_one_line(prepare(tmp_path / "empty"))
    missing = prepare(tmp_path / "nowhere")
    assert missing.exit_code == 2
    assert "does not exist" in missing.output
    with Store(tmp_path / "store").alone():
        assert "Another bskim-prepare writes into" in in_one_line(prepare(corpus / "ada.txt"))
    assert os.listdir(tmp_path / "store") == []


def test_other_models_and_stores_of_others_are_refused(prepare, corpus, tmp_path, tiny_bundle, split_bundle):
    joint = run("prepare", corpus, "--bundle", tiny_bundle("bert"), "--out", tmp_path / "store")
    assert joint.exit_code == 1
    assert "is not split: it reads question and passage together" in in_one_line(joint)
    assert not (tmp_path / "store").exists()
    prepare(corpus / "ada.txt")
    store = Store(tmp_path / "store")
    (prepared,) = store.load()
    prepared.identity = "another"
    store.add(prepared)
    assert "was prepared by another model, or with other settings" in in_one_line(prepare(corpus))
    asked = run("ask", split_bundle, "--store", tmp_path / "store", "--question", "Who?")
    assert asked.exit_code == 1
    assert "made by another model" in in_one_line(asked)


# bskim-ask --store


def test_a_store_is_asked(prepare, corpus, split_bundle, split_qa, tmp_path):
    prepare(corpus)
    call = ("ask", split_bundle, "--store", tmp_path / "store", "--question", "Who wrote it?")
    found = report(*call, "--top-k", 3, "--max-blocks", 5, "--no-align-to-words")
    expected = split_qa(question="Who wrote it?", prepared=Store(tmp_path / "store").load(), top_k=3, max_blocks=5,
                        align_to_words=False)  # fmt: skip
    assert found["question"] == "Who wrote it?"
    assert [{k: v for k, v in one.items() if k != "around"} for one in found["answers"]] == expected
    texts = {
        n: p.text for one in Store(tmp_path / "store").load() for n, p in zip(one.names, one.passages, strict=True)
    }
    for answer in found["answers"]:
        assert texts[answer["document"]][answer["start"] : answer["end"]] == answer["answer"]
        shown = answer["around"]
        assert shown["text"][shown["start"] : shown["end"]] == answer["answer"]
        assert shown["text"] in texts[answer["document"]]
    shown = succeed(*call, "--top-k", 2)
    (first, _) = report(*call, "--top-k", 2)["answers"]
    assert f"Answer {first['answer']} (score {first['score']:.3f}, in {first['document']})" in shown
    assert " ".join(first["around"]["text"].split()) in shown
    assert " or " in shown


def test_the_null_answer_is_from_no_document(prepare, corpus, split_bundle, tmp_path):
    prepare(corpus / "sub")
    done = run("ask", split_bundle, "--store", tmp_path / "store", "--question", "Who?", "--top-k", 500,
               "--handle-impossible-answer", "--json")  # fmt: skip
    (null,) = (one for one in json.loads(done.stdout)["answers"] if not one["answer"])
    assert (null["document"], null["passage"], null["around"]) == (None, None, None)
    assert "none  (score 0." in done.stderr


def test_mistakes_with_a_store_are_told(split_bundle, tiny_bundle, tmp_path):
    question = ("--question", "Who?")
    for arguments, message in [
        ((split_bundle, *question, "--store", tmp_path / "no"), "There is no store"),
        ((split_bundle, *question, "--store", tmp_path), "is empty: bskim-prepare adds documents to it"),
        ((split_bundle, *question, "--store", tmp_path, "--highlight"), "--highlight is for a passage"),
        ((split_bundle, *question, "--store", tmp_path, "--keep", 0.5), "--keep is for --highlight"),
        (
            (split_bundle, *question, "--store", tmp_path, "--context", "Ada."),
            "Pass the passage with --context, or its",
        ),
        ((split_bundle, *question, "--store", tmp_path, "--file", "a.txt"), "or documents with --store: one of them"),
        ((tiny_bundle("bert"), *question, "--store", tmp_path / "no"), "is not split"),
    ]:
        done = run("ask", *arguments)
        assert done.exit_code == 1
        assert message in in_one_line(done)


def test_what_stands_around_an_answer_are_whole_words():
    text = "word " * 100 + "Ada Lovelace" + " word" * 100
    shown = around(text, 500, 512)
    assert shown["text"][shown["start"] : shown["end"]] == "Ada Lovelace"
    assert set(shown["text"].split()) == {"word", "Ada", "Lovelace"}
    assert 2 * AROUND <= len(shown["text"]) + 10 <= 2 * AROUND + 22
    assert around("Ada", 0, 3) == {"text": "Ada", "start": 0, "end": 3}
    endless = around("\u65e5" * 1000, 500, 510)
    assert (len(endless["text"]), endless["start"]) == (2 * AROUND + 10, AROUND)

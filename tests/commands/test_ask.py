import pytest
from click.testing import CliRunner
from commands.cli import run, succeed

from bskim_export.commands import main
from bskim_export.commands.ask import render_passage

PASSAGE = "The book was written by Ada Lovelace in 1843."
QUESTION = ("--question", "Who wrote the book?")


@pytest.fixture
def passage(tmp_path):
    (tmp_path / "passage.txt").write_text(PASSAGE, encoding="utf-8")
    return tmp_path / "passage.txt"


def test_the_passage_and_the_answer_are_printed(minilm_bundle, passage):
    shown = succeed("ask", minilm_bundle, *QUESTION, "--file", passage)
    assert PASSAGE in shown
    assert "Answer Ada Lovelace (score 0." in shown
    assert f"Skimmed 0 of {len(PASSAGE)} characters" in shown


def test_the_passage_may_be_an_argument_or_standard_input(minilm_bundle, passage):
    expected = run("ask", minilm_bundle, *QUESTION, "--file", passage).output
    assert run("ask", minilm_bundle, *QUESTION, "--context", PASSAGE).output == expected
    arguments = ["ask", str(minilm_bundle), *QUESTION, "--file", "-"]
    assert CliRunner().invoke(main, arguments, input=PASSAGE).output == expected
    refused = CliRunner().invoke(main, arguments, input=b"\xff\xfe")
    assert refused.exit_code == 1
    assert "cannot be read as UTF-8 text" in refused.output


def test_a_threshold_takes_the_place_of_the_bundles(minilm_bundle):
    filler = "It rained on the hills and on the sea, and nobody came to look at the grey stones. " * 12
    long = ("--context", f"{PASSAGE} {filler}")
    assert "Skimmed 0 of" in succeed("ask", minilm_bundle, *QUESTION, *long, "--threshold", 0)
    skimmed = succeed("ask", minilm_bundle, *QUESTION, *long, "--threshold", 0.3)
    assert "Answer Ada Lovelace" in skimmed
    assert int(skimmed.partition("Skimmed ")[2].split()[0]) > len(filler) / 2


def test_skimmed_ranges_are_bracketed_with_their_layer():
    answer = {"score": 1.0, "answer": "b", "start": 2, "end": 3, "skipped": [{"start": 4, "end": 5, "layer": 11}]}
    assert render_passage("a b c d", answer).plain == "a b ⟨c⟩₁₁ d"

import json

import pytest
from click.testing import CliRunner
from commands.cli import run, succeed

from bskim_export.bundle.manifest import WINDOW_SCALES
from bskim_export.commands import main
from bskim_export.commands.ask import main as ask
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
    assert render_passage("a b c d", answer, ("<", ">", {})).plain == "a b <c>11 d"


def test_answers_as_json(minilm_bundle, minilm_qa):
    done = run("ask", minilm_bundle, *QUESTION, "--context", PASSAGE, "--top-k", 2, "--json")
    found = json.loads(done.stdout)
    expected = minilm_qa.run(question=QUESTION[1], context=PASSAGE, top_k=2)
    assert found == {"question": QUESTION[1], "answers": expected, "skipped": []}
    assert "Answer    Ada Lovelace" in done.stderr
    assert f"or        {expected[1]['answer']}" in done.stderr


def test_the_null_answer_is_given_only_if_it_may_be(minilm_bundle):
    unanswerable = ("--question", "How tall is the bridge?", "--context", PASSAGE)
    assert "Answer none (score" not in succeed("ask", minilm_bundle, *unanswerable)
    done = run("ask", minilm_bundle, *unanswerable, "--handle-impossible-answer", "--top-k", 20, "--json", "-")
    assert "" in [one["answer"] for one in json.loads(done.stdout)["answers"]]


def test_answers_may_be_parts_of_words(minilm_bundle):
    """Without blanks, a whole sentence is one word."""
    japanese = ("--question", "Who?", "--context", "1843年にAdaが本を書いた。")
    whole, part = (
        json.loads(run("ask", minilm_bundle, *japanese, option, "--json").stdout)["answers"][0]["answer"]
        for option in ("--align-to-words", "--no-align-to-words")
    )
    assert part in whole


def test_what_a_terminal_would_obey_is_shown(minilm_bundle):
    done = run("ask", minilm_bundle, *QUESTION, "--context", f"\x1b]0;owned\x07\x1b[2J {PASSAGE} [bold]x[/nope]")
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert "\\x1b]0;owned" in done.output
    assert "[bold]x[/nope]" in done.output


def test_highlight_shows_what_matters(minilm_bundle):
    filler = "It rained on the hills and on the sea. Nobody came to look at the grey stones. " * 6
    call = (
        "ask",
        minilm_bundle,
        *QUESTION,
        "--context",
        f"{filler}{PASSAGE} {filler}",
        "--threshold",
        0.001,
        "--highlight",
    )
    shown = succeed(*call, "--keep", 0.4)
    assert PASSAGE in shown.partition("Kept")[2]
    assert int(shown.partition("Cut")[2].split("%")[0]) > 40
    found = json.loads(run(*call, "--json").stdout)["highlight"]
    assert set(found) == {"index", "score", "text", "compression", "sentences"}
    assert len(found["sentences"]) == 25
    refused = run("ask", minilm_bundle, *QUESTION, "--context", PASSAGE, "--keep", 0.5)
    assert refused.exit_code == 1
    assert "--keep is for --highlight" in refused.output


def test_the_scale_between_windows_is_chosen_by_name(minilm_bundle, minilm_qa):
    context = f"{PASSAGE} " + "The river is long and cold, and boats pass on it. " * 80
    for scale in ("window", "logits", "null"):
        done = run("ask", minilm_bundle, *QUESTION, "--context", context, "--window-scale", scale, "--json")
        (answer,) = json.loads(done.stdout)["answers"]
        assert answer == minilm_qa(question=QUESTION[1], context=context, window_scale=scale)
    assert run("ask", minilm_bundle, *QUESTION, "--context", PASSAGE, "--window-scale", "other").exit_code == 2


def test_the_scales_of_the_command_are_those_of_the_runtime():
    """The command has them by heart: its help imports nothing of a bundle."""
    (option,) = (one for one in ask.params if one.name == "window_scale")
    assert tuple(option.type.choices) == WINDOW_SCALES

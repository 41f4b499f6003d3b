"""The progress of bskim-calibrate, and its evidence as tables."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bskim_export.commands.terminal import errors, loudness, note
from bskim_export.data.question import Question
from bskim_export.errors import InputError


def answerable(questions: list[Question]) -> list[Question]:
    """Return the questions that have an answer: the others need no block, so they say nothing about thresholds.

    Raises:
        InputError: none has.
    """
    kept = [q for q in questions if q.answers]
    if not kept:
        raise InputError("No question of the data set has an answer: there is nothing to calibrate on.")
    if len(kept) < len(questions):
        note(f"{len(questions) - len(kept)} questions without an answer are left out.")
    return kept


class Steps(Progress):
    """A bar for each step; a call says which step has just done how much out of how much."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, TimeRemainingColumn(), console=errors, disable=loudness.quiet)
        self._current: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        task = self._current.get(what)
        if task is None or self.tasks[task].finished:
            task = self._current[what] = self.add_task(what, total=total)
        self.advance(task, done)


def print_evidence(console: Console, evidence: dict[str, Any]) -> None:
    """Print the thresholds, what was tested, and both rows on calibration and held-out questions."""
    _print_layers(console, evidence)
    if "tested" in evidence:
        _print_tests(console, evidence)
    _print_rows(console, evidence)
    if "expected_f1_drop" in evidence:
        _print_budget(console, evidence)
    price = evidence["price"]
    if price and price["error"] > 0.1:
        console.print(
            f"Timings were noisy: the fitted prices miss the measured times by {price['error']:.0%} (median). "
            "Calibrate on a quiet machine, or delete the work directory and try again.",
            style="yellow",
        )


def print_split_evidence(console: Console, evidence: dict[str, Any]) -> None:
    """Print what was tried of a split model, what was chosen, and what that gives on held-out questions."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in ("", "blocks", "thresholds", "F1", "F1 drop", "GMACs", "fewer MACs"):
        table.add_column(header, justify="left" if not header else "right")

    def add(name: str, max_blocks: int, thresholds: dict[int, float], row: dict[str, float]) -> None:
        shown = ", ".join(f"{t:.3g}" for t in thresholds.values()) if any(thresholds.values()) else "none"
        drop = f"{row['f1_drop']:.2f} ± {row['f1_drop_standard_error']:.2f}"
        cost = (f"{row['gmacs_per_question']:.3f}", f"{row['speedup_macs']:.2f}x")
        table.add_row(name, str(max_blocks), shown, f"{row['f1']:.2f}", drop, *cost)

    for i, row in enumerate(evidence["tried"]):
        add("chosen" if i == evidence["chosen"] else "", row["max_blocks"], row["thresholds"], row)
    chosen = evidence["tried"][evidence["chosen"]]
    if "held_out" in evidence:
        table.add_section()
        for name, row in zip(("held-out, full", "held-out, chosen"), evidence["held_out"]["rows"], strict=True):
            full = name == "held-out, full"
            nothing = dict.fromkeys(evidence["thresholds"], 0.0)
            blocks = max(one["max_blocks"] for one in evidence["tried"]) if full else chosen["max_blocks"]
            add(name, blocks, nothing if full else chosen["thresholds"], row)
    console.print(table)
    console.print("± one standard error. MACs of the layers above the split, in a question.", style="dim")


def _print_layers(console: Console, evidence: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in ("layer", "threshold", "blocks kept after it"):
        table.add_column(header, justify="right")
    kept = evidence["calibration"]["skim"]["kept_blocks"]
    for layer, threshold in evidence["thresholds"].items():
        shown = f"{threshold:.4g}" if threshold else "0 (predictor does not run)"
        table.add_row(str(layer), shown, f"{kept[layer]:.0%}")
    console.print(table)


def _print_tests(console: Console, evidence: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in ("candidate", "lost", "p-value", ""):
        table.add_column(header, justify="right")
    for n, test in enumerate(evidence["tested"], 1):
        verdict = "certified" if test["certified"] else "not certified"
        table.add_row(str(n), str(test["lost"]), f"{test['p_value']:.4f}", verdict)
    console.print(table)
    recipe = evidence["recipe"]
    needing = evidence["certification_questions_that_need_a_block"]
    if any(test["certified"] for test in evidence["tested"]):
        console.print(
            f"With {recipe['confidence']:.0%} confidence, at most {recipe['risk']:.1%} of questions lose an answer "
            f"block that they need: Learn then Test on {needing} questions that the search did not see."
        )
    else:
        console.print("No candidate was certified, so nothing is dropped: the thresholds are 0.", style="yellow")


def _print_rows(console: Console, evidence: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in ("", "questions", "EM", "F1", "F1 drop", "lost", "GMACs", "fewer MACs"):
        table.add_column(header, justify="left" if not header else "right")
    for name in ("calibration", "held_out"):
        both = evidence.get(name, {})
        for row in ("dense", "skim") if both else ():
            values = both[row]
            drop = f"{values['f1_drop']:.2f} ± {values['f1_drop_standard_error']:.2f}" if row == "skim" else ""
            lost = str(values["questions_that_lost_a_needed_block"]) if row == "skim" else ""
            cells = (f"{name.replace('_', '-')}, {row}", str(both["questions"]))
            scores = (f"{values['em']:.2f}", f"{values['f1']:.2f}", drop, lost)
            table.add_row(*cells, *scores, f"{values['gmacs_per_question']:.2f}", f"{values['speedup_macs']:.2f}x")
    console.print(table)
    console.print("± one standard error. lost: questions that lost an answer block they needed.", style="dim")


def _print_budget(console: Console, evidence: dict[str, Any]) -> None:
    error = evidence["expected_f1_drop_standard_error"]
    console.print(
        f"Expected on other questions, by two-fold estimate: an F1 drop of {evidence['expected_f1_drop']:.2f} "
        f"± {error:.2f}.",
    )
    if error > evidence["recipe"]["max_f1_drop"] > 0:
        console.print(
            "The error is larger than the budget: more calibration questions (--sample) would tell more.",
            style="yellow",
        )

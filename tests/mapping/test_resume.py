"""A run goes on where it was, with what it was begun with, and is alone."""

import json
import os

import pytest
from commands.cli import in_one_line, run, succeed
from mapping.conftest import check, read_out, write_lines

from bskim_export.locks import take_lock
from bskim_export.mapping import cluster, output
from bskim_export.mapping import run as module
from bskim_export.mapping.actor import TRIES

PART = "part-00002.jsonl"


@pytest.fixture
def begun(tmp_path, rows, tiny, without_ray):
    """A run of six parts that is done: its arguments."""
    arguments = [write_lines(tmp_path / "in.jsonl", rows), "--out", tmp_path / "out", "--bundle", tiny]
    arguments += ["--part-rows", 10]
    succeed("map", *arguments)
    assert without_ray == list(range(6))
    without_ray.clear()
    return arguments


def test_parts_that_are_there_are_not_answered_again(begun, tmp_path, rows, tiny_qa, without_ray):
    assert "60 were there already" in succeed("map", *begun)
    assert without_ray == []
    (tmp_path / "out" / PART).unlink()
    assert "50 were there already" in succeed("map", *begun)
    assert without_ray == [2]
    check(read_out(tmp_path / "out"), rows, tiny_qa)


def test_a_part_that_lost_rows_is_done_again(begun, tmp_path, rows, tiny_qa, without_ray):
    path = tmp_path / "out" / PART
    path.write_bytes(path.read_bytes()[:-20])
    assert f"not as they were written, and are done again: {PART}" in succeed("map", *begun)
    assert without_ray == [2]
    check(read_out(tmp_path / "out"), rows, tiny_qa)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--top-k", 3], "--top-k was 1 and is 3"),
        (["--part-rows", 11], "--part-rows was 10 and is 11"),
        (["--handle-impossible-answer"], "--handle-impossible-answer was off and is on"),
        (["--threshold", 0.5], "--threshold was not given and is 0.5"),
        (["--format", "parquet"], "--format was jsonl and is parquet"),
    ],
)
def test_other_settings_are_refused_by_name(begun, without_ray, options, said):
    done = run("map", *begun, *options)
    assert done.exit_code == 1
    assert said in in_one_line(done)
    assert "name another --out" in in_one_line(done)
    assert without_ray == []


def test_threads_and_actors_may_change(begun, tmp_path, without_ray):
    (tmp_path / "out" / PART).unlink()
    succeed("map", *begun, "--threads", 1, "--actors", 1)
    assert without_ray == [2]


def test_another_input_or_bundle_is_refused(begun, tmp_path, rows, tiny_bundle):
    os.utime(tmp_path / "in.jsonl", (1, 1))
    assert "in.jsonl' was changed" in in_one_line(run("map", *begun))
    other = write_lines(tmp_path / "other.jsonl", rows)
    assert "IN was" in in_one_line(run("map", other, *begun[1:]))
    said = in_one_line(run("map", *begun, "--bundle", tiny_bundle("bert", (0, 1), "question")))
    assert "the bundle has other" in said


def test_what_is_not_ours_is_left_alone(tmp_path, rows, tiny, without_ray):
    path = write_lines(tmp_path / "in.jsonl", rows)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "holds 'thesis.txt'" in in_one_line(run("map", path, "--out", tmp_path / "out", "--bundle", tiny))
    assert os.listdir(tmp_path / "out") == ["thesis.txt"]


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', json.dumps({"format": 1, "input": {}})])
def test_a_damaged_record_is_refused(begun, tmp_path, content):
    (tmp_path / "out" / "_map.json").write_text(content)
    done = run("map", *begun)
    assert done.exit_code == 1
    assert "Name another --out" in in_one_line(done)
    assert "Unexpected" not in done.output


def test_a_second_run_at_once_is_refused(begun, tmp_path):
    descriptor = os.open(tmp_path / "out", os.O_RDONLY)
    assert take_lock(descriptor)
    assert "Another bskim-map writes into" in in_one_line(run("map", *begun))
    os.close(descriptor)
    succeed("map", *begun)


def test_a_part_that_always_ends_its_process_is_given_up(begun, tmp_path, monkeypatch):
    (tmp_path / "out" / PART).unlink()
    # What tries of this run leave behind; those of an earlier one do not count, so it cannot be there before.
    before = module.missing_parts

    def missing(*arguments):
        found = before(*arguments)
        (tmp_path / "out" / f".{PART}.begun").write_bytes(b"." * TRIES)
        return found

    monkeypatch.setattr(module, "missing_parts", missing)
    assert f"Rows 20 to 29 of '{tmp_path / 'in.jsonl'}' ended the process" in in_one_line(run("map", *begun))


def test_an_output_that_nodes_do_not_share_is_refused(begun, tmp_path, monkeypatch):
    (tmp_path / "out" / PART).unlink()
    elsewhere = {"part": 2, "rows": 10, "unanswered": 0, "seconds": 1.0, "node": "n7", "failure": ""}
    monkeypatch.setattr(cluster, "answer_parts", lambda parts, task, pool, tell: tell(elsewhere))
    monkeypatch.setattr(output, "PATIENCE", 0.0)
    assert "Part 2 was written on n7, but is not in" in in_one_line(run("map", *begun))


def test_input_that_changes_meanwhile_is_refused(begun, tmp_path, monkeypatch):
    (tmp_path / "out" / PART).unlink()
    before = module.missing_parts

    def missing(*arguments):
        with open(tmp_path / "in.jsonl", "a") as stream:
            stream.write("\n")
        return before(*arguments)

    monkeypatch.setattr(module, "missing_parts", missing)
    assert "was changed since its rows were counted" in in_one_line(run("map", *begun))

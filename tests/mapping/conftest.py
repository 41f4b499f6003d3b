"""Rows to be mapped, and two ways to map them: in this process, which takes no time, and on a real Ray."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bskim_export import QAPipeline
from bskim_export.data.question import sample


@pytest.fixture(scope="session")
def tiny(tiny_bundle):
    """The tiny bundle."""
    return tiny_bundle()


@pytest.fixture(scope="session")
def tiny_qa(tiny):
    """A pipeline over it."""
    return QAPipeline(tiny, threads=1)


@pytest.fixture(scope="session")
def rows(squad):
    """Rows with an id, a question, a short context, and a column of lists that nobody asks for."""
    return [
        {"id": number, "question": one.question, "context": one.context[:300], "tags": ["a", None]}
        for number, one in enumerate(sample(squad, 60, seed=3))
    ]


@pytest.fixture
def without_ray(monkeypatch):
    """Answer the parts here, one behind the other. Returns the numbers of those that were answered."""
    from bskim_export.mapping import cluster
    from bskim_export.mapping.actor import PartAnswerer
    from bskim_export.mapping.cluster import BskimError, Pool

    answered = []

    @contextmanager
    def connected(address, verbose):
        yield

    def answer_parts(parts, task, pool, tell):
        one = PartAnswerer(task)
        for part in parts:
            line = {name: values[0] for name, values in one({"part": [part]}).items()}
            if line["failure"]:
                raise BskimError(line["failure"])
            answered.append(part.number)
            tell(line)

    monkeypatch.setattr(cluster, "connected", connected)
    monkeypatch.setattr(cluster, "choose_pool", lambda *_: Pool(1, 1))
    monkeypatch.setattr(cluster, "answer_parts", answer_parts)
    return answered


def write_lines(path, rows):
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_out(out):
    """Return the rows of an output, in order; no file of it may be anything else."""
    found = []
    names = sorted(os.listdir(out))
    assert names[0] == "_map.json", names
    for name in names[1:]:
        assert name.startswith("part-"), names
        path = Path(out) / name
        if path.suffix == ".parquet":
            found += pq.read_table(path).to_pylist()
        else:
            found += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return found


def check(found, rows, qa, **options):
    """Assert that each row is as it was, and has what the pipeline answers."""
    expected = qa.run(data=[{k: row[k] for k in ("question", "context")} for row in rows], **options)
    assert [{name: one[name] for name in rows[0]} for one in found] == rows
    for one, answer in zip(found, expected, strict=True):
        assert (one["answer"], one["start"], one["end"]) == (answer["answer"], answer["start"], answer["end"])
        assert one["score"] == pytest.approx(answer["score"], abs=1e-5)
        assert one["error"] is None


def command(*arguments):
    """Return the command line of bskim-map as a process of its own."""
    return [sys.executable, "-m", "bskim_export.commands", "map", *map(str, arguments)]


def succeed_apart(*arguments):
    """Run bskim-map in a process of its own, which must not fail. Returns what it printed."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

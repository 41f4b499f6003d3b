"""A run from its beginning, or from where a kill left it, to its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.hub import is_hub_name
from bskim_export.bundle.identity import identity_of
from bskim_export.errors import OutputError
from bskim_export.mapping.actor import Task
from bskim_export.mapping.output import appears, locked, missing_parts, read_record, require_same, write_record
from bskim_export.mapping.settings import Settings
from bskim_export.mapping.source import Source, count_rows, find_source, first_of


@dataclass(frozen=True)
class Machines:
    """Where a run runs; rows do not depend on it.

    address: of a cluster; None for this machine alone
    actors, threads, gpus: see `cluster.choose_pool`
    verbose: show what Ray logs
    """

    address: str | None = None
    actors: int | None = None
    threads: int | None = None
    gpus: float = 0
    verbose: bool = False


@dataclass
class Report:
    """What a run did.

    rows: of the input
    before: rows that an earlier run had done
    unanswered: rows without an answer, of those that this run did
    seconds: that it took
    start, row: seconds until it answers, and core-seconds of a row; 0 if nothing was to be done
    actors, threads: that it had
    """

    rows: int
    before: int
    unanswered: int = 0
    seconds: float = 0
    start: float = 0
    row: float = 0
    actors: int = 0
    threads: int = 0


def map_rows(
    path: Path,
    out: Path,
    bundle: Path,
    settings: Settings,
    machines: Machines,
    *,
    note: Callable[[str], object],
    advance: Callable[[int, int], object],
) -> Report:
    """Answer all rows of the files at `path` that are not done yet, and write them into `out`.

    Args:
        note: called with what should be seen
        advance: called with the rows that are done and those that there are, again and again

    Raises:
        InputError: the input cannot be used, or `out` is of another run.
        OutputError: `out` cannot be written, or is not the same directory on all nodes.
        BundleError: the bundle cannot be used.

    Example:
        >>> map_rows(Path("in.parquet"), Path("out"), Path("engines"), Settings("parquet", "onnxruntime"), Machines(),
        ...          note=print, advance=print)  # doctest: +SKIP
    """
    begin = time.perf_counter()
    opened = Bundle.open(bundle)
    identity = identity_of(opened)
    source, left_out = find_source(path)
    if left_out:
        note(f"Files of other kinds in '{path}' are left out: {first_of(left_out)}.")
    with locked(out):
        source = _begin_or_go_on(out, source, settings, identity)
        missing, before, spoiled = missing_parts(out, source, settings.part_rows, settings.format)
        if spoiled:
            note(f"These were not as they were written, and are done again: {first_of(spoiled)}.")
        report = Report(source.rows, before)
        advance(before, source.rows)
        if not missing:
            return report
        from bskim_export.mapping.cluster import answer_parts, choose_pool, connected, measured

        done = busy = 0.0

        def tell(line: dict[str, Any]) -> None:
            nonlocal done, busy
            if not appears(out / f"part-{line['part']:05d}.{settings.format}"):
                raise OutputError(
                    f"Part {line['part']} was written on {line['node']}, but is not in '{out}' here. --out must be one "
                    f"directory that all nodes share."
                )
            done += line["rows"]
            busy += line["seconds"]
            report.unanswered += line["unanswered"]
            advance(before + int(done), source.rows)

        with connected(machines.address, machines.verbose):
            pool = choose_pool(machines.actors, machines.threads, machines.gpus, len(missing))
            # A bundle on the Hub is fetched by each node; a path means the same on all.
            named = str(bundle) if is_hub_name(str(bundle)) else str(bundle.absolute())
            task = Task(
                named, identity, str(out.absolute()), settings, source.kind, source.passages,
                source.schema, pool.threads,
            )  # fmt: skip
            answer_parts(missing, task, pool, tell)
            report.start, report.row = measured(begin, busy, int(done), pool)
        report.actors, report.threads = pool.actors, pool.threads
        report.seconds = time.perf_counter() - begin
    return report


def _begin_or_go_on(out: Path, source: Source, settings: Settings, identity: dict[str, Any]) -> Source:
    """Return the input counted: by the record if there is one of the same run, else now."""
    record = read_record(out)
    if record is not None:
        return require_same(out, record, source, settings.as_record(), identity)
    counted = count_rows(source, settings)
    write_record(out, counted, settings.as_record(), identity)
    return counted

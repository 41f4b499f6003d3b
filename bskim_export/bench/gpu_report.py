"""The figures of `bench.gpu`: JSON that outlives an interruption, and a table for each bundle and backend."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bskim_export.atomic import write_json
from bskim_export.bench.gpu import BASELINE, failed
from bskim_export.errors import InputError

KIND = "bskim gpu-bench"


class Report:
    """The combinations that were measured, in a file that is written whole after each.

    Args:
        path: the file, which may hold combinations already; None keeps nothing

    Raises:
        InputError: the file is something else.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self.results: list[dict[str, Any]] = []
        self.unavailable: dict[str, str] = {}
        if path is None or not path.exists():
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"'{path}' cannot be read as JSON ({error}). Name another file.") from None
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise InputError(f"'{path}' is there and was not written by this command. Name another file.")
        self.results = found["results"]

    def holds(self, settings: dict[str, Any]) -> bool:
        """Return whether a combination was measured at these settings without a failure."""
        return any(r["settings"] == settings and not failed(r) for r in self.results)

    def add(self, settings: dict[str, Any], answer: dict[str, Any]) -> None:
        """Keep the outcome of a combination, in place of an earlier one at the same settings."""
        self.results = [r for r in self.results if r["settings"] != settings]
        date = datetime.now(UTC).isoformat(timespec="seconds")
        self.results.append({"settings": settings, "date": date, **answer})
        self.save()

    def save(self) -> None:
        """Write the file."""
        if self._path:
            write_json(self._path, self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {"kind": KIND, "unavailable": self.unavailable, "results": self.results}


def print_results(console: Console, results: Sequence[dict[str, Any]]) -> None:
    """Print a table for each machine, bundle and backend."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(_title(result["settings"]), []).append(result)
    for title, group in groups.items():
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        times = ("ms, median", "windows/s", "faster", "fewer\nMACs", "faster\n/ MACs")
        for header in ("batch", "length", "real", "", *times):
            table.add_column(header, justify="left" if header == "" else "right", no_wrap=True)
        reasons: list[str] = []
        for result in group:
            settings = result["settings"]
            place = [str(settings["batch_size"]), str(settings["length"])]
            for row in result.get("rows", [{"name": "all", "error": result.get("error")}]):
                if "error" in row:
                    if row["error"] not in reasons:
                        reasons.append(row["error"])
                    figures = [f"failed [{reasons.index(row['error']) + 1}]", *4 * ("",)]
                else:
                    keys = ("speedup_time", "speedup_macs", "measured_over_macs")
                    ratios = [f"{row[key]:.2f}" if key in row else "-" for key in keys]
                    figures = [f"{row['ms']:.2f}", f"{row['windows_per_second']:.0f}", *ratios]
                real = f"{result['real_share']:.0%}" if "real_share" in result else ""
                table.add_row(*place, real, row["name"], *figures)
        console.print(table)
        for number, reason in enumerate(reasons, 1):
            console.print(f"[{number}] {reason}", markup=False, highlight=False)
    console.print(
        f"ms: a batch. real: real tokens among the positions that dense-padded runs. faster, fewer MACs: over the row "
        f"'{BASELINE}'; then the first over the second. Random weights or replayed patterns: answers mean nothing, "
        "and skim-imposed drops more than is good for answers.",
        style="dim",
        highlight=False,
    )


def _title(settings: dict[str, Any]) -> str:
    machine = settings["machine"]
    gpu = machine["gpu"]
    backend = f"{machine['backend']} {machine['backend_version']}"
    runs_on = f"{machine['cpu']}, {machine['threads']} threads"
    if gpu:
        runs_on = f"{gpu['name']}, driver {gpu['driver']}; {runs_on}"
    predictors = f"{len(settings['skim_layers'])} predictors"
    return f"{settings['shape']} in {settings['precision']}, {predictors}, on {backend}, {runs_on}"

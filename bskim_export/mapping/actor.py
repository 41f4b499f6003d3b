"""What runs on the nodes: an actor opens the bundle once, and answers and writes a part at a time. Imports no Ray."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bskim_export.atomic import explained, write_atomic
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.identity import identity_of
from bskim_export.errors import BundleError, InternalError, is_fault
from bskim_export.mapping.output import BEGUN
from bskim_export.mapping.rows import answer_rows
from bskim_export.mapping.settings import PARQUET, Settings
from bskim_export.mapping.source import Part, read_part
from bskim_export.runtime.arguments import Example
from bskim_export.runtime.pipeline import QAPipeline

TRIES = 5
"""Times that a part is begun in one run. If all of them end the actor's process, the part is at fault."""


@dataclass(frozen=True)
class Task:
    """What all actors of a run are told.

    bundle, out: paths, the same on every node
    identity: of the bundle, see `identity_of`
    kind: of the input, PARQUET or JSONL
    passages, schema: see `Source`
    threads: of each actor
    """

    bundle: str
    identity: dict[str, Any]
    out: str
    settings: Settings
    kind: str
    passages: bool
    schema: str | None
    threads: int


class PartAnswerer:
    """The class of Ray Data's `map_batches`: parts in, and what became of them out. The rows go into files.

    Args:
        task: what is to be done with every part

    Example:
        >>> parts.map_batches(PartAnswerer, fn_constructor_kwargs={"task": task})  # doctest: +SKIP
    """

    def __init__(self, task: Task):
        self._task = task
        self._pipeline: QAPipeline | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Answer the parts of a batch, and return a line about each.

        What is wrong comes back as text, too: an exception would be wrapped by Ray, and tried again.
        """
        done = [self._try(part) for part in batch["part"]]
        return {name: [one[name] for one in done] for name in done[0]}

    def _try(self, part: Part) -> dict[str, Any]:
        begin = time.perf_counter()
        line = {"part": part.number, "rows": part.rows, "unanswered": 0, "failure": ""}
        try:
            line["unanswered"] = self.answer(part)
        except BaseException as error:
            if not is_fault(error):
                raise
            line["failure"] = str(error) or type(error).__name__
        return {**line, "seconds": time.perf_counter() - begin, "node": socket.gethostname(), "pid": os.getpid()}

    def answer(self, part: Part) -> int:
        """Answer the rows of a part and write them under its final name. Returns how many have no answer.

        Raises:
            BskimError: the bundle, the input or the disk is at fault.
        """
        task = self._task
        path = Path(task.out) / part.name(task.settings.format)
        if path.exists():  # tried again, because the actor died after it had written it
            return 0
        begun = path.with_name(f".{path.name}{BEGUN}")
        self._count_try(begun, part)
        rows = read_part(task.kind, part)
        asked = rows.questions(task.settings)
        passages = task.passages or any(isinstance(one, Example) and one.passages is not None for one in asked)
        added = answer_rows(self._open(), asked, task.settings, passages)
        if task.settings.format == PARQUET:
            content = rows.to_parquet(added, task.settings.prefix, _schema_of(task.schema))
        else:
            content = rows.to_lines(added, task.settings.prefix)
        write_atomic(path, lambda stream: stream.write(content))
        begun.unlink(missing_ok=True)
        return sum(one["error"] is not None for one in added)

    @staticmethod
    def _count_try(begun: Path, part: Part) -> None:
        """Ray gives a part to another actor whenever one dies, without end. One that kills them all is found here."""
        with explained(begun), open(begun, "ab") as stream:
            stream.write(b".")
            tries = stream.tell()
        if tries > TRIES:
            last = part.first + part.rows - 1
            raise InternalError(
                f"Rows {part.first} to {last} of '{part.file.path}' ended the process that answers them {TRIES} times. "
                f"If it has too little memory, ask for fewer --actors, or smaller --part-rows with another --out."
            )

    def _open(self) -> QAPipeline:
        if self._pipeline is None:
            task = self._task
            bundle = Bundle.open(task.bundle)
            if identity_of(bundle) != task.identity:
                raise BundleError(
                    f"'{task.bundle}' on {socket.gethostname()} is another bundle than where bskim-map was called. "
                    f"Copy the same one to all nodes."
                )
            self._pipeline = QAPipeline(
                bundle,
                threads=task.threads,
                threshold=task.settings.threshold,
                backend=task.settings.backend,
                precision=task.settings.precision,
            )
        return self._pipeline


def _schema_of(text: str | None) -> Any:
    if text is None:
        return None
    from bskim_export.mapping.tables import schema_from_text

    return schema_from_text(text)

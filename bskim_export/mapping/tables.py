"""Rows that are Parquet. Only this file imports pyarrow."""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bskim_export.errors import InputError
from bskim_export.mapping.lines import parse_line, read_raw, to_json
from bskim_export.mapping.rows import Added, Asked, to_question
from bskim_export.mapping.settings import Settings

READ = 1000
"""Rows that are decoded at once."""


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as Parquet: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def count(path: Path, settings: Settings) -> tuple[int, list[str]]:
    """Return how many rows a file has, and the names of its columns. Reads no row.

    Raises:
        InputError: it is not Parquet, lacks a column, or a column is of another type than text.
    """
    with _explained(path), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        settings.check_columns(schema.names, f"'{path}'")
        asked = (settings.question_column, settings.context_column, settings.passages_column)
        for name in (name for name in asked if name in schema.names):
            if schema.names.count(name) > 1:
                raise InputError(f"'{path}' has several columns '{name}'. Rename all but one.")
            kind = schema.field(name).type
            fits, wanted = (_is_passages, "lists of texts") if name == settings.passages_column else (_is_text, "text")
            if not fits(kind):
                raise InputError(f"'{path}': the column '{name}' is to hold {wanted}, but holds {kind}.")
        rows: int = file.metadata.num_rows
    return rows, list(schema.names)


def count_written(path: Path) -> int:
    """Return the rows of a file; -1 if it is no Parquet."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return -1


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(test(kind) for test in tests)


def _is_passages(kind: Any) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    if not any(test(kind) for test in tests):
        return bool(pa.types.is_null(kind))
    inner = kind.value_type
    return bool(_is_text(inner) or (pa.types.is_struct(inner) and inner.get_field_index("text") >= 0))


def read(path: Path, first: int, count: int) -> "TableRows":
    """Return some rows of a file. Decodes their row groups a thousand rows at a time, and keeps no others.

    Raises:
        InputError: it cannot be read, or has no longer so many rows.
    """
    with _explained(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        groups, start = _groups(file, first, count)
        kept = []
        for batch in file.iter_batches(READ, row_groups=groups):
            wanted = batch.slice(max(0, first - start), max(0, first + count - max(start, first)))
            if first < start + batch.num_rows and wanted.num_rows:
                kept.append(wanted)
            start += batch.num_rows
            if start >= first + count:
                break
        table = pa.Table.from_batches(kept, file.schema_arrow)
    if table.num_rows != count:
        raise InputError(f"'{path}' has fewer rows than when they were counted. Let it be while it is read.")
    return TableRows(table, str(path))


def _groups(file: Any, first: int, count: int) -> tuple[list[int], int]:
    """Return the row groups that hold some rows, and the number of the first row in them."""
    groups: list[int] = []
    begin = start = 0
    for number in range(file.metadata.num_row_groups):
        end = begin + file.metadata.row_group(number).num_rows
        if begin < first + count and end > first:
            start = start if groups else begin
            groups.append(number)
        begin = end
    return groups, start


class TableRows:
    """The rows of a part, as a table.

    Args:
        table: all their columns
        where: names the file, for messages
    """

    def __init__(self, table: Any, where: str = ""):
        self._table = table
        self._where = where

    def questions(self, settings: Settings) -> list[Asked]:
        """Return what each row asks."""
        names = (settings.question_column, settings.context_column, settings.passages_column)
        there = self._table.column_names
        columns = [self._table[name].to_pylist() if name in there else [None] * len(self._table) for name in names]
        return [to_question(*row) for row in zip(*columns, strict=True)]

    def to_parquet(self, added: Sequence[Added], prefix: str, schema: Any) -> bytes:
        """Return the rows with the added values, as Parquet."""
        table = self._table
        kinds = _types(with_passage="passage" in added[0])
        for name in added[0]:
            table = table.append_column(f"{prefix}{name}", pa.array([row[name] for row in added], kinds[name]))
        stream = io.BytesIO()
        pq.write_table(table, stream)
        return stream.getvalue()

    def to_lines(self, added: Sequence[Added], prefix: str) -> bytes:
        """Return the rows with the added values, as JSON lines. Raises InputError if a column holds bytes."""
        for own in self._table.schema:
            if pa.types.is_binary(own.type) or pa.types.is_large_binary(own.type):
                raise InputError(f"'{self._where}': '{own.name}' holds bytes, which JSON cannot. Use --format parquet.")
        out = []
        for row, more in zip(self._table.to_pylist(), added, strict=True):
            named = {f"{prefix}{name}": value for name, value in more.items()}
            out.append(to_json(_plain({**row, **named})) + b"\n")
        return b"".join(out)


def _types(with_passage: bool) -> dict[str, Any]:
    """Return the types of the added columns; the same in every part, also where a column holds nothing."""
    one = {"answer": pa.string(), "score": pa.float64(), "start": pa.int64(), "end": pa.int64()}
    if with_passage:
        one["passage"] = pa.int64()
    return {**one, "answers": pa.list_(pa.struct(list(one.items()))), "error": pa.string()}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: dates and decimals as text, what is no number as null."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def infer_schema(path: Path, offsets: Sequence[int], rows: int, part_rows: int, known: Any = None) -> Any:
    """Return the columns of all rows of a file of JSON lines, widened by those of `known`.

    Raises:
        InputError: a column holds values of types that no Parquet column takes together.
    """
    for number, offset in enumerate(offsets):
        lines = read_raw(path, offset, min(part_rows, rows - number * part_rows))
        objects = [one for one in map(parse_line, lines) if isinstance(one, dict)]
        names = dict.fromkeys(name for one in objects for name in one)
        found = table_of(objects, None, f"'{path}'", list(names)).schema
        try:
            known = found if known is None else pa.unify_schemas([known, found], promote_options="permissive")
        except pa.ArrowException as error:
            raise _mixed(f"'{path}'", error) from error
    return known


def table_of(rows: Sequence[dict[str, Any]], schema: Any, where: str, names: Sequence[str] = ()) -> Any:
    """Return objects as a table with the columns of `schema`; without one, with `names`, of the types that fit.

    Raises:
        InputError: values of a column do not fit together.
    """
    try:
        if schema is not None:
            return pa.Table.from_pylist(list(rows), schema)
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise _mixed(where, error) from error


def _mixed(where: str, error: BaseException) -> InputError:
    return InputError(
        f"{where} has a column whose values do not fit into one of Parquet: {_first_line(error)} Use --format jsonl."
    )


def schema_to_text(schema: Any) -> str:
    """Return a schema as text."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def schema_from_text(text: str) -> Any:
    """Return the schema of a text that `schema_to_text` made.

    Example:
        >>> schema_from_text(schema_to_text(pa.schema([("a", pa.int64())]))).names
        ['a']
    """
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))

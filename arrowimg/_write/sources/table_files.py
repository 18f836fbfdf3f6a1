"""Files that hold tables: Parquet and Arrow, read in bounded parts, checked before used."""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.tables import as_table
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PARQUET_SUFFIXES = (".parquet", ".pq")
IPC_SUFFIXES = (".arrow", ".feather", ".ipc")

ROWS_PER_BATCH = 1000
"""Most rows handed out at once: what is encoded and not yet written stays this small."""

NBYTES_PER_BATCH = 64 * 2**20
"""Most bytes handed out at once, but for a row that is larger by itself."""

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+:)/(?!/)")
_READ_NBYTES = 2**20

_INSTEAD = {
    ".csv": "polars.read_csv({name!r}).write_parquet({parquet!r})",
    ".tsv": "polars.read_csv({name!r}, separator='\\t').write_parquet({parquet!r})",
    ".json": "polars.read_json({name!r}).write_parquet({parquet!r})",
    ".jsonl": "polars.read_ndjson({name!r}).write_parquet({parquet!r})",
    ".ndjson": "polars.read_ndjson({name!r}).write_parquet({parquet!r})",
}
_UNPACKED = "unpack it, and pass the folder"
_ARCHIVES = frozenset({".tar", ".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar"})


def is_table_file(path: Path) -> bool:
    """Tell whether a path's suffix is that of a file that holds a table."""
    return path.suffix.lower() in (*PARQUET_SUFFIXES, *IPC_SUFFIXES)


def read_table(path: str | Path) -> pa.Table:
    """Return a Parquet or Arrow file as one table.

    Raises
    ------
    SourceError
        When the file is neither, is not there, or cannot be read.
    """
    tables = list(tables_of_file(Path(path)))
    return pa.concat_tables(tables)


def tables_of_file(path: Path) -> Generator[pa.Table]:
    """Yield the rows of a Parquet or Arrow file; the first table may be empty.

    Raises
    ------
    SourceError
        When the file is neither, is not there, or cannot be read.
    """
    check_is_file(path, "a Parquet or Arrow file")
    if not is_table_file(path):
        raise no_table_file(path, "a Parquet or Arrow file")
    with naming(path):
        yield from parquet_tables(path) if is_parquet(path) else _ipc_tables(path)


def is_parquet(path: Path) -> bool:
    """Tell whether a path's suffix is that of a Parquet file."""
    return path.suffix.lower() in PARQUET_SUFFIXES


def count_rows(path: Path) -> int | None:
    """Return how many rows a file has, None where that is not known without reading it."""
    if not is_table_file(path) or not path.is_file():
        return None
    if is_parquet(path):
        with naming(path):
            return int(pq.read_metadata(path).num_rows)
    try:
        batches = arrow_batches(path)
        return None if batches is None else sum(batch.num_rows for batch in batches)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError):
        # A stream, or damaged: reading it will tell.
        return None


def read_schema(path: Path) -> pa.Schema:
    """Return the columns of a Parquet or Arrow file.

    Raises
    ------
    SourceError
        As `tables_of_file`.
    """
    # Of both, the first table has no rows.
    with closing(tables_of_file(path)) as tables:
        return next(tables).schema


def check_is_file(path: Path, expected: str) -> None:
    """Raise `SourceError` when there is no regular file at a path; nothing else is ever opened."""
    if path.is_file():
        return
    what = "a folder" if path.is_dir() else "no regular file" if path.exists() else ""
    if what:
        raise SourceError(expected, what, str(path))
    found = "a link to nothing" if path.is_symlink() else "nothing of that name"
    # Of "s3://bucket", a path has made "s3:/bucket".
    shown = _URL.sub(r"\1//", str(path))
    raise SourceError(expected, found, shown, _advice_for_nothing(shown))


def no_table_file(path: Path, expected: str) -> SourceError:
    """Return the error about a file of another kind."""
    suffix = path.suffix.lower()
    found = f"a file with the suffix {suffix}" if suffix else "a file without a suffix"
    instead = _INSTEAD.get(suffix)
    if instead is not None:
        made = instead.format(name=str(path), parquet=str(path.with_suffix(".parquet")))
        return SourceError(expected, found, str(path), f"convert it: {made}")
    return SourceError(expected, found, str(path), _UNPACKED if suffix in _ARCHIVES else "")


def _advice_for_nothing(path: str) -> str:
    return "pass a file or folder of this machine" if "://" in path else ""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file that cannot be read, whatever PyArrow raises."""
    expected = "a Parquet file" if is_parquet(path) else "an Arrow file or stream"
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        found = (str(error).splitlines() or [type(error).__name__])[0]
        readable = f"{expected} that can be read"
        raise SourceError(readable, found, str(path)) from error


class RowGroups(Struct, frozen=True):
    """Consecutive row groups of a Parquet file, of about as many rows as a batch.

    Attributes
    ----------
    numbers
        Theirs.
    num_rows
        How many rows they have.
    rows_at_once
        How many of these are read at once.
    """

    numbers: list[int]
    num_rows: int
    rows_at_once: int


def row_groups_of(metadata: pq.FileMetaData) -> Iterator[RowGroups]:
    """Yield the row groups of a file, as many together as are a batch, or one that is larger."""
    at_once = _rows_at_once(metadata)
    numbers, num_rows = list[int](), 0
    for number in range(metadata.num_row_groups):
        numbers.append(number)
        num_rows += metadata.row_group(number).num_rows
        if num_rows >= at_once:
            yield RowGroups(numbers, num_rows, at_once)
            numbers, num_rows = [], 0
    if num_rows:
        yield RowGroups(numbers, num_rows, at_once)


def parquet_tables(path: Path | IO[bytes], groups: RowGroups | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file, by its path or open; the first table is empty.

    Parameters
    ----------
    groups
        Those of these row groups. None: of all.
    """
    # Without these two, a reader of small batches keeps the whole file in memory.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_NBYTES) as file:
        yield pa.Table.from_batches([], file.schema_arrow)
        for these in row_groups_of(file.metadata) if groups is None else [groups]:
            yield from map(as_table, file.iter_batches(these.rows_at_once, these.numbers))


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    """Return how many rows of any row group are about `NBYTES_PER_BATCH`."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    row_nbytes = max((it.total_byte_size / max(1, it.num_rows) for it in groups), default=0)
    return max(1, min(ROWS_PER_BATCH, int(NBYTES_PER_BATCH / max(1, row_nbytes))))


class ArrowBatch(Struct, frozen=True):
    """A record batch of an Arrow file.

    Attributes
    ----------
    num_rows
        Its rows.
    is_in_place
        True: rows of it can be mapped. False: it is compressed, and is read as a whole.
    """

    num_rows: int
    is_in_place: bool


def arrow_batches(path: Path) -> list[ArrowBatch] | None:
    """Return the record batches of an Arrow file, None of a stream."""
    with pa.memory_map(str(path)) as file:
        mapped = file.read_buffer()
        try:
            reader = pa.ipc.open_file(mapped)
        except pa.ArrowInvalid:
            return None
        batches = map(reader.get_batch, range(reader.num_record_batches))
        return [ArrowBatch(int(it.num_rows), _is_within(it, mapped)) for it in batches]


def _is_within(batch: pa.RecordBatch, mapped: pa.Buffer) -> bool:
    buffers = (buffer for column in batch.columns for buffer in column.buffers())
    address = next((it.address for it in buffers if it is not None and it.size), mapped.address)
    return bool(0 <= address - mapped.address <= mapped.size)


def arrow_rows(path: Path, number: int, rows: slice) -> pa.Table:
    """Return some rows of a record batch of an Arrow file, mapped where it is not compressed."""
    with pa.memory_map(str(path)) as file:
        batch = pa.ipc.open_file(file).get_batch(number)
        return _checked(batch.slice(rows.start, rows.stop - rows.start))


def _ipc_tables(path: Path) -> Iterator[pa.Table]:
    with pa.memory_map(str(path)) as file:
        try:
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid:
            file.seek(0)
            stream = pa.ipc.open_stream(file)
            yield pa.Table.from_batches([], stream.schema)
            yield from map(_checked, stream)
        else:
            yield pa.Table.from_batches([], reader.schema)
            for at in range(reader.num_record_batches):
                yield _checked(reader.get_batch(at))


def _checked(batch: pa.RecordBatch) -> pa.Table:
    # Offsets may lie, and whoever follows them reads what is not there, or dies.
    batch.validate(full=True)
    return as_table(batch)

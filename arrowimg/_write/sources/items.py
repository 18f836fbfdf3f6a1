"""Items: the parts of a source, each of one kind, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.binary import table_nbytes
from arrowimg._core.frames.pandas_frames import is_pandas
from arrowimg._core.frames.polars_frames import is_polars
from arrowimg._core.tables import as_table, naming
from arrowimg._images.batch import ImageBatch
from arrowimg._write.sources.table_files import NBYTES_PER_BATCH, ROWS_PER_BATCH

_ROWS_OF_UNKNOWN_SIZE = 100


class Piece(Protocol):
    """Consecutive rows of an item that are yet to be read: small, and can be sent to a process."""

    @property
    def num_rows(self) -> int:
        """How many there are."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        ...

    def tables(self) -> Iterator[pa.Table]:
        """Read them.

        Raises
        ------
        SourceError
            When they cannot be read.
        """
        ...


class Item(Struct, frozen=True):
    """A part of a source.

    Attributes
    ----------
    tables
        Returns its rows, in order; goes through them each time.
    num_rows
        None where that is not known without reading them.
    schema
        Returns its columns; None where these are not known without reading rows.
    place
        Where it is, for errors.
    pieces
        Returns its rows as pieces that can be read elsewhere; None where only `tables` can.
    nbytes
        Of its files, about; None where that is not known.
    has_same_columns
        False where some of its tables may lack columns that others have.
    is_of_pictures
        True where it is of picture files, or may be.
    is_lent
        True where whoever hands out its tables may use their memory again for the next.
    """

    tables: Callable[[], Iterator[pa.Table]]
    num_rows: int | None = None
    schema: Callable[[], pa.Schema] | None = None
    place: str = ""
    pieces: Callable[[], Iterator[Piece]] | None = None
    nbytes: int | None = None
    has_same_columns: bool = True
    is_of_pictures: bool = False
    is_lent: bool = False


def item_in_memory(source: Any) -> Item | None:  # noqa: ANN401, PLR0911  # a kind each
    """Return a table of any library, or a stream of tables, as an item; None where it is none."""
    if isinstance(source, ImageBatch):
        return _whole(lambda: source.data, source.num_items)
    if isinstance(source, (pa.Table, pa.RecordBatch)) or is_polars(source):
        num_rows = source.height if is_polars(source) else source.num_rows
        return _whole(lambda: as_table(source), num_rows, lambda: as_table(source[:0]))
    if is_pandas(source):
        return _whole(lambda: as_table(source), len(source))
    if _is_of(source, "polars", "collect"):
        return Item(lambda: _tables_of_lazy_frame(source))
    if _is_of(source, "datasets", "with_format") and hasattr(source, "iter"):
        return Item(lambda: _tables_of_hugging_face(source), getattr(source, "num_rows", None))
    if _is_of(source, "pyarrow", "get_fragments"):
        return Item(lambda: _tables_of_dataset(source), source.count_rows(), lambda: source.schema)
    if hasattr(source, "__arrow_c_stream__"):
        num_rows = getattr(source, "num_rows", None)
        known = num_rows if isinstance(num_rows, int) else None
        return Item(lambda: _tables_of_stream(source), known, is_lent=True)
    if hasattr(source, "__arrow_c_array__"):
        return Item(lambda: iter([as_table(source)]))
    return None


def _whole(
    table: Callable[[], pa.Table], num_rows: int, head: Callable[[], pa.Table] | None = None
) -> Item:
    """Return a table as an item; its head has its columns, and is quicker to make."""
    return Item(lambda: iter([table()]), num_rows, lambda: (head or table)().schema)


def _tables_of_stream(source: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # any with the protocol
    # DuckDB would make a million rows one batch.
    is_duckdb = _is_of(source, "duckdb", "to_arrow_reader")
    with naming(source):
        reader = source.to_arrow_reader(ROWS_PER_BATCH) if is_duckdb else source
        yield from map(as_table, pa.RecordBatchReader.from_stream(reader))


def _tables_of_hugging_face(source: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # datasets is not imported
    return _joined(source.with_format("arrow").iter(_ROWS_OF_UNKNOWN_SIZE))


def _tables_of_dataset(source: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # PyArrow has no types
    with naming(source):
        # One file after the other, or several would be read ahead of what is encoded.
        batches = source.to_batches(
            batch_size=_ROWS_OF_UNKNOWN_SIZE, batch_readahead=1, fragment_readahead=1
        )
        yield from _joined(map(as_table, batches))


def _tables_of_lazy_frame(frame: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # polars is not imported
    if hasattr(frame, "collect_batches"):
        return _joined(map(as_table, frame.collect_batches(chunk_size=_ROWS_OF_UNKNOWN_SIZE)))
    return iter([as_table(frame.collect())])


def _joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables together as long as they are a batch; rows are asked for a few at a time.

    How large a row is is known only once it is there.
    """
    waiting, num_rows, nbytes = list[pa.Table](), 0, 0
    for table in tables:
        more = table_nbytes(table)
        is_full = num_rows + table.num_rows > ROWS_PER_BATCH
        if waiting and (is_full or nbytes + more > NBYTES_PER_BATCH):
            yield pa.concat_tables(waiting)
            waiting, num_rows, nbytes = [], 0, 0
        waiting.append(table)
        num_rows += table.num_rows
        nbytes += more
        del table
    if waiting:
        yield pa.concat_tables(waiting)


def _is_of(source: object, package: str, method: str) -> bool:
    """Tell whether an object is a package's own, without importing the package."""
    return type(source).__module__.split(".")[0] == package and hasattr(source, method)

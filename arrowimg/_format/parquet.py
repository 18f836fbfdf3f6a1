"""Parquet files that carry a checksum of their own bytes."""

from __future__ import annotations

import base64
import functools
import io
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._core.checksums import BytesLike, new_hasher
from arrowimg._core.splits import split_by_size
from arrowimg._core.tables import in_one_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHECKSUM_KEY = "arrowimg.checksum"

IMAGE_DATA = "image_data"
"""The column of stored pictures, where they are kept."""

_NO_CHECKSUM = "0" * 32
_ROW_GROUP_NBYTES = 100 * 2**20
_BUFFER_NBYTES = 2**20
_MOST_FOOTER_NBYTES = 2**28


class BinaryWriter(Protocol):
    """What a sidecar is written to."""

    def write(self, data: BytesLike, /) -> int:
        """Add bytes; returns how many."""
        ...


class _ChecksummedFile(io.RawIOBase):
    """Passes bytes on, but for the last, which wait for the checksum that is among them."""

    def __init__(self, file: BinaryWriter) -> None:
        self.holds = False
        self._file = file
        self._hasher = new_hasher("xxh3_128")
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401  # any buffer
        if self.holds:
            self._held += data
        else:
            self._file.write(data)
            self._hasher.update(data)
        return memoryview(data).nbytes

    def release(self) -> None:
        """Pass on what was held, the checksum in its place."""
        place = _checksum_place(memoryview(self._held))
        self._hasher.update(memoryview(self._held))
        self._held[place] = self._hasher.hexdigest().encode()
        self._file.write(bytes(self._held))


def write_parquet(
    file: BinaryWriter, table: pa.Table, footer: Mapping[str, str], plain: frozenset[str]
) -> None:
    """Write a table as Parquet that carries its own checksum.

    zstd, page index, and for each column the encoding that fits it. The checksum is that of the
    whole file with zeros in its own place, so that any changed byte shows. In memory are the
    footer and one row group of the pictures, no more.

    Parameters
    ----------
    table
        All columns in one chunk, but for the pictures.
    footer
        Texts for the footer, by key.
    plain
        Columns whose values differ from row to row, so that a dictionary cannot help.
    """
    sink = _ChecksummedFile(file)
    with pa.BufferedOutputStream(pa.PythonFile(sink, "w"), _BUFFER_NBYTES) as stream:
        writer = pq.ParquetWriter(stream, table.schema, **_options(table.schema, plain))
        for group in _row_groups(table):
            writer.write_table(group, row_group_size=len(group))
        stream.flush()
        sink.holds = True
        writer.add_key_value_metadata(dict(footer))
        writer.add_key_value_metadata({CHECKSUM_KEY: _NO_CHECKSUM})
        writer.close()
    sink.release()


def holds_own_checksum(file: IO[bytes]) -> bool:
    """Tell whether a sidecar is, byte for byte, what was written; a megabyte is read at a time."""
    nbytes = file.seek(0, 2)
    # Only in the footer, whose length stands before the last four bytes, can the key be the file's
    # own and not the user's data.
    file.seek(max(0, nbytes - 8))
    footer_nbytes = int.from_bytes(file.read(4), "little") + 8
    tail_start = max(0, nbytes - footer_nbytes)
    if nbytes - tail_start > _MOST_FOOTER_NBYTES:
        return False
    file.seek(tail_start)
    place = _checksum_place(memoryview(file.read()))
    place = slice(tail_start + place.start, tail_start + place.stop)
    file.seek(place.start)
    stated = file.read(place.stop - place.start)
    hasher, left = new_hasher("xxh3_128"), file.seek(0) + place.start
    while left and (data := file.read(min(left, _BUFFER_NBYTES))):
        hasher.update(data)
        left -= len(data)
    hasher.update(_NO_CHECKSUM.encode())
    file.seek(place.stop)
    while data := file.read(_BUFFER_NBYTES):
        hasher.update(data)
    return stated.decode("ascii", "replace") == hasher.hexdigest()


def stated_schema(metadata: pq.FileMetaData) -> pa.Schema | None:
    """Return the Arrow schema that a Parquet file says it was written with, None of none.

    Raises
    ------
    pyarrow.ArrowException, ValueError, OSError
        When it cannot be read.
    """
    stated = (metadata.metadata or {}).get(b"ARROW:schema")
    return None if stated is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stated)))


def null_file(kind: pa.DataType) -> bytes:
    """Return a Parquet file of one column and one row, which is null."""
    sink = pa.BufferOutputStream()
    table = pa.table({"column": pa.nulls(1, kind)})
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@functools.lru_cache(maxsize=64)
def parquet_leaves(schema: pa.Schema) -> list[tuple[str, str]]:
    """Return path and physical type of each Parquet column that an Arrow schema becomes.

    Raises
    ------
    pyarrow.ArrowException, OSError
        When Parquet has no type for a column.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema):
        pass
    columns = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [
        (columns.column(at).path, columns.column(at).physical_type) for at in range(len(columns))
    ]


def _checksum_place(footer: memoryview) -> slice:
    """Return where the checksum is: just after its key, which is the last of its kind."""
    tail = bytes(footer)
    key = CHECKSUM_KEY.encode()
    at = tail.rfind(key)
    # Thrift's compact protocol: one byte of field header and one of length precede the value.
    start = at + len(key) + 2
    return slice(start, start + len(_NO_CHECKSUM)) if at >= 0 else slice(0, 0)


@functools.lru_cache(maxsize=64)
def _options(schema: pa.Schema, plain: frozenset[str]) -> dict[str, Any]:
    paths = {path: path.partition(".")[0] for path, _ in parquet_leaves(schema)}
    raw = {path for path, kind in parquet_leaves(schema) if _is_raw(path, kind)}
    return {
        "compression": {path: "NONE" if path in raw else "ZSTD" for path in paths},
        "use_dictionary": [
            path for path, name in paths.items() if not {path, name} & {*raw, *plain}
        ],
        "write_statistics": [path for path in paths if path not in raw],
        "write_page_index": True,
    }


def _is_raw(path: str, kind: str) -> bool:
    """Tell whether a column neither repeats nor compresses, nor is ever searched."""
    is_vector = "." in path and kind in ("FLOAT", "DOUBLE")
    return path in ("checksum", f"{IMAGE_DATA}.bytes") or is_vector


def _row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of each row group: 100 MB at most, since readers load whole ones."""
    keeps_images = IMAGE_DATA in table.column_names
    metadata = table.drop_columns([IMAGE_DATA]) if keeps_images else table
    # Measured as Arrow would send it, since how rows came in must not show.
    nbytes = sum(map(pa.ipc.get_record_batch_size, metadata.to_batches()))
    if not keeps_images and 0 < nbytes <= _ROW_GROUP_NBYTES:
        yield table
        return
    each = np.full(table.num_rows, nbytes // max(1, table.num_rows))
    if keeps_images:
        each += table["size"].fill_null(0).to_numpy()
    for rows in split_by_size(each, _ROW_GROUP_NBYTES, max(1, table.num_rows)):
        # In chunks, its pages would show how the rows came in.
        yield in_one_chunk(table.slice(rows.start, rows.stop - rows.start))

"""arrowimg's one-call form: a generator of tables, packed into shards, a manifest at the end.

The table is written ``repeats`` times, each time with ids of its own and, where ``copies`` says so,
from memory of its own, as batches come from a decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

import arrowimg
from benchmarks.checks import repeated_ids
from benchmarks.tars import read_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Source:
    """A table, and the ids of all its repetitions."""

    table: pa.Table
    ids: pa.Array


def prepare(table: pa.Table, repeats: int, **_settings: Any) -> Source:
    ids = repeated_ids(table["image_id"].to_pylist(), repeats)
    return Source(table, pa.array(ids, pa.string()))


def write(
    prepared: Source, out: str, *, batch_rows: int, copies: bool = False, **options: Any
) -> None:
    options.pop("repeats")
    arrowimg.write_shards(
        _batches(prepared, batch_rows, copies=copies), out, progress=False, **options
    )


def _batches(source: Source, batch_rows: int, *, copies: bool) -> Iterator[pa.Table]:
    for start in range(0, len(source.ids), len(source.table)):
        for first in range(0, len(source.table), batch_rows):
            batch = source.table.slice(first, batch_rows)
            ids = source.ids.slice(start + first, len(batch))
            place = batch.schema.get_field_index("image_id")
            batch = batch.set_column(place, "image_id", ids)
            yield _copy(batch) if copies else batch


def _copy(table: pa.Table) -> pa.Table:
    # Exactly as large as it has to be: a sink that grows would show as memory of the writer.
    size = pa.MockOutputStream()
    _write(table, size)
    buffer = pa.allocate_buffer(size.size())
    _write(table, pa.FixedSizeBufferWriter(buffer))
    return pa.ipc.open_stream(buffer).read_all()


def _write(table: pa.Table, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def read_back(out: str, _prepared: Source) -> Iterator[tuple[str, bytes]]:
    yield from read_pairs(out)


def read_pairs(out: str) -> Iterator[tuple[str, bytes]]:
    """Yield each picture's id, by the sidecars, and its data, by `tarfile`."""
    sidecars = sorted(Path(out).glob("*.parquet"))
    ids = chain.from_iterable(
        pq.read_table(path, columns=["image_id"])["image_id"].to_pylist() for path in sidecars
    )
    for image_id, (_, data) in zip(ids, read_pictures(out), strict=True):
        yield image_id, data

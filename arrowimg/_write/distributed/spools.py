"""Spools: the encoded rows of one batch in a file, until they are joined to shards.

A worker that has one batch cannot know which shards its rows belong to: that depends on how many
rows before them are bad. So it writes a spool, and once all spools are counted, other workers join
them to shards, rows copied and nothing decoded. A spool is named like the shards of its batch, so
that whoever writes it again finds it there.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs

from arrowimg._core.tables import canonical_table, check_same_columns
from arrowimg._core.temporary_names import TEMPORARY_PREFIX
from arrowimg._format.keys import UNNAMED_PREFIX, sample_key_column
from arrowimg._format.names import shard_name
from arrowimg._format.samples import Samples
from arrowimg._storage.commit import twice
from arrowimg._write.batch_name import batch_digest
from arrowimg._write.plan import plan_shards
from arrowimg._write.prepare import check_batch, encode_batch
from arrowimg._write.shard import Shard, write_shard
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._images.batch import ImageBatch
    from arrowimg._storage.base import Storage
    from arrowimg._write.options import WriteOptions

SPOOLS_FOLDER = f"{TEMPORARY_PREFIX}spools"

_TABLES = ("stored", "metadata", "members")
_PIECE = 64
"""Rows of a spool that are read at once."""


class Spool(Struct, frozen=True):
    """A spool that is there.

    Attributes
    ----------
    name
        Of its file.
    row_nbytes
        Bytes that each row takes in a tar; 0 for a row with an error.
    error_codes
        Those of the rows with an error.
    """

    name: str
    row_nbytes: list[int]
    error_codes: list[str]


class Piece(Struct, frozen=True):
    """Consecutive rows of a spool."""

    spool: str
    start: int
    num_rows: int


class PlannedShard(Struct, frozen=True):
    """A shard that is to be joined.

    Attributes
    ----------
    number
        In the dataset, from 0.
    first_row
        Number of its first row in the dataset.
    pieces
        Where its rows are, in order.
    nbytes
        Bytes of its members.
    """

    number: int
    first_row: int
    pieces: list[Piece]
    nbytes: int


def write_spool(storage: Storage, batch: ImageBatch, options: WriteOptions) -> Spool:
    """Encode a batch and commit it as a spool; there is none of a batch without rows.

    Raises
    ------
    ImageError, SchemaError, SampleKeyError, DuplicateIdError
        When the batch cannot be written. Nothing was.
    ShardConflictError
        When a spool of these ids holds other content.
    """
    if not batch.num_items:
        return Spool("", [], [])
    name = f"{batch_digest(batch, options)}.arrow"
    if options.if_exists == "skip":
        try:
            return _spool_of(name, read_parts(storage, name))
        except FileNotFoundError:
            pass
    parts = list(encode_batch(check_batch(batch, options, UNNAMED_PREFIX), options).parts)
    table = _as_table(parts)
    twice(lambda: _write_once(storage, name, table, options))
    return _spool_of(name, parts)


def plan_spools(spools: Iterable[Spool], options: WriteOptions) -> Iterator[PlannedShard]:
    """Yield the shards of these spools, in order, each as soon as its last row is known.

    They are the shards that `plan_shards` makes of all rows in one list.
    """
    waiting: list[Piece] = []
    sizes: list[int] = []
    number = first_row = 0

    def cut(rows: slice) -> PlannedShard:
        num_rows = rows.stop - rows.start
        nbytes = sum(sizes[rows])
        return PlannedShard(number, first_row, _pieces_of(waiting, rows.start, num_rows), nbytes)

    for spool in spools:
        waiting.append(Piece(spool.name, 0, len(spool.row_nbytes)))
        sizes += spool.row_nbytes
        plan = plan_shards(sizes, options.images_per_tar, options.max_members_nbytes)
        for rows in plan[:-1]:
            yield cut(rows)
            number, first_row = number + 1, first_row + rows.stop - rows.start
        start = plan[-1].start if plan else 0
        waiting, sizes = _pieces_of(waiting, start, len(sizes) - start), sizes[start:]
    if sizes:
        yield cut(slice(0, len(sizes)))


def join_shard(
    spools: Storage, storage: Storage, shard: PlannedShard, options: WriteOptions
) -> Shard:
    """Write a shard of the rows of its pieces; the same bytes as `ShardWriter` writes.

    Raises
    ------
    DuplicateIdError
        When an id stands in two rows.
    SchemaError
        When the metadata columns of two spools differ.
    ShardConflictError, DatasetConflictError
        When its name is taken by other content.
    """
    read = [
        part
        for piece in shard.pieces
        for part in read_parts(
            spools, piece.spool, slice(piece.start, piece.start + piece.num_rows)
        )
    ]
    parts, row = list[Samples](), shard.first_row
    for part in read:
        check_same_columns(read[0].metadata.schema, part.metadata.schema)
        parts.append(_numbered(part, row, options))
        row += part.num_rows
    return write_shard(storage, shard_name(shard.number), parts, options)


def read_parts(storage: Storage, name: str, rows: slice | None = None) -> list[Samples]:
    """Return rows of a spool, all of them unless told which, in the pieces it is written in."""
    with storage.open(name) as source, pa.ipc.open_file(source) as file:
        start, stop = (rows.start, rows.stop) if rows else (0, file.num_record_batches * _PIECE)
        return [
            _as_samples(_rows_of(file.get_batch(at), start - at * _PIECE, stop - at * _PIECE))
            for at in range(start // _PIECE, -(-stop // _PIECE))
        ]


def _rows_of(batch: pa.RecordBatch, start: int, stop: int) -> pa.Table:
    first = max(start, 0)
    return pa.Table.from_batches([batch.slice(first, stop - first)])


def _write_once(storage: Storage, name: str, table: pa.Table, options: WriteOptions) -> None:
    with storage.begin(options.checksum) as transaction:
        file = transaction.create(name)
        with pa.ipc.new_file(pa.PythonFile(file, "w"), table.schema) as writer:
            writer.write_table(table, _PIECE)
        transaction.publish(options.if_exists)


def discard_spools(spools: Storage) -> None:
    """Remove all spools; those that cannot be removed stay, and harm nobody."""
    with suppress(StorageError):
        spools.clear()


def _spool_of(name: str, parts: list[Samples]) -> Spool:
    return Spool(
        name,
        [nbytes for part in parts for nbytes in part.tar_nbytes().tolist()],
        [code for part in parts for code in part.stored["error"].drop_null().to_pylist()],
    )


def _pieces_of(pieces: list[Piece], start: int, num_rows: int) -> list[Piece]:
    """Return `num_rows` rows of these pieces, from the row `start` of all of them."""
    ends = np.cumsum([0, *(piece.num_rows for piece in pieces)]).tolist()
    found = []
    for piece, (first, end) in zip(pieces, pairwise(ends), strict=True):
        low, high = max(start, first), min(start + num_rows, end)
        if low < high:
            found.append(Piece(piece.spool, piece.start + low - first, high - low))
    return found


def _numbered(samples: Samples, first_row: int, options: WriteOptions) -> Samples:
    """Return samples with the keys that their rows have in the dataset."""
    image_ids = samples.stored["image_id"].chunk(0)
    keys = sample_key_column(image_ids, UNNAMED_PREFIX, first_row, options.keys)
    at = samples.stored.column_names.index("key")
    stored = samples.stored.set_column(at, "key", keys)
    return structs.replace(samples, stored=stored)


def _as_table(parts: list[Samples]) -> pa.Table:
    """Return samples as one table: a name of the table before each column's.

    In one chunk, since how many threads encoded the parts must not show.
    """
    fields, columns = [], []
    for name in _TABLES:
        table = pa.concat_tables([getattr(part, name) for part in parts])
        fields += [field.with_name(f"{name}.{field.name}") for field in table.schema]
        columns += table.columns
    return canonical_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)))


def _as_samples(table: pa.Table) -> Samples:
    tables = []
    for name in _TABLES:
        fields = [field for field in table.schema if field.name.startswith(f"{name}.")]
        schema = pa.schema([field.with_name(field.name.partition(".")[2]) for field in fields])
        columns = [table[field.name] for field in fields]
        tables.append(pa.Table.from_arrays(columns, schema=schema))
    return Samples(*tables)

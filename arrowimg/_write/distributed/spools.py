"""Spools: the encoded rows of one batch in a file, until they are joined to shards.

A worker that has one batch cannot know which shards its rows belong to: that depends on how many
rows before them are bad. So it writes a spool, and once all spools are counted, other workers join
them to shards, rows copied and nothing decoded. A spool is named like the shards of its batch, so
that whoever writes it again finds it there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct, structs

from arrowimg._core.checksums import checksum
from arrowimg._core.tables import canonical_table, check_same_columns
from arrowimg._format.keys import UNNAMED_PREFIX, KeyStyle, sample_key_column
from arrowimg._format.names import SPOOLS_FOLDER
from arrowimg._format.samples import Samples
from arrowimg._storage.commit import retry_once
from arrowimg._storage.open import open_storage, options_for
from arrowimg._write.batch_name import batch_digest
from arrowimg._write.encode import encode_batch
from arrowimg._write.packing.plan import PartStream, PlannedShard, RunOfRows, plan_shards
from arrowimg._write.prepare import check_batch, name_rows, picture_runs
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._images.batch import ImageBatch
    from arrowimg._storage.base import Place, Storage, StorageOptions
    from arrowimg._write.options import WriteOptions
    from arrowimg._write.publish import Dataset
    from arrowimg._write.shard import Shard

_ROWS_AT_ONCE = 64
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


class SpoolRows(RunOfRows, frozen=True, kw_only=True):
    """Consecutive rows of a spool.

    Attributes
    ----------
    spool
        Name of its file.
    """

    spool: str


def spools_at(
    dataset: Dataset, scratch: Place | None, storage_options: StorageOptions | None
) -> Storage:
    """Return the place for the spools of a dataset: below it, or apart from others in `scratch`.

    Raises
    ------
    OptionError
        When `scratch` is no place for files.
    """
    if scratch is None:
        return dataset.storage.at(SPOOLS_FOLDER)
    told, durability = options_for(scratch, storage_options), dataset.options.durability
    storage = open_storage(scratch, told, durability, argument="scratch")
    # Whoever writes the same dataset again finds them.
    of_dataset = checksum(dataset.storage.path_of("").encode(), "xxh3_128")
    return storage.at(f"{SPOOLS_FOLDER}-{of_dataset.hex()}")


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
    name = f"{batch_digest(batch, options.image_column, options.recorded())}.arrow"
    if options.if_exists == "skip":
        try:
            return _describe(name, read_parts(storage, name))
        except FileNotFoundError:
            pass
    rows = name_rows(batch.data, options, UNNAMED_PREFIX)
    checked = check_batch(rows, picture_runs(batch.data, options), options)
    parts = list(encode_batch(checked, options).parts)
    # In one chunk, since how many threads encoded the parts must not show.
    table = canonical_table(pa.concat_tables([part.as_table() for part in parts]))
    retry_once(lambda: _write_once(storage, name, table, options))
    return _describe(name, parts)


def plan_spools(
    spools: Iterable[Spool], images_per_tar: int, max_members_nbytes: int | None
) -> Iterator[PlannedShard[SpoolRows]]:
    """Yield the shards of these spools, in order, each as soon as its last row is known.

    They are the shards that `plan_shards` makes of all rows in one list.
    """
    waiting: list[SpoolRows] = []
    sizes: list[int] = []
    number = first_row = 0
    for spool in spools:
        if not spool.row_nbytes:
            continue
        waiting.append(SpoolRows(spool=spool.name, start=0, num_rows=len(spool.row_nbytes)))
        sizes += spool.row_nbytes
        plan = plan_shards(sizes, images_per_tar, max_members_nbytes)
        stream = PartStream(waiting)
        for rows in plan[:-1]:
            num_rows = rows.stop - rows.start
            yield PlannedShard(number, first_row, list(stream.take(num_rows)), sum(sizes[rows]))
            number, first_row = number + 1, first_row + num_rows
        waiting, sizes = stream.rest(), sizes[plan[-1].start :]
    if sizes:
        yield PlannedShard(number, first_row, waiting, sum(sizes))


def join_shard(spools: Storage, dataset: Dataset, shard: PlannedShard[SpoolRows]) -> Shard:
    """Write a planned shard; the same bytes as `ShardWriter` writes.

    Raises
    ------
    DuplicateIdError
        When an id is in two rows.
    SchemaError
        When the metadata columns of two spools differ.
    ShardConflictError, DatasetConflictError
        When its name is taken by other content.
    """
    read = [part for rows in shard.parts for part in _read_rows(spools, rows)]
    parts, row = list[Samples](), shard.first_row
    for part in read:
        check_same_columns(read[0].metadata.schema, part.metadata.schema)
        parts.append(_with_keys(part, row, dataset.options.keys))
        row += part.num_rows
    return dataset.write(shard.number, parts)


def _read_rows(storage: Storage, rows: SpoolRows) -> list[Samples]:
    return read_parts(storage, rows.spool, slice(rows.start, rows.start + rows.num_rows))


def read_parts(storage: Storage, name: str, rows: slice | None = None) -> list[Samples]:
    """Return rows of a spool, all of them unless told which, in parts as they were written."""
    with storage.open(name) as source, pa.ipc.open_file(source) as file:
        rows = rows or slice(0, file.num_record_batches * _ROWS_AT_ONCE)
        first, end = rows.start // _ROWS_AT_ONCE, -(-rows.stop // _ROWS_AT_ONCE)
        return [Samples.from_table(_read_batch(file, number, rows)) for number in range(first, end)]


def _read_batch(file: pa.ipc.RecordBatchFileReader, number: int, rows: slice) -> pa.Table:
    """Return those of some rows of a spool that are in its record batch of a number."""
    before = number * _ROWS_AT_ONCE
    start, stop = max(rows.start - before, 0), rows.stop - before
    return pa.Table.from_batches([file.get_batch(number).slice(start, stop - start)])


def _write_once(storage: Storage, name: str, table: pa.Table, options: WriteOptions) -> None:
    with storage.begin(options.checksum) as transaction:
        file = transaction.create(name)
        with pa.ipc.new_file(pa.PythonFile(file, "w"), table.schema) as writer:
            writer.write_table(table, _ROWS_AT_ONCE)
        transaction.publish(options.if_exists)


def discard_spools(spools: Storage) -> None:
    """Remove all spools; those that cannot be removed stay, and harm nobody."""
    with suppress(StorageError):
        spools.clear()


def _describe(name: str, parts: list[Samples]) -> Spool:
    return Spool(
        name,
        [nbytes for part in parts for nbytes in part.tar_nbytes().tolist()],
        [code for part in parts for code in part.stored["error"].drop_null().to_pylist()],
    )


def _with_keys(samples: Samples, first_row: int, keys: KeyStyle) -> Samples:
    """Return samples with the keys that their rows have in the dataset."""
    image_ids = samples.stored["image_id"].chunk(0)
    key_column = sample_key_column(image_ids, UNNAMED_PREFIX, first_row, keys)
    at = samples.stored.column_names.index("key")
    return structs.replace(samples, stored=samples.stored.set_column(at, "key", key_column))

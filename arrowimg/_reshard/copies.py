"""Copies of stored rows: which shards they make is known before a picture is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.checksums import CHECKSUM_NBYTES
from arrowimg._core.splits import split_by_size
from arrowimg._core.tables import in_one_chunk
from arrowimg._dataset.sidecars import fetch_pictures, places_of, rows_of_picture
from arrowimg._format.keys import UNNAMED_PREFIX, sample_key_column
from arrowimg._format.layout import picture_names
from arrowimg._format.members import extra_members, list_columns
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.samples import Samples, Writable, extensions_of
from arrowimg._format.sidecar import SIDECAR_SCHEMA
from arrowimg._format.tar import END_OF_ARCHIVE, sample_nbytes, tar_nbytes
from arrowimg._reshard.unread import UnreadSamples
from arrowimg._storage.base import Storage
from arrowimg._storage.ranges import check_places
from arrowimg._write.options import WriteOptions
from arrowimg._write.packing.plan import PartStream, PlannedShard, plan_shards
from arrowimg.errors import ChecksumError, OptionError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arrowimg._images.identity import RowName
    from arrowimg._reshard.source import Selection

_READ_NBYTES = 16 * 2**20
_READ_ROWS = 1024
_WRITTEN_ANEW = ("tar_file", "member_name", "offset", "size", "checksum")
_COPIED = [name for name in SIDECAR_SCHEMA.names if name not in _WRITTEN_ANEW]


class SidecarRows(Struct, frozen=True):
    """Rows of sidecars, of one dataset.

    Attributes
    ----------
    storage
        Where their tars are.
    table
        Columns of the sidecars, and new ones.
    """

    storage: Storage
    table: pa.Table

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.table.num_rows)

    def slice(self, start: int, stop: int) -> SidecarRows:
        """Return some of the rows; nothing is copied."""
        return SidecarRows(self.storage, self.table.slice(start, stop - start))


class CopiedParts(Struct, frozen=True):
    """The rows of a planned shard, part by part. Going through them reads the pictures, each time.

    Attributes
    ----------
    shard
        What is to be written.
    metadata_names
        The user's columns among those of its rows.
    options
        What the caller chose.
    """

    shard: PlannedShard[SidecarRows]
    metadata_names: list[str]
    options: WriteOptions

    @property
    def row_names(self) -> list[RowName]:
        """Id and path of each row."""
        columns = ("image_id", "original_path")
        tables = [rows.table.select(columns) for rows in self.shard.parts]
        return list(zip(*(it.to_pylist() for it in pa.concat_tables(tables).columns), strict=True))

    def __iter__(self) -> Iterator[Writable]:
        """Yield the rows, with their pictures where these have to be in memory.

        Raises
        ------
        SampleKeyError, DuplicateIdError
            When ids cannot be member names.
        ChecksumError
            When a tar ends before a picture does, or one whose checksum becomes another is not what
            was written.
        MissingFileError, StorageError
            When a tar is not there or cannot be read.
        """
        first_row = self.shard.first_row
        is_read_now = any(map(self._is_read_now, self.shard.parts))
        for rows in self.shard.parts:
            nbytes = self._picture_nbytes(rows.table) * is_read_now
            for part in split_by_size(nbytes, _READ_NBYTES, _READ_ROWS):
                some = rows.slice(part.start, part.stop)
                yield (self._read if is_read_now else self._unread)(some, first_row)
                first_row += part.stop - part.start

    def check(self, sidecar: pa.Table) -> None:
        """Compare what was written with what is recorded of the source.

        Pictures are hashed once, when they are written; only where checksums become others, they
        were checked when they were read.

        Raises
        ------
        ChecksumError
            When a picture has another checksum.
        """
        first_row, damaged = 0, list[str]()
        for rows in self.shard.parts:
            new = sidecar.slice(first_row, rows.num_rows)
            first_row += rows.num_rows
            pairs = [(new["checksum"], rows.table)]
            for name in self._pictures.values():
                written = pc.struct_field(new[name], "checksum")
                pairs.append((written, rows_of_picture(rows.table, name)))
            for written, said in pairs:
                stated = said["checksum"]
                is_other = pc.and_(pc.not_equal(written, stated), self._is_comparable(stated))
                if not pc.any(is_other).as_py():
                    continue
                places = said.filter(is_other)
                tars = map(rows.storage.path_of, places["tar_file"].to_pylist())
                names = places["member_name"].to_pylist()
                damaged += [f"{name} in {tar}" for name, tar in zip(names, tars, strict=True)]
        if damaged:
            raise ChecksumError(damaged)

    @property
    def _pictures(self) -> dict[str, str]:
        """The column of each further picture, by extension."""
        return picture_names(self.options.recorded())

    def _picture_nbytes(self, table: pa.Table) -> npt.NDArray[np.int64]:
        names = self._pictures.values()
        sizes = [table["size"], *(pc.struct_field(table[name], "size") for name in names)]
        return np.sum([size.fill_null(0).to_numpy() for size in sizes], axis=0)

    def _is_read_now(self, rows: SidecarRows) -> bool:
        """Tell whether pictures are read before the tar is written.

        Over a network, and from many tars, they are read many at once; where checksums become
        others, they are compared with those that were before.
        """
        said = [rows_of_picture(rows.table, name) for name in self._pictures.values()]
        stated = [it["checksum"] for it in (rows.table, *said)]
        return (
            self.options.keeps_images
            or rows.storage.promises.is_remote
            or len(pc.unique(rows.table["tar_file"])) != 1
            or not all(pc.all(self._is_comparable(it)).as_py() for it in stated)
        )

    def _is_comparable(self, checksums: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.equal(pc.binary_length(checksums), CHECKSUM_NBYTES[self.options.checksum])

    def _read(self, rows: SidecarRows, first_row: int) -> Samples:
        def read(said: pa.Table) -> dict[str, pa.Array]:
            is_rehashed = not pc.all(self._is_comparable(said["checksum"])).as_py()
            return {IMAGE_DATA: fetch_pictures(rows.storage, said, check=is_rehashed)}

        return Samples(*self._tables(in_one_chunk(rows.table), first_row, read))

    def _unread(self, rows: SidecarRows, first_row: int) -> UnreadSamples:
        def places(said: pa.Table) -> dict[str, pa.Array]:
            check_places(places_of(rows.storage, said))
            return {name: said[name].chunk(0) for name in ("size", "offset")}

        table = in_one_chunk(rows.table)
        tar = rows.storage, table["tar_file"][0].as_py()
        return UnreadSamples(*self._tables(table, first_row, places), tar)

    def _tables(
        self, table: pa.Table, first_row: int, of_picture: Callable[[pa.Table], dict[str, pa.Array]]
    ) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
        """Return the tables of `Samples`, with what is said to be known of each picture."""
        ids = table["image_id"].chunk(0)
        stored = {
            "key": sample_key_column(ids, UNNAMED_PREFIX, first_row, self.options.keys),
            **of_picture(table),
            "extension": extensions_of(table["member_name"], self.options.keep),
            **{name: table[name] for name in _COPIED},
            "quarantined": pa.nulls(table.num_rows, pa.large_binary()),
        }
        is_adopted = pc.equal(table["action"], "adopted")
        if pc.any(is_adopted).as_py():
            # JPEG files of others, whatever they called them.
            for name, ours in (("extension", "jpg"), ("action", "copied")):
                stored[name] = pc.if_else(is_adopted, ours, stored[name])
        metadata = table.select(self.metadata_names)
        pictures = {
            name: _picture_column(in_one_chunk(rows_of_picture(table, name)), extension, of_picture)
            for extension, name in self._pictures.items()
        }
        members = extra_members(metadata, self.options.members)
        return pa.table(stored), metadata, members, pa.table(pictures)


def _picture_column(
    said: pa.Table, extension: str, of_picture: Callable[[pa.Table], dict[str, pa.Array]]
) -> pa.StructArray:
    """Return a column of `Samples.pictures`."""
    texts = pc.if_else(said["offset"].is_valid(), extension, pa.scalar(None, pa.string()))
    kept = ("width", "height", "channels", "action", "error")
    columns = {
        **of_picture(said),
        "extension": texts.chunk(0),
        **{name: said[name].chunk(0) for name in kept},
    }
    return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))


def plan_copies(
    selection: Selection, options: WriteOptions, order: npt.NDArray[np.int64] | None
) -> list[slice]:
    """Return which of the rows, in this order, each new shard holds.

    Raises
    ------
    OptionError
        When a sample does not fit `max_bytes_per_tar`.
    SchemaError
        When the column of a further picture is not there.
    """
    for name in picture_names(options.recorded()).values() if selection.source.shards else ():
        if name not in selection.schema.names:
            expected = "a column that says where further pictures are"
            raise SchemaError(name, expected, f"columns {selection.schema.names}")
    sized = _row_nbytes(selection, options)
    nbytes, most = np.concatenate([np.zeros(0, np.int64), *sized]), options.max_members_nbytes
    if most is not None and nbytes.max(initial=0) > most:
        least = nbytes.max() + len(END_OF_ARCHIVE)
        option, expected = "max_bytes_per_tar", f"at least {least:,}, for one sample"
        raise OptionError(option, expected, options.max_bytes_per_tar)
    return plan_shards(nbytes if order is None else nbytes[order], options.images_per_tar, most)


def fill_shards(
    selection: Selection, order: npt.NDArray[np.int64] | None, plan: list[slice]
) -> Iterator[PlannedShard[SidecarRows]]:
    """Yield the new shards; in memory are the rows of one sidecar, or all of them in an order."""
    names = [field.name for field in selection.schema]
    tables = (SidecarRows(shard.storage, rows) for shard, rows in selection.tables(names))
    stream = PartStream(tables if order is None else _in_order(tables, order, plan))
    for number, rows in enumerate(plan):
        yield PlannedShard(number, rows.start, list(stream.take(rows.stop - rows.start)))


def _in_order(
    tables: Iterator[SidecarRows], order: npt.NDArray[np.int64], plan: list[slice]
) -> Iterator[SidecarRows]:
    whole = list(tables)
    if whole:
        table = in_one_chunk(pa.concat_tables([rows.table for rows in whole]))
        for rows in plan:
            yield SidecarRows(whole[0].storage, table.take(pa.array(order[rows])))


def _row_nbytes(selection: Selection, options: WriteOptions) -> Iterator[npt.NDArray[np.int64]]:
    """Yield what each row takes in a tar; without `max_bytes_per_tar`, 1 where it has a member."""
    if options.max_members_nbytes is None:
        for shard, is_wanted in zip(selection.source.shards, selection.masks, strict=True):
            yield shard.has_member()[is_wanted].astype(np.int64)
        return
    pictures = [*picture_names(options.recorded()).values()]
    columns = ["error", "size", *pictures, *list_columns(options.members)]
    for _, rows in selection.tables(columns):
        has_member = rows["error"].is_null().to_numpy()
        members = extra_members(rows, options.members).columns
        nbytes = sample_nbytes([column.chunk(0) for column in members]) if members else 0
        for size in (rows["size"], *(pc.struct_field(rows[it], "size") for it in pictures)):
            is_there = size.is_valid().to_numpy()
            nbytes += np.where(is_there, tar_nbytes(size.fill_null(0).to_numpy()), 0)
        yield np.where(has_member, nbytes, 0)

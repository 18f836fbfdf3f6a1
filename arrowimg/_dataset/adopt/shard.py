"""The sidecar of one tar that others wrote: read, committed, and widened to those of all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.tables import beside, canonical_table
from arrowimg._core.version import ADOPTED_VERSION, writer_versions
from arrowimg._dataset.adopt.beside import rows_beside
from arrowimg._dataset.adopt.columns import free_name, member_columns
from arrowimg._dataset.adopt.options import TarOptions
from arrowimg._dataset.adopt.rows import read_tar
from arrowimg._dataset.adopt.widen import misfits, widened
from arrowimg._dataset.duplicates import Hashes, id_hashes
from arrowimg._dataset.sidecars import open_sidecar, read_rows
from arrowimg._format.column_types import written_columns
from arrowimg._format.keys import are_unique
from arrowimg._format.manifest import AdoptedTars, ShardEntry
from arrowimg._format.names import adopted_shard, sidecar_name
from arrowimg._format.sidecar import RESERVED, SIDECAR_SCHEMA, Footer, write_sidecar
from arrowimg._storage.base import Storage
from arrowimg._storage.commit import retry_once
from arrowimg.errors import DatasetConflictError

if TYPE_CHECKING:
    from arrowimg._dataset.adopt.rows import TarRows
    from arrowimg._storage.base import CommittedFile, FileStat


class AdoptedShard(Struct, frozen=True):
    """A tar whose sidecar is committed.

    Attributes
    ----------
    entry
        As the manifest lists it.
    schema
        Of the columns that are not arrowimg's own.
    hashes
        Of its ids, see `id_hashes`.
    error_codes, notices
        As in `Adoption`.
    is_unchanged
        True: it was there before.
    """

    entry: ShardEntry
    schema: pa.Schema
    hashes: Hashes
    error_codes: Counter[str]
    notices: Counter[str]
    is_unchanged: bool


class Adopting(Struct, frozen=True):
    """How sidecars are made.

    Attributes
    ----------
    storage
        Where they go.
    tars
        Where the tars are.
    options
        What the caller chose.
    recorded
        What is recorded of it.
    """

    storage: Storage
    tars: Storage
    options: TarOptions
    recorded: AdoptedTars

    def committed(self, tar: FileStat) -> AdoptedShard | None:
        """Return a shard whose sidecar is there; None: the tar is to be read, maybe again.

        Raises
        ------
        DatasetConflictError
            When it was made with other options.
        ManifestError
            When it cannot be read.
        """
        name = sidecar_name(adopted_shard(tar.name))
        try:
            nbytes = self.storage.stat(name).nbytes
        except FileNotFoundError:
            return None
        with open_sidecar(self.storage, name) as sidecar:
            footer = sidecar.footer
            rows = sidecar.read(["image_id", "error"])
            schema = _without_own(sidecar.file.schema_arrow)
        offered = (self.recorded, tar.name, self.options.checksum)
        if offered != (footer.adopted, footer.tar_file, footer.checksum_name):
            difference = f"{footer.tar_file} as {footer.adopted} there, {self.recorded} here"
            raise DatasetConflictError(self.storage.path_of(name), [difference])
        if footer.tar_nbytes != tar.nbytes:
            return None
        checksum = self.storage.describe(name, self.options.checksum).checksum
        entry = _entry(footer, name, nbytes, checksum)
        codes = Counter(rows["error"].drop_null().to_pylist())
        hashes = id_hashes(rows["image_id"])
        return AdoptedShard(entry, schema, hashes, codes, Counter(), is_unchanged=True)

    def adopt(self, tar_file: str) -> AdoptedShard:
        """Read a tar, and commit its sidecar.

        Raises
        ------
        SchemaError
            When values of a column have no type in common.
        OSError
            When the tar cannot be read.
        """
        storage = self.tars
        with storage.open(tar_file) as file:
            read = read_tar(file, tar_file, self.options)
        notices = read.notices
        names = read.table["member_name"].combine_chunks()
        rows = rows_beside(self.tars, tar_file, read.keys, names, notices)
        own, rows = _with_ids(read.table, rows, notices)
        metadata = written_columns(self._columns(read, rows, tar_file, notices))
        own = own.append_column("tar_file", pa.array([tar_file] * len(own), pa.string()))
        table = beside(own.select(SIDECAR_SCHEMA.names).cast(SIDECAR_SCHEMA), metadata)
        num_images = table["error"].null_count
        footer = Footer(
            format_version=ADOPTED_VERSION,
            writer=writer_versions(),
            options={"checksum": self.options.checksum},
            tar_file=tar_file,
            tar_nbytes=read.nbytes,
            tar_checksum=read.checksum,
            num_rows=len(table),
            num_images=num_images,
            num_errors=len(table) - num_images,
            adopted=self.recorded,
        )
        file_there = self._write(canonical_table(table), footer)
        return AdoptedShard(
            _entry(footer, file_there.name, file_there.nbytes, file_there.checksum),
            metadata.schema,
            id_hashes(table["image_id"]),
            Counter(table["error"].drop_null().to_pylist()),
            +notices,
            is_unchanged=False,
        )

    def misfits(self, shard: AdoptedShard, schema: pa.Schema) -> dict[str, str]:
        """Return the columns whose values do not fit the types of all tars, and why not."""
        changed = [it.name for it in shard.schema if it.type != schema.field(it.name).type]
        rows = read_rows(self.storage, shard.entry.parquet, changed) if changed else pa.table({})
        return misfits(rows, schema)

    def with_schema(self, shard: AdoptedShard, schema: pa.Schema) -> AdoptedShard:
        """Return a shard whose sidecar has the columns of all tars; written anew where it has not.

        Raises
        ------
        SchemaError
            When a value does not fit the type that its column has with those of other tars.
        """
        if shard.schema.equals(schema):
            return shard
        name = shard.entry.parquet
        rows = read_rows(self.storage, name)
        with open_sidecar(self.storage, name) as sidecar:
            footer = sidecar.footer
        metadata = widened(rows.select(_others(rows.column_names)), schema)
        table = beside(rows.select(SIDECAR_SCHEMA.names), written_columns(metadata))
        file = self._write(canonical_table(table), footer)
        entry = _entry(footer, name, file.nbytes, file.checksum)
        return AdoptedShard(
            entry, schema, shard.hashes, shard.error_codes, shard.notices, shard.is_unchanged
        )

    def _columns(
        self, read: TarRows, rows: pa.Table, tar_file: str, notices: Counter[str]
    ) -> pa.Table:
        place = self.tars.path_of(tar_file)
        members = member_columns(read.contents, self.options.clashes, place, notices)
        joined = {
            free_name(name, {}): column
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        }
        # What the table says counts: img2dataset writes the same into each document.
        others = {name: members[name] for name in members.column_names if name not in joined}
        return pa.table(joined | others)

    def _write(self, table: pa.Table, footer: Footer) -> CommittedFile:
        def write() -> CommittedFile:
            with self.storage.begin(self.options.checksum) as transaction:
                file = transaction.create(sidecar_name(footer.shard))
                write_sidecar(file, table, footer)
                return transaction.publish("overwrite").files[-1]

        return retry_once(write)


def _with_ids(
    table: pa.Table, rows: pa.Table | None, notices: Counter[str]
) -> tuple[pa.Table, pa.Table]:
    """Return rows with the ids and paths that the table beside the tar has, and what else it has.

    What can be no id or path is a column like any other there, and counted.
    """
    others = pa.table({}) if rows is None else rows
    for name in ("image_id", "original_path"):
        if name not in others.column_names:
            continue
        said = _as_text(others[name])
        if said is not None:
            said = pc.coalesce(said, table[name])
        if said is None or (name == "image_id" and not are_unique(said)):
            notices[f"{name} of Parquet beside a tar that can be none, in source_{name}"] += 1
        else:
            table = table.set_column(table.column_names.index(name), name, said)
            others = others.drop_columns([name])
    return table, others


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    kind = column.type
    is_one = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return column.cast(pa.string()) if is_one or pa.types.is_integer(kind) else None


def _others(names: list[str]) -> list[str]:
    return [name for name in names if name not in RESERVED]


def _without_own(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in RESERVED])


def _entry(footer: Footer, name: str, nbytes: int, checksum: str) -> ShardEntry:
    return ShardEntry(
        tar=footer.tar_file,
        tar_nbytes=footer.tar_nbytes,
        tar_checksum=footer.tar_checksum,
        parquet=name,
        parquet_nbytes=nbytes,
        parquet_checksum=checksum,
        num_images=footer.num_images,
        num_rows=footer.num_rows,
    )

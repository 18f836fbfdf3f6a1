"""Rows of datasets that are there: of one after the other, shard by shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, Struct, structs

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._dataset.duplicates import Hashes, check_ids, id_hashes, ids_with_hashes
from arrowimg._dataset.folder import read_listing
from arrowimg._dataset.sidecars import ListedShard, open_sidecar
from arrowimg._format.layout import picture_names
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.sidecar import RESERVED
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._storage.base import Storage
    from arrowimg._write.metadata import MetadataFrame  # noqa: TC004  # imports Polars


RowMasks = list[npt.NDArray[np.bool_]]
"""True for the rows of each shard that are wanted, (N,) each."""

_ID = "image_id"


class SourceRows(Struct, frozen=True):
    """The rows of one or more datasets, in order.

    Attributes
    ----------
    shards
        Those that are committed.
    columns
        All columns but ``image_data``, with the types that the shards have together, of those of
        the user in the order in which they come; of a dataset without shards, they are not known.
    records
        The options that were recorded, and where: in a manifest, or else in a sidecar.
    split
        Name of the split that all of them are; empty where they are none, or several.
    """

    shards: list[ListedShard]
    columns: CommonColumns
    records: list[tuple[str, dict[str, Any]]]
    split: str = ""

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types."""
        return self.columns.schema


def open_sources(datasets: Iterable[Storage]) -> SourceRows:
    """Look at every sidecar of these datasets; no row is read, and no tar opened.

    Raises
    ------
    ManifestError
        When a folder holds neither a manifest nor a sidecar, or one that cannot be read.
    SchemaError
        When two shards have types that clash.
    """
    shards, records = list[ListedShard](), list[tuple[str, dict[str, Any]]]()
    common, splits = CommonColumns(), set[str]()
    for storage in datasets:
        listing = read_listing(storage)
        records += listing.records
        splits.add(listing.split)
        for entry in listing.shards:
            path = storage.path_of(entry.parquet)
            with open_sidecar(storage, entry.parquet) as sidecar:
                columns = _without_images(sidecar.file.schema_arrow)
                footer, num_rows = sidecar.footer, sidecar.file.metadata.num_rows
                shard = ListedShard(storage, entry.parquet, footer, num_rows, columns)
            common = common.with_table(columns, path)
            shards.append(shard)
    alike = [structs.replace(shard, schema=common.schema) for shard in shards]
    return SourceRows(alike, common, records, splits.pop() if len(splits) == 1 else "")


def check_unique_ids(source: SourceRows, masks: RowMasks) -> None:
    """Raise `DuplicateIdError` when an id is in two of these rows.

    Memory: the ids of one shard, and see `HashPartitions`.
    """
    paths = [shard.path for shard in source.shards]
    shards = dict(zip(paths, zip(source.shards, masks, strict=True), strict=True))

    def ids_in(path: str) -> pa.ChunkedArray:
        shard, is_wanted = shards[path]
        return shard.read([_ID])[_ID].filter(pa.array(is_wanted)).drop_null()

    def read_hashes(paths: list[str]) -> Iterator[Hashes]:
        return (id_hashes(ids_in(path)) for path in paths)

    def read_ids(paths: list[str], suspects: Hashes) -> Iterator[tuple[str, str]]:
        for path in paths:
            yield from ((it, path) for it in ids_with_hashes(ids_in(path), suspects))

    check_ids(paths, read_hashes, read_ids)


def _without_images(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name != IMAGE_DATA])


def check_copied(source: SourceRows, masks: RowMasks) -> None:
    """Raise where these rows cannot be those of one dataset, see the two checks."""
    check_unique_ids(source, masks)
    check_jpegs(source, masks)


def check_jpegs(source: SourceRows, masks: RowMasks) -> None:
    """Raise `SchemaError` when tars of others have pictures of another kind among these rows."""
    for shard, is_wanted in zip(source.shards, masks, strict=True):
        if shard.footer.adopted is UNSET:
            continue
        rows = shard.read(["member_name", "channels"]).filter(pa.array(is_wanted))
        is_other = pc.and_(pc.is_valid(rows["member_name"]), pc.is_null(rows["channels"]))
        for name in rows["member_name"].filter(is_other).to_pylist()[:1]:
            column, expected = "member_name", "JPEG files, which are copied"
            advice = 'leave them out with where="channels is not null", or write_shards of the tars'
            raise SchemaError(column, expected, f"{name} in {shard.footer.tar_file}", advice)


class Selection(Struct, frozen=True):
    """Rows that are to be copied.

    Attributes
    ----------
    source
        The rows that are there.
    masks
        Which of them.
    metadata
        New columns for them, by id.
    """

    source: SourceRows
    masks: RowMasks
    metadata: MetadataFrame | None

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return sum(int(is_wanted.sum()) for is_wanted in self.masks)

    @property
    def nbytes(self) -> int:
        """Bytes of their tars, about."""
        shards = zip(self.source.shards, self.masks, strict=True)
        return sum(
            int(shard.footer.tar_nbytes * mask.mean()) for shard, mask in shards if len(mask)
        )

    @property
    def schema(self) -> pa.Schema:
        """All columns, the new ones last."""
        joined = self.metadata.columns.schema if self.metadata else []
        return pa.schema([*self.source.schema, *joined])

    @property
    def metadata_names(self) -> list[str]:
        """Names of the user's columns."""
        options = self.source.records[0][1] if self.source.records else {}
        hidden = {*RESERVED, *picture_names(options).values()}
        return [name for name in self.schema.names if name not in hidden]

    def tables(self, names: list[str]) -> Iterator[tuple[ListedShard, pa.Table]]:
        """Yield some columns of the rows of each shard, in the order that they have there."""
        present = set(self.source.schema.names)
        ours = [name for name in names if name in present]
        for shard, is_wanted in zip(self.source.shards, self.masks, strict=True):
            if not is_wanted.any():
                continue
            if self.metadata is None:
                rows = shard.read(ours)
            else:
                rows = shard.read(list(dict.fromkeys([self.metadata.left, *ours])))
                rows = self.metadata.join(rows).select(names)
            yield shard, rows if is_wanted.all() else rows.filter(pa.array(is_wanted))

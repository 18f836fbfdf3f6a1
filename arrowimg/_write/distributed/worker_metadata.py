"""Metadata looked up batch by batch, by workers that know nothing of one another.

That each row of metadata has an image, and only one, no worker can tell; whoever puts together
what they wrote compares the counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from arrowimg._core.plain_types import plain_table
from arrowimg._core.tables import as_table
from arrowimg._write.metadata import MetadataFrame
from arrowimg.errors import SchemaError

_ID = "image_id"
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"


class MetadataSource(Protocol):
    """Metadata by ``image_id``."""

    def take(self, image_ids: pa.ChunkedArray) -> pa.Table:
        """Return the metadata of these images, in their order, without their ids.

        Raises
        ------
        MetadataJoinError
            When an id has no metadata, or is given twice.
        """
        ...


class ParquetMetadata:
    """Metadata in a Parquet file, or a folder of them.

    Row groups whose statistics say that none of the ids is in them are not read. A file that is
    sorted by ``image_id`` is read once in all, if batches come in that order; otherwise once a
    batch.

    Raises
    ------
    SchemaError
        When there is no ``image_id`` of strings or integers.
    """

    def __init__(self, path: str | Path) -> None:
        self._dataset = pads.dataset(str(path), format="parquet")
        names = self._dataset.schema.names
        kind = self._dataset.schema.field(_ID).type if _ID in names else None
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) if kind else False
        if kind is None or not (is_text or pa.types.is_integer(kind)):
            expected = f"a column of strings or integers in {path}"
            raise SchemaError(_ID, expected, str(kind or names))
        self._kind = kind

    @property
    def num_rows(self) -> int:
        """Number of rows, from the footers."""
        return int(self._dataset.count_rows())

    def take(self, image_ids: pa.ChunkedArray) -> pa.Table:
        """Return the metadata of these images, see `MetadataSource`."""
        ids = image_ids.drop_null()
        if pa.types.is_integer(self._kind):
            ids = ids.filter(pc.match_substring_regex(ids, _INTEGER)).cast(pa.int64())
        span = pc.min_max(ids)
        found = self._dataset.to_table(
            filter=(pads.field(_ID) >= span["min"])
            & (pads.field(_ID) <= span["max"])
            & pads.field(_ID).isin(ids.combine_chunks()),
            use_threads=False,
        )
        return MetadataFrame(found).take(image_ids)


def open_metadata(metadata: object) -> MetadataSource:
    """Return what looks metadata up: in a Parquet file where it is a path, else in a frame."""
    if isinstance(metadata, MetadataFrame):
        return metadata
    if isinstance(metadata, (str, Path)):
        return ParquetMetadata(metadata)
    return MetadataFrame(metadata)


def frame_table(metadata: object) -> pa.Table:
    """Return a metadata frame as a table, once it is known to hold each id once.

    Raises
    ------
    SchemaError, MetadataJoinError
        When it has no ids, or an id twice.
    """
    frame = metadata.collect() if isinstance(metadata, pl.LazyFrame) else metadata
    table = plain_table(as_table(frame))  # whoever sends it on may not know views
    MetadataFrame(table)
    return table

"""Metadata joined to the batches of a source, and what is known of the ids beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from arrowimg._core.frames.polars_frames import is_polars
from arrowimg._core.tables import as_table, text_column
from arrowimg._format.keys import check_unique
from arrowimg._images.batch import ImageBatch

if TYPE_CHECKING:
    from arrowimg._write.metadata import MetadataFrame


def known_ids(source: Any) -> pa.ChunkedArray | None:  # noqa: ANN401  # any source
    """Return the ids of a source that is in memory as a whole, None of others or without ids."""
    table = source.data if isinstance(source, ImageBatch) else source
    if isinstance(table, pa.RecordBatch) or is_polars(table):
        table = as_table(table)
    if not isinstance(table, pa.Table) or table.column_names.count("image_id") != 1:
        return None
    return text_column(table["image_id"], "image_id")


def check_known_ids(source: object, metadata: MetadataFrame | None) -> None:
    """Find what is wrong with the ids of a source that is in memory, before a batch is written.

    Raises
    ------
    DuplicateIdError, MetadataJoinError
        When an id is there twice, or the metadata does not match, one row to one image.
    """
    image_ids = known_ids(source)
    if image_ids is None:
        return
    ids = image_ids.to_pylist()
    check_unique(ids, ids)
    if metadata is not None:
        metadata.check_ids(image_ids)


def open_metadata(source: object) -> MetadataFrame | None:
    """Return metadata as what hands it out batch by batch; None where there is none.

    Raises
    ------
    SchemaError, MetadataJoinError
        See `MetadataFrame`.
    """
    if source is None:
        return None
    from arrowimg._write.metadata import MetadataFrame  # noqa: PLC0415  # imports Polars

    return source if isinstance(source, MetadataFrame) else MetadataFrame(source)


def join_metadata(batch: ImageBatch, metadata: MetadataFrame | None) -> ImageBatch:
    """Return the batch with the columns that belong to its ids."""
    if metadata is None:
        return batch
    from arrowimg._write.metadata import with_metadata  # noqa: PLC0415  # imports Polars

    return ImageBatch(with_metadata(batch.data, metadata.take))

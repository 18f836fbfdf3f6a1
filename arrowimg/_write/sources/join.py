"""Metadata joined to the batches of a source, and what is known of the ids beforehand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pyarrow as pa

from arrowimg._core.frames.polars_frames import is_polars
from arrowimg._core.option_checks import check_option
from arrowimg._core.tables import as_table, text_column
from arrowimg._format.keys import check_unique
from arrowimg._images.batch import ImageBatch
from arrowimg._write.sources.columns import ChosenColumns
from arrowimg._write.sources.metadata_files import read_metadata

if TYPE_CHECKING:
    from arrowimg._storage.base import ReadyStore, StorageOptions
    from arrowimg._write.metadata import MetadataFrame

On: TypeAlias = "str | tuple[str, str] | None"
"""The column that metadata is joined on, or a pair of them: of the images, of the metadata."""

_ID, _FILE_NAME = "image_id", "file_name"


def _known_columns(
    source: Any,  # noqa: ANN401  # any source
    names: set[str],
    columns: ChosenColumns,
) -> pa.Table | None:
    """Return some columns of a source that is in memory as a whole, None of others.

    Parameters
    ----------
    names
        Theirs, where they are there, once they are renamed.
    """
    table = source.data if isinstance(source, ImageBatch) else source
    if not (isinstance(table, pa.Table | pa.RecordBatch) or is_polars(table)):
        return None
    if is_polars(table):
        # To be a table, strings and bytes are copied: pictures need not be.
        news = columns.new_names(table.columns)
        pairs = zip(table.columns, news, strict=True)
        table = table.select([name for name, new in pairs if new in names])
    return columns.renamed(as_table(table))


def _known_column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    is_there = table.column_names.count(name) == 1
    return text_column(table[name], name) if is_there else None


def check_known_ids(
    source: object, metadata: MetadataFrame | None, columns: ChosenColumns | None = None
) -> None:
    """Find what is wrong with the ids of a source that is in memory, before a batch is written.

    Parameters
    ----------
    columns
        Which are written, under which names. None: all, under their own.

    Raises
    ------
    DuplicateIdError, MetadataJoinError
        When an id is there twice, or the metadata does not match, one row to one image.
    """
    columns = columns or ChosenColumns()
    names = {_ID} if metadata is None else {_ID, metadata.left}
    table = _known_columns(source, names, columns)
    if table is None:
        return
    image_ids = None if _ID in columns.drop else _known_column(table, _ID)
    if image_ids is not None:
        ids = image_ids.to_pylist()
        check_unique(ids, ids)
    keys = None if metadata is None else _known_column(table, metadata.left)
    if metadata is not None and keys is not None:
        metadata.check_ids(keys)


def open_metadata(
    source: object,
    on: On = None,
    columns: ChosenColumns | None = None,
    storage_options: StorageOptions | ReadyStore | None = None,
) -> MetadataFrame | None:
    """Return metadata as what hands it out batch by batch; None where there is none.

    Parameters
    ----------
    source
        A frame, anything that speaks Arrow, or a path or URL, see `read_metadata`.
    on
        The column to join on, or a pair: that of the images, that of the metadata. None:
        ``image_id``, or ``file_name`` where metadata has no ``image_id``.
    columns
        Under which names its columns are written.
    storage_options
        What an object store is told.

    Raises
    ------
    SchemaError, MetadataJoinError
        See `MetadataFrame`.
    SourceError
        When a file cannot be read.
    OptionError
        When `on` is something else.
    """
    left, right = _pair(on)
    if source is None:
        check_option(on is None, "on", "None without metadata", on)
        return None
    from arrowimg._write.metadata import MetadataFrame  # noqa: PLC0415  # imports Polars

    if isinstance(source, MetadataFrame):
        return source
    columns = columns or ChosenColumns()
    keys = {right or _ID, _FILE_NAME}
    if isinstance(source, str | os.PathLike):

        def is_key(name: str) -> bool:
            return columns.new_names([name])[0] in keys

        table = read_metadata(source, is_key, storage_options)
    elif hasattr(source, "collect") and not hasattr(source, "column_names"):
        table = as_table(source.collect())
    else:
        table = as_table(source)
    table = columns.renamed(table)
    if left is None or right is None:
        is_by_name = _ID not in table.column_names and _FILE_NAME in table.column_names
        left = right = _FILE_NAME if is_by_name else _ID
    return MetadataFrame(table, left, right)


def _pair(on: object) -> tuple[str | None, str | None]:
    if on is None:
        return None, None
    pair = (on, on) if isinstance(on, str) else on
    is_pair = (
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and all(isinstance(it, str) and it for it in pair)
    )
    check_option(is_pair, "on", "a column, or a pair: of the images, of the metadata", on)
    left, right = cast("tuple[str, str]", pair)
    return left, right


def join_metadata(batch: ImageBatch, metadata: MetadataFrame | None) -> ImageBatch:
    """Return the batch with the columns that belong to its ids."""
    if metadata is None:
        return batch
    return ImageBatch(metadata.join(batch.data))

"""Batches read back: what was written, ready to be written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from arrowimg._core.columns.common_columns import CommonColumns, conformed
from arrowimg._core.option_checks import check_option, is_int
from arrowimg._core.tables import beside
from arrowimg._dataset.folder import common_columns, read_listing
from arrowimg._dataset.sidecars import fetch_pictures, read_rows, rows_of_picture
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.sidecar import RESERVED
from arrowimg._images.batch import ImageBatch
from arrowimg._storage.open import open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arrowimg._storage.base import Place, Storage, StorageOptions


def read_batches(
    output_dir: Place,
    batch_size: int = 1000,
    *,
    images: Sequence[str] | None = None,
    check: bool = True,
    storage_options: StorageOptions | None = None,
) -> Iterator[ImageBatch]:
    """Yield what was written as batches again, in its order.

    Written again, with the options it was written with, the tars are the same, byte for byte: JPEG
    files are copied.

    Parameters
    ----------
    output_dir
        Folder of the shards.
    batch_size
        Rows of each batch, but of the last.
    images
        Which pictures: ``"image_data"``, and the names of columns of further pictures. None: all.
    check
        True: compare each picture with its checksum.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.

    Yields
    ------
    ImageBatch
        ``image_id``, ``image_path``, the metadata columns with the types that the shards have
        together, and
        the pictures, as files: ``image_data`` and columns of further ones; null where a row has
        an error, or none of these.

    Raises
    ------
    OptionError
        When `batch_size` is no positive number, or `images` no list of pictures that are there.
    ManifestError
        When there is neither a manifest nor a sidecar, or the manifest cannot be read.
    SchemaError
        When two shards have types that clash.
    ChecksumError, MissingFileError, StorageError
        See `fetch_images`.

    Notes
    -----
    Memory: one batch, and the rows of one sidecar without its pictures.
    """
    check_option(is_int(batch_size, 1), "batch_size", "an int of at least 1", batch_size)
    storage = open_storage(output_dir, storage_options)
    listing = read_listing(storage)
    sidecars = [shard.parquet for shard in listing.shards]
    columns = common_columns(storage, sidecars if listing.may_be_uneven else sidecars[:1])
    pictures = [IMAGE_DATA, *listing.pictures.values()]
    check_option(not isinstance(images, str), "images", "a list of column names", images)
    chosen = pictures if images is None else list(images)
    for name in chosen:
        check_option(name in pictures, "images", f"some of {', '.join(map(repr, pictures))}", name)
    hidden = {*RESERVED, *pictures}

    def rebuilt(rows: pa.Table) -> ImageBatch:
        metadata = rows.select([name for name in rows.column_names if name not in hidden])
        return _rebuild_batch(storage, rows, chosen, metadata, check=check)

    return map(rebuilt, _batches(storage, sidecars, columns, batch_size))


def _batches(
    storage: Storage, sidecars: list[str], columns: CommonColumns, batch_size: int
) -> Iterator[pa.Table]:
    waiting = list[pa.Table]()
    for sidecar in sidecars:
        read = read_rows(storage, sidecar)
        columns = columns.with_table(read.schema, storage.path_of(sidecar))
        waiting = [conformed(rows, columns.schema) for rows in waiting]
        rows = pa.concat_tables([*waiting, conformed(read, columns.schema)])
        whole = len(rows) - len(rows) % batch_size
        for start in range(0, whole, batch_size):
            yield rows.slice(start, batch_size)
        waiting = [rows.slice(whole)]
    for rows in waiting:
        if len(rows):
            yield rows


def _rebuild_batch(
    storage: Storage, rows: pa.Table, images: Sequence[str], metadata: pa.Table, *, check: bool
) -> ImageBatch:
    columns = {"image_id": rows["image_id"], "image_path": rows["original_path"]}
    for name in images:
        places = rows if name == IMAGE_DATA else rows_of_picture(rows, name)
        columns[name] = fetch_pictures(storage, places, check=check)
    return ImageBatch(beside(pa.table(columns), metadata))

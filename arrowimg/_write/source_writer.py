"""A whole source in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from msgspec import structs

from arrowimg._core.display.progress import progress_bar
from arrowimg._core.option_checks import check_keywords
from arrowimg._storage.open import is_in_store
from arrowimg._write.options import WriteKeywords, WriteOptions
from arrowimg._write.sources.join import check_known_ids, open_metadata
from arrowimg._write.sources.source import Source
from arrowimg._write.writer import ShardWriter

if TYPE_CHECKING:
    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.file_group import FileGroupTask


def write_shards(
    source: object,
    output_dir: Place,
    images_per_tar: int = 1000,
    metadata: object = None,
    remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
    *,
    progress: bool | None = None,
    storage_options: StorageOptions | None = None,
    **options: Unpack[WriteKeywords],
) -> FileGroupTask:
    """Write a source of images as tar shards with Parquet sidecars and a manifest.

    Parameters
    ----------
    source
        Anything that speaks Arrow (PyArrow, Polars, pandas, DuckDB), a `polars.LazyFrame`, a
        Hugging Face ``Dataset``, an `ImageBatch`, an iterable of these, a folder of images, a
        Parquet or Arrow file, or paths of image files. In an object store: a URL below which there
        are images, of one file, or of a pattern, ``s3://bucket/prefix/*.parquet``.
    output_dir
        Folder of the dataset; made when the first shard is written.
    images_per_tar, metadata, remove_image_data
        As of `ShardWriter`.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.
    **options
        As of `ShardWriter`.

    Returns
    -------
    FileGroupTask
        The files, in shard order. The manifest is not one of them. Its metadata has
        ``passed_over`` too: how many files and folders of a source of files were left out by
        rule, by reason.

    Raises
    ------
    SourceError
        When `source` is nothing that holds images, or cannot be read.
    ImageError, SchemaError, SampleKeyError, DuplicateIdError, MetadataJoinError
        When rows cannot be written; shards of the rows before are there, the manifest is not.
        Ids of a source that is in memory as a whole are checked before anything is written.
    ErrorFractionError
        When too many rows are bad; shards of the rows before are there, the manifest is not.
    ShardConflictError, DatasetConflictError
        When `output_dir` holds another dataset, or one of other options.
    StorageError
        When `output_dir` cannot be written to; shards before are there, the manifest is not.
    ManifestError
        When `output_dir` has a manifest, or with ``if_exists="skip"`` a sidecar, that cannot be
        read.

    Examples
    --------
    >>> group = write_shards("photographs/", "out/")  # doctest: +SKIP
    """
    check_keywords(
        options, WriteOptions, ("options", "source", "metadata", "progress", "storage_options")
    )
    frame = open_metadata(metadata)
    check_known_ids(source, frame)
    is_url = isinstance(source, str) and is_in_store(source)
    # Of a source in a store they are too; then a folder to write to needs none.
    told = None if is_url and not is_in_store(output_dir) else storage_options
    writer = ShardWriter(
        output_dir,
        images_per_tar,
        frame,
        remove_image_data,
        storage_options=told,
        **options,
    )
    found = Source(source, storage_options)
    with writer, progress_bar(found.num_rows, " images", progress) as bar:
        for batch in found.batches():
            writer.write(batch)
            bar.update(batch.num_items)
    group, passed_over = writer.file_group, {"passed_over": dict(found.passed_over)}
    return structs.replace(group, metadata=group.metadata | passed_over)

"""Shards packed full across batches, a manifest at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from arrowimg._batches import check_batch, encode_batch
from arrowimg._columns import as_table
from arrowimg._identity import Identity
from arrowimg._keys import UNNAMED_PREFIX, check_unique
from arrowimg._options import WriteKeywords, WriteOptions
from arrowimg._sample_writer import SampleWriter
from arrowimg._sources import count_rows, known_ids, read_batches
from arrowimg._tasks import FileGroupTask, ImageBatch
from arrowimg.errors import NotFinishedError, NotOpenError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa

    from arrowimg._metadata import MetadataFrame


class ShardWriter:
    """Writes batches as one dataset: shards packed full across batches, a manifest at the end.

    Use it as a context manager. Leaving the block normally commits the last shard, which may be
    short, and then the manifest; leaving it by an exception commits neither, so that no dataset
    appears to be there. Whole shards written before remain; writing the same batches again into
    the same folder completes the dataset.

    Parameters
    ----------
    output_dir
        Folder of the dataset; made when the first shard is written.
    images_per_tar
        Every tar but the last holds this many pictures, unless `max_bytes_per_tar` ends it before.
    metadata
        A Polars frame, or anything that speaks Arrow, joined to the images by ``image_id``, one
        row to one image.
    remove_image_data
        True, the default here: the sidecars have no ``image_data`` column.
    **options
        See `WriteOptions`.

    Raises
    ------
    OptionError
        When an option has a value that it cannot have.
    MetadataJoinError
        When `metadata` has an id twice, or none.

    Notes
    -----
    Memory: one batch, plus the encoded bytes of one shard, plus `metadata`.
    """

    def __init__(
        self,
        output_dir: str | Path,
        images_per_tar: int = 1000,
        metadata: object = None,
        remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
        **options: Unpack[WriteKeywords],
    ) -> None:
        self.output_dir = output_dir
        self.options = WriteOptions(
            images_per_tar=images_per_tar, remove_image_data=remove_image_data, **options
        )
        self._metadata = _metadata_frame(metadata)
        self._samples = SampleWriter(output_dir, self.options)
        self._is_open = False
        self._file_group: FileGroupTask | None = None

    def __enter__(self) -> Self:
        self._samples.open()
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        if kind is None:
            self._samples.check_unbroken()
            if self._metadata is not None:
                self._metadata.check_all_used()
            self._file_group = self._samples.finish()

    @property
    def file_group(self) -> FileGroupTask:
        """What was written. Known once the block was left normally.

        Raises
        ------
        NotFinishedError
            Before that.
        """
        if self._file_group is None:
            raise NotFinishedError
        return self._file_group

    def write(self, batch: object) -> None:
        """Add the rows of a batch; commits every shard that they fill.

        Parameters
        ----------
        batch
            An `ImageBatch`, or anything that speaks Arrow. Not changed.

        Raises
        ------
        ImageError, SchemaError, SampleKeyError, DuplicateIdError, MetadataJoinError
            When the batch cannot be written. None of its rows was.
        ShardConflictError
            When a name is taken by other content.
        NotOpenError
            Outside of the writer's with-block.
        BrokenWriterError
            After an error, of memory for one, that came when some rows of a batch were committed.
        """
        if not self._is_open:
            raise NotOpenError
        self._samples.check_unbroken()
        task = batch if isinstance(batch, ImageBatch) else ImageBatch(as_table(batch))
        if not task.num_items:
            return
        joined = _join(task, self._metadata)
        num_committed = self._match_committed(joined)
        if num_committed == task.num_items:
            self._confirm_metadata()
            self._samples.pass_over(task.num_items)
            return
        fresh = ImageBatch(joined.data.slice(num_committed))
        first_row = self._samples.num_rows + num_committed
        checked = check_batch(fresh, self.options, UNNAMED_PREFIX, first_row)
        self._samples.check_columns(checked.metadata.schema)
        encoded = encode_batch(checked, self.options)
        self._confirm_metadata()
        self._samples.add(encoded, task.num_items)

    def _match_committed(self, batch: ImageBatch) -> int:
        """Return how many rows of a batch stand in shards of a writer before this one."""
        if not self._samples.is_passing:
            return 0
        return self._samples.match(Identity.of(batch.data, self.options.image_column))

    def _confirm_metadata(self) -> None:
        """Count the metadata of a batch as used, now that nothing can refuse the batch any more."""
        if self._metadata is not None:
            self._metadata.confirm()


def write_shards(
    source: object,
    output_dir: str | Path,
    images_per_tar: int = 1000,
    metadata: object = None,
    remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
    *,
    progress: bool | None = None,
    **options: Unpack[WriteKeywords],
) -> FileGroupTask:
    """Write a source of images as tar shards with Parquet sidecars and a manifest.

    Parameters
    ----------
    source
        Anything that speaks Arrow (PyArrow, Polars, pandas, DuckDB), a `polars.LazyFrame`, a
        Hugging Face ``Dataset``, an `ImageBatch`, an iterable of these, a folder of images, a
        Parquet or Arrow file, or paths of image files.
    output_dir
        Folder of the dataset; made when the first shard is written.
    images_per_tar
        Every tar but the last holds this many pictures, unless `max_bytes_per_tar` ends it before.
    metadata
        A Polars frame, or anything that speaks Arrow, joined to the images by ``image_id``, one
        row to one image.
    remove_image_data
        True, the default here: the sidecars have no ``image_data`` column.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    **options
        See `WriteOptions`.

    Returns
    -------
    FileGroupTask
        The files, in shard order. The manifest is not one of them.

    Raises
    ------
    SourceError
        When `source` is nothing that holds images.
    ImageError, SchemaError, SampleKeyError, DuplicateIdError, MetadataJoinError
        When rows cannot be written; shards of the rows before are there, the manifest is not.
        Ids of a source that is in memory as a whole are checked before anything is written.
    ShardConflictError
        When `output_dir` holds another dataset.

    Examples
    --------
    >>> group = write_shards("photographs/", "out/")  # doctest: +SKIP
    """
    from tqdm import tqdm  # noqa: PLC0415  # only here is a bar drawn

    disable = None if progress is None else not progress
    frame = _metadata_frame(metadata)
    _check_ids(known_ids(source), frame)
    with (
        ShardWriter(output_dir, images_per_tar, frame, remove_image_data, **options) as writer,
        tqdm(total=count_rows(source), unit=" images", disable=disable) as bar,
    ):
        for batch in read_batches(source):
            writer.write(batch)
            bar.update(batch.num_items)
    return writer.file_group


def _metadata_frame(source: object) -> MetadataFrame | None:
    if source is None:
        return None
    from arrowimg._metadata import MetadataFrame  # noqa: PLC0415  # imports Polars

    return source if isinstance(source, MetadataFrame) else MetadataFrame(source)


def _check_ids(image_ids: pa.ChunkedArray | None, metadata: MetadataFrame | None) -> None:
    """Find what a later batch would stumble over, before the first is written."""
    if image_ids is None:
        return
    ids = image_ids.to_pylist()
    check_unique(ids, ids)
    if metadata is not None:
        metadata.check_ids(image_ids)


def _join(batch: ImageBatch, metadata: MetadataFrame | None) -> ImageBatch:
    """Return the batch with the columns that belong to its ids."""
    if metadata is None:
        return batch
    from arrowimg._metadata import with_metadata  # noqa: PLC0415  # imports Polars

    joined = with_metadata(batch.data, metadata.take)
    return ImageBatch(joined, batch.dataset_name, batch.task_id, batch.metadata)

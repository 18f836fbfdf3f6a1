"""The sink: where Ray Data puts blocks, and the manifest of what was written."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Unpack

import pyarrow as pa
import ray.data
from ray.data.block import BlockAccessor

from arrowimg._core.tables import as_table
from arrowimg._write.distributed.collect import check_metadata_used, pair_files, publish_shards
from arrowimg._write.distributed.tasks import dataset_options, make_stage, read_block
from arrowimg._write.file_group import FILE_GROUP_SCHEMA, FileGroupTask
from arrowimg._write.publish import Dataset
from arrowimg.errors import OptionError
from arrowimg.ray._cluster import absolute, hashes_in, received_metadata, rows_in, send_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ray.data._internal.execution.interfaces import TaskContext
    from ray.data.block import Block
    from ray.data.datasource import WriteResult

    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.options import WriteKeywords
    from arrowimg._write.shard import Shard


class ShardSink(ray.data.Datasink[pa.Table]):
    """Writes a dataset as shards and a manifest: ``dataset.write_datasink(ShardSink(...))``.

    Each task writes its blocks as shards of its own, of at most `images_per_tar`. Where every tar
    but the last shall be full, use `write_shards`. The manifest is published once all tasks are
    done, and only if the rows add up and no id is there twice.

    Parameters
    ----------
    output_dir
        Folder of the dataset, which all workers see; or a URL.
    images_per_tar
        At most this many pictures in one tar.
    metadata
        A Polars frame, anything that speaks Arrow, or the path of a Parquet file; joined to the
        images by ``image_id``, one row to one image.
    remove_image_data
        True, the default here: the sidecars have no ``image_data`` column.
    min_rows_per_write
        Rows that Ray puts together for one task, where it can. More make fuller tars and take more
        memory. None: Ray's choice.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``. Workers are sent it; no name, log or `repr` shows it.
    **options
        See `WriteOptions`. Here ``on_error`` is ``"quarantine"`` and ``max_error_fraction`` 0.01
        unless told otherwise; the fraction is judged over the whole dataset, before the manifest.

    Raises
    ------
    OptionError
        When an option has a value that it cannot have.
    SchemaError, MetadataJoinError
        When the metadata has no ids, or one twice.
    """

    def __init__(
        self,
        output_dir: Place,
        images_per_tar: int = 1000,
        metadata: object = None,
        remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
        *,
        min_rows_per_write: int | None = None,
        storage_options: StorageOptions | None = None,
        **options: Unpack[WriteKeywords],
    ) -> None:
        if isinstance(metadata, ray.data.Dataset):
            option, expected = "metadata", "a frame or a Parquet file; join datasets before"
            raise OptionError(option, expected, metadata)
        self._options = dataset_options(
            images_per_tar, options, remove_image_data=remove_image_data
        )
        place = absolute(output_dir)
        self._dataset = Dataset.at(place, self._options, storage_options)
        self._stage = make_stage(place, self._options, storage_options)
        self._metadata = send_metadata(metadata)
        self._min_rows_per_write = min_rows_per_write

    @property
    def min_rows_per_write(self) -> int | None:
        """Rows that Ray puts together for one task, where it can."""
        return self._min_rows_per_write

    def on_write_start(self, schema: pa.Schema | None = None) -> None:
        """Refuse a folder that holds another dataset. On the driver, before the first task."""
        del schema
        self._dataset.check_no_shards()
        self._dataset = self._dataset.begin()

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> pa.Table:
        """Write the blocks of one task; returns one row per file."""
        del ctx  # a retried task has the same number, a task of another run has it too
        metadata = received_metadata(self._metadata)
        names = [*self._options.rules]
        batches = (read_block(table, names, metadata) for table in _read_tables(blocks))
        groups = [self._stage.process(batch) for batch in batches]
        return pa.concat_tables([FILE_GROUP_SCHEMA.empty_table(), *(it.data for it in groups)])

    def on_write_complete(self, write_result: WriteResult[pa.Table]) -> None:
        """Publish the manifest of what the successful attempts returned. On the driver.

        Raises
        ------
        IncompleteError
            When the shards hold another number of rows than went in.
        DuplicateIdError
            When an id is in two rows.
        ErrorFractionError
            When too many rows are bad.
        ShardConflictError
            When the folder holds another dataset.
        """
        num_rows = int(write_result.num_rows)
        check_metadata_used(self._metadata.num_rows if self._metadata else None, num_rows)
        shards = pair_files(write_result.write_returns, self._options)
        _publish(self._dataset, shards, num_rows)

    def on_write_failed(self, error: Exception) -> None:
        """Say what is there, and how to go on. On the driver."""
        error.add_note(
            f"arrowimg: the shards in {self._dataset.output_dir} are whole, and there is no "
            "manifest of them. Mend what failed and write the same dataset again, with the same "
            'options and if_exists="skip": batches that are there are not encoded again.'
        )


def publish_manifest(
    files: ray.data.Dataset | pa.Table,
    output_dir: Place,
    images_per_tar: int = 1000,
    remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
    *,
    num_rows: int | None = None,
    storage_options: StorageOptions | None = None,
    **options: Unpack[WriteKeywords],
) -> FileGroupTask:
    """Publish the manifest of shards that `write_batch` or `BatchWriter` wrote.

    Parameters
    ----------
    files
        What ``map_batches`` made of the images, or the same as one table. A dataset that was not
        run yet is run.
    output_dir, images_per_tar, remove_image_data, storage_options, **options
        As they were given to the writer. ``max_error_fraction`` is 0.01 unless told otherwise, and
        judged over all rows.
    num_rows
        How many rows went in, where that is known; then the shards must hold as many.

    Returns
    -------
    FileGroupTask
        The files, sorted by name. The manifest is not one of them.

    Raises
    ------
    IncompleteError, DuplicateIdError, ErrorFractionError
        When the rows do not add up, an id is there twice, or too many rows are bad.
    DatasetConflictError, ShardConflictError
        When the shards were written with other options, or the folder holds another dataset.
    """
    chosen = dataset_options(images_per_tar, options, remove_image_data=remove_image_data)
    tables = [files] if isinstance(files, pa.Table) else list(_read_batches(files))
    dataset = Dataset.at(output_dir, chosen, storage_options).begin()
    return _publish(dataset, pair_files(tables, chosen), num_rows)


def _publish(dataset: Dataset, shards: list[Shard], num_rows: int | None) -> FileGroupTask:
    read_hashes = partial(hashes_in, storage=dataset.storage)
    find_ids = partial(rows_in, storage=dataset.storage)
    return publish_shards(dataset, shards, num_rows, read_hashes, find_ids)


def _read_batches(dataset: ray.data.Dataset) -> Iterator[pa.Table]:
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")


def _read_tables(blocks: Iterable[Block]) -> Iterator[pa.Table]:
    """Yield the blocks of a task as tables, those of one schema after another as one."""
    found: Iterator[Any] = (as_table(BlockAccessor.for_block(block).to_arrow()) for block in blocks)
    for _, tables in groupby((it for it in found if it.num_rows), key=lambda it: it.schema):
        yield pa.concat_tables(list(tables))

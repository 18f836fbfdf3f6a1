"""Full shards: every tar but the last holds ``images_per_tar`` pictures, whatever the blocks."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
import numpy as np
import pyarrow as pa
import ray.data

from arrowimg._core.tables import text_column
from arrowimg._dataset.duplicates import check_ids
from arrowimg._images.arrays import nested_lists
from arrowimg._write.distributed.collect import check_metadata_used
from arrowimg._write.distributed.spools import (
    Spool,
    SpoolRows,
    discard_spools,
    join_shard,
    plan_spools,
    spools_at,
    write_spool,
)
from arrowimg._write.distributed.tasks import (
    JOINED,
    PROCESS_NBYTES,
    dataset_options,
    read_block,
    task_options,
)
from arrowimg._write.file_group import FILE_GROUP_SCHEMA, FileGroupTask
from arrowimg._write.options import ROWS_TO_JUDGE, check_error_fraction
from arrowimg._write.packing.plan import PlannedShard
from arrowimg._write.publish import Dataset
from arrowimg._write.shard import Shard
from arrowimg.errors import IncompleteError, SchemaError
from arrowimg.ray._cluster import (
    SentMetadata,
    absolute,
    hashes_in,
    in_order,
    read_structs,
    received_metadata,
    rows_in,
    rows_per_task,
    send_metadata,
    through_ray,
)
from arrowimg.ray._map_batches import task_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from arrowimg._storage.base import Place, Storage, StorageOptions
    from arrowimg._write.options import WriteKeywords, WriteOptions

ROWS_PER_SPOOL = 1000
"""Most rows encoded at once: a task has this many in memory, however large its block is."""

_ROWS_PER_PARTITION = 2000


def write_shards(  # noqa: PLR0913  # each is of its own
    dataset: ray.data.Dataset,
    output_dir: Place,
    images_per_tar: int = 1000,
    metadata: object = None,
    remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
    *,
    ray_remote_args: Mapping[str, Any] | None = None,
    concurrency: int | None = None,
    storage_options: StorageOptions | None = None,
    scratch: Place | None = None,
    **options: Unpack[WriteKeywords],
) -> FileGroupTask:
    """Write a dataset as `arrowimg.write_shards` writes the same rows: the same bytes.

    Neither the blocks nor the number of workers show in what is written. Workers encode each block
    into a spool; the spools are counted on the driver; other workers join them to shards, without
    decoding anything. So what is stored is written twice and read once, and takes its room twice
    until the end.

    Parameters
    ----------
    dataset
        Its rows are written in its order.
    output_dir
        Folder of the dataset, which all workers see; or a URL.
    images_per_tar
        Every tar but the last holds this many pictures, unless `max_bytes_per_tar` ends it before.
    metadata
        Joined to the images by ``image_id``, one row to one image. A Polars frame, or anything
        that speaks Arrow, is sent to every worker. The path of a Parquet file is read by each for
        the ids it has. A Ray dataset is joined by Ray, which moves the images too, and the order
        is then that of Ray's join.
    remove_image_data
        True, the default here: the sidecars have no ``image_data`` column.
    ray_remote_args
        What each task asks Ray for, ``{"num_cpus": 2}`` for one. Unless told otherwise, the memory
        is what `task_memory` says.
    concurrency
        Most tasks at once. None: Ray's choice.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``. Workers are sent it; no name, log or `repr` shows it.
    scratch
        Folder or URL below which the spools are until the manifest is published; those of each
        dataset apart. It must be seen by all workers, too. None: below `output_dir`, in
        ``.arrowimg-spools``.
    **options
        See `WriteOptions`. Here ``on_error`` is ``"quarantine"`` and ``max_error_fraction`` 0.01
        unless told otherwise; it is judged over all rows so far, once there are 1,000, and at the
        end.

    Returns
    -------
    FileGroupTask
        The files, in shard order. The manifest is not one of them.

    Raises
    ------
    IncompleteError, DuplicateIdError, ErrorFractionError
        When the rows do not add up, an id is there twice, or too many rows are bad. There is no
        manifest.
    ImageError, SchemaError, SampleKeyError, MetadataJoinError
        When rows cannot be written.
    DatasetConflictError, ShardConflictError
        When the folder holds another dataset.
    """
    chosen = dataset_options(images_per_tar, options, remove_image_data=remove_image_data)
    target = Dataset.at(absolute(output_dir), chosen, storage_options)
    below = None if scratch is None else absolute(scratch, "scratch")
    spools = spools_at(target, below, storage_options)
    images, sent, num_metadata = _with_metadata(dataset, metadata)
    target.check_no_shards()
    begun = target.begin()
    resources = {**(ray_remote_args or {}), "concurrency": concurrency}
    with _until_done(spools):
        plan = _plan(images, spools, sent, chosen, resources)
        begun.check_room(len(plan))
        check_metadata_used(num_metadata, sum(shard.num_rows for shard in plan))
        shards = _join(plan, spools, target, resources)
        check_ids(
            [shard.parquet.path for shard in shards],
            partial(hashes_in, storage=target.storage),
            partial(rows_in, storage=target.storage),
        )
        return begun.publish(shards)


@contextmanager
def _until_done(spools: Storage) -> Iterator[None]:
    """Discard spools in the end; where something fails, say where they are."""
    try:
        yield
    except Exception as error:
        error.add_note(
            f"arrowimg: rows that are encoded already are in {spools.path_of('')}. Mend what "
            'failed and write the same dataset again, with the same options and if_exists="skip": '
            "they are taken from there, and removed in the end. Or remove them."
        )
        raise
    discard_spools(spools)


def _plan(
    images: ray.data.Dataset,
    spools: Storage,
    metadata: SentMetadata | None,
    options: WriteOptions,
    resources: dict[str, Any],
) -> list[PlannedShard[SpoolRows]]:
    """Have workers encode all images into spools; returns the shards that these are to become."""
    encoded = images.map_batches(
        _encode,
        batch_format="pyarrow",
        batch_size=ROWS_PER_SPOOL,
        fn_kwargs={"spools": spools, "metadata": metadata, "options": task_options(options)},
        **({"memory": task_memory(remove_image_data=options.remove_image_data)} | resources),
    )
    with in_order(encoded.context):
        judged = _judged(read_structs(encoded, Spool), options)
        return list(plan_spools(judged, options.images_per_tar, options.max_members_nbytes))


def _encode(
    batch: pa.Table, spools: Storage, metadata: SentMetadata | None, options: WriteOptions
) -> pa.Table:
    images = read_block(batch, [*options.rules], received_metadata(metadata))
    spool = write_spool(spools, images, options)
    return pa.Table.from_pylist([msgspec.to_builtins(spool)], _SPOOL_SCHEMA)


def _judged(spools: Iterable[Spool], options: WriteOptions) -> Iterator[Spool]:
    """Yield spools as they come, unless too many of their rows are bad."""
    num_rows, codes = 0, Counter[str]()
    for spool in spools:
        num_rows += len(spool.row_nbytes)
        codes.update(spool.error_codes)
        if num_rows >= ROWS_TO_JUDGE:
            check_error_fraction(codes, num_rows, options)
        yield spool
    check_error_fraction(codes, num_rows, options)


def _join(
    plan: list[PlannedShard[SpoolRows]],
    spools: Storage,
    dataset: Dataset,
    resources: dict[str, Any],
) -> list[Shard]:
    """Have workers join the planned shards; returns them in order."""
    if not plan:
        return []
    asked = pa.Table.from_pylist([msgspec.to_builtins(shard) for shard in plan], _PLAN_SCHEMA)
    joined = through_ray(
        _join_shards,
        asked,
        rows_per_task(len(plan)),
        batch_size=1,
        fn_kwargs={
            "spools": spools,
            "dataset": msgspec.structs.replace(dataset, options=task_options(dataset.options)),
        },
        **resources,
        memory=PROCESS_NBYTES + 2 * max(shard.nbytes or 0 for shard in plan),
    )
    with in_order(joined.context):
        shards = list(read_structs(joined, Shard))
    for planned, shard in zip(plan, shards, strict=True):
        if planned.num_rows != shard.tar.num_rows:
            counted = f"rows in {shard.tar.path}"
            raise IncompleteError(counted, planned.num_rows, shard.tar.num_rows)
    return shards


def _join_shards(asked: pa.Table, spools: Storage, dataset: Dataset) -> pa.Table:
    plan = msgspec.convert(asked.to_pylist(), list[PlannedShard[SpoolRows]])
    shards = [join_shard(spools, dataset, shard) for shard in plan]
    return pa.Table.from_pylist([msgspec.to_builtins(shard) for shard in shards], _SHARD_SCHEMA)


def _with_metadata(
    images: ray.data.Dataset, metadata: object
) -> tuple[ray.data.Dataset, SentMetadata | None, int | None]:
    """Return images, the metadata that workers look up, and the number of its rows."""
    if isinstance(metadata, ray.data.Dataset):
        num_rows = metadata.count()
        return _joined(images, metadata, num_rows), None, num_rows
    sent = send_metadata(metadata)
    return images, sent, sent.num_rows if sent else None


def _joined(
    images: ray.data.Dataset, metadata: ray.data.Dataset, num_metadata: int
) -> ray.data.Dataset:
    """Return images with their metadata, and a column that tells those that found some."""
    return images.map_batches(_without_tensors, batch_format="pyarrow").join(
        metadata.map_batches(_marked, batch_format="pyarrow"),
        "left_outer",
        num_partitions=max(1, -(-num_metadata // _ROWS_PER_PARTITION)),
        on=("image_id",),
    )


def _marked(batch: pa.Table) -> pa.Table:
    marked = batch.append_column(JOINED, pa.array(np.ones(batch.num_rows, np.bool_)))
    return _with_text_ids(marked)


def _with_text_ids(batch: pa.Table) -> pa.Table:
    """Return a table with ids of one type, whatever they were: Arrow joins no others."""
    if "image_id" not in batch.column_names:
        column, expected = "image_id", "a column to join on"
        raise SchemaError(column, expected, f"columns {batch.column_names}")
    at = batch.column_names.index("image_id")
    return batch.set_column(at, "image_id", text_column(batch["image_id"], "image_id"))


def _without_tensors(batch: pa.Table) -> pa.Table:
    """Return a table with Arrow's own tensors as nested lists, which Ray can shuffle; no copy."""
    batch = _with_text_ids(batch)
    for at, column in enumerate(batch.columns):
        if _is_plain_tensor(column.type):
            shape = column.type.shape
            chunks = [nested_lists(it.storage.flatten(), shape) for it in column.chunks]
            batch = batch.set_column(at, batch.column_names[at], pa.chunked_array(chunks))
    return batch


def _is_plain_tensor(kind: pa.DataType) -> bool:
    if not isinstance(kind, pa.FixedShapeTensorType):
        return False
    return list(kind.permutation or range(len(kind.shape))) == list(range(len(kind.shape)))


_SPOOL_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("row_nbytes", pa.list_(pa.int64())),
        ("error_codes", pa.list_(pa.string())),
    ]
)
_ROWS_TYPE = pa.struct([("spool", pa.string()), ("start", pa.int64()), ("num_rows", pa.int64())])
_PLAN_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("first_row", pa.int64()),
        ("parts", pa.list_(_ROWS_TYPE)),
        ("nbytes", pa.int64()),
    ]
)
_FILE_TYPE = pa.struct(list(FILE_GROUP_SCHEMA))
_SHARD_SCHEMA = pa.schema(
    [
        ("tar", _FILE_TYPE),
        ("parquet", _FILE_TYPE),
        ("quarantine_file", pa.string()),
        ("unchanged", pa.bool_()),
    ]
)

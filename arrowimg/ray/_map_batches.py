"""Batches: each written by itself, for ``Dataset.map_batches``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import ray.data

from arrowimg._storage.open import is_in_store, local_path
from arrowimg._write.distributed.tasks import dataset_options, make_stage, read_block, task_nbytes
from arrowimg.errors import OptionError
from arrowimg.ray._cluster import received_metadata

if TYPE_CHECKING:
    import pyarrow as pa

    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.options import WriteKeywords

_BLOCK_NBYTES = 128 * 2**20


class BatchWriter:
    """Writes batches as shards; for ``map_batches`` with a pool of actors.

    An actor keeps what it needs from batch to batch, the metadata above all, but nothing of what it
    wrote: it may die at any moment.

    Parameters
    ----------
    output_dir
        Folder of the shards, an absolute path that all workers see; or a URL.
    images_per_tar
        At most this many pictures in one tar.
    metadata
        A Polars frame, anything that speaks Arrow, a reference to a table (``ray.put``), or the
        path of a Parquet file; joined to the images by ``image_id``.
    remove_image_data
        True, the default here: the sidecars have no ``image_data`` column.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.
    **options
        See `WriteOptions`. Here ``on_error`` is ``"quarantine"`` unless told otherwise.
        ``max_error_fraction`` is judged by `publish_manifest`, over all batches.

    Raises
    ------
    OptionError
        When an option has a value that it cannot have: ``if_exists="error"`` either, since a task
        that is run again meets its own shards.

    Examples
    --------
    >>> files = images.map_batches(  # doctest: +SKIP
    ...     arrowimg.ray.BatchWriter,
    ...     fn_constructor_kwargs={"output_dir": "/data/out"},
    ...     batch_format="pyarrow",
    ...     compute=ray.data.ActorPoolStrategy(size=2),
    ... )
    """

    def __init__(
        self,
        output_dir: Place,
        images_per_tar: int = 1000,
        metadata: object = None,
        remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
        *,
        storage_options: StorageOptions | None = None,
        **options: Unpack[WriteKeywords],
    ) -> None:
        if not is_in_store(output_dir) and not Path(local_path(output_dir)).is_absolute():
            option, expected = "output_dir", "an absolute path, for workers elsewhere"
            raise OptionError(option, expected, output_dir)
        chosen = dataset_options(images_per_tar, options, remove_image_data=remove_image_data)
        if chosen.if_exists == "error":
            option, expected = "if_exists", '"verify", "skip" or "overwrite" in Ray'
            raise OptionError(option, expected, "error")
        self._stage = make_stage(output_dir, chosen, storage_options)
        self._image_columns = [*chosen.rules]
        self._metadata = received_metadata(metadata)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write a batch; its shards are committed when this returns.

        Returns
        -------
        pyarrow.Table
            One row per file: the columns of `FileGroupTask.data`.
        """
        return self._stage.process(read_block(batch, self._image_columns, self._metadata)).data


def write_batch(
    batch: pa.Table,
    output_dir: Place,
    images_per_tar: int = 1000,
    metadata: object = None,
    remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
    *,
    storage_options: StorageOptions | None = None,
    **options: Unpack[WriteKeywords],
) -> pa.Table:
    """Write one batch as shards; for ``map_batches`` with tasks.

    The shards are named by the content of the batch: a task that is run again finds its own. There
    is no manifest; `publish_manifest` makes one of what comes back.

    Parameters
    ----------
    batch
        A block as ``batch_format="pyarrow"`` gives it. Not changed.
    output_dir, images_per_tar, metadata, remove_image_data, storage_options, **options
        See `BatchWriter`, which prepares a metadata frame once and not for each batch.

    Returns
    -------
    pyarrow.Table
        One row per file: the columns of `FileGroupTask.data`.

    Examples
    --------
    >>> files = images.map_batches(  # doctest: +SKIP
    ...     arrowimg.ray.write_batch,
    ...     fn_kwargs={"output_dir": "/data/out"},
    ...     batch_format="pyarrow",
    ... )
    """
    write = BatchWriter(
        output_dir,
        images_per_tar,
        metadata,
        remove_image_data,
        storage_options=storage_options,
        **options,
    )
    return write(batch)


def task_memory(*, remove_image_data: bool = True) -> int:
    """Return the bytes of memory to ask Ray for, for one task that writes one block.

    What a task takes beside its blocks, which are in the object store: 150 MiB, and three times
    the largest block (``DataContext.target_max_block_size``), or six times where the sidecar keeps
    the pictures. ``docs/explanation/memory.md`` has the sum.
    """
    context = ray.data.DataContext.get_current()
    block_nbytes = context.target_max_block_size or _BLOCK_NBYTES
    return task_nbytes(block_nbytes, keeps_images=not remove_image_data)

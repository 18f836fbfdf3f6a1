"""What one worker of a cluster does with one batch, whichever cluster it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa
from msgspec import structs

from arrowimg._images.batch import ImageBatch
from arrowimg._write.metadata import with_metadata
from arrowimg._write.options import WriteKeywords, WriteOptions, write_options
from arrowimg._write.stage import ImageWriterStage
from arrowimg.errors import MetadataJoinError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.distributed.worker_metadata import MetadataSource

JOINED = "arrowimg_joined"
"""Column that a join on the cluster brings along: null where an image found no metadata."""

PROCESS_NBYTES = 150 * 2**20
"""What a worker takes once Python, Arrow and OpenCV are imported."""

_RAGGED = "ray.data.arrow_variable_shaped_tensor"
_PICKLED = "ray.data.arrow_pickled_object"
_DEFAULTS: WriteKeywords = {"on_error": "quarantine", "max_error_fraction": 0.01}


def dataset_options(
    images_per_tar: int, options: WriteKeywords, *, remove_image_data: bool
) -> WriteOptions:
    """Return the options of a dataset that a cluster writes.

    Bad rows are quarantined unless told otherwise: an error in one task would end the whole job.
    """
    defaults = _DEFAULTS
    if "options" in options or options.get("on_error", "quarantine") != "quarantine":
        defaults = {}
    return write_options(
        cast("WriteKeywords", {**defaults, **options}),
        images_per_tar,
        remove_image_data=remove_image_data,
        removed_by_default=True,
        others=("output_dir", "metadata", "storage_options"),
    )


def task_options(options: WriteOptions) -> WriteOptions:
    """Return the options of one task.

    Whether too many rows are bad is judged over all tasks; one bad row of three in a small block
    says nothing. And a task that is run again must find its own shards, not refuse them.
    """
    if_exists = "verify" if options.if_exists == "error" else options.if_exists
    return structs.replace(options, if_exists=if_exists, max_error_fraction=None)


def make_stage(
    output_dir: Place, options: WriteOptions, storage_options: StorageOptions | None = None
) -> ImageWriterStage:
    """Return the stage that writes a task's batches."""
    return ImageWriterStage(
        output_dir, options=task_options(options), storage_options=storage_options
    )


def read_block(
    table: pa.Table,
    image_columns: Sequence[str] = ("image_data",),
    metadata: MetadataSource | None = None,
) -> ImageBatch:
    """Return a block as a batch, with the metadata of its ids.

    Where Ray puts gray pictures, (H, W), into a column with others, it makes them (1, H, W); here
    they are (H, W) again, unless they could be pictures one pixel high.

    Raises
    ------
    SchemaError
        When a column holds pickled Python objects.
    MetadataJoinError
        When an image has no metadata.
    """
    for field in table.schema:
        if getattr(field.type, "extension_name", None) == _PICKLED:
            advice = "turn them into Arrow columns, or into JSON"
            raise SchemaError(field.name, "plain values", "pickled Python objects", advice)
    if JOINED in table.column_names:
        without = table.filter(table[JOINED].is_null())["image_id"].to_pylist()
        if without:
            expected = "metadata for every image_id"
            raise MetadataJoinError(expected, without)
        table = table.drop_columns([JOINED])
    for at, field in enumerate(table.schema):
        if field.name in image_columns and getattr(field.type, "extension_name", None) == _RAGGED:
            chunks = [_without_first_axis(chunk.storage) for chunk in table[at].chunks]
            table = table.set_column(at, field.name, pa.chunked_array(chunks))
    return ImageBatch(table if metadata is None else with_metadata(table, metadata.take))


def _without_first_axis(storage: pa.StructArray) -> pa.StructArray:
    """Return ragged tensors without the axis of one that Ray puts first; data is not copied."""
    shapes = storage.field("shape")
    plain = [
        shape[1:]
        if shape and len(shape) == 3 and shape[0] == 1 and shape[2] not in (1, 3, 4)
        else shape
        for shape in shapes.to_pylist()
    ]
    return pa.StructArray.from_arrays(
        [storage.field("data"), pa.array(plain, shapes.type)],
        ["data", "shape"],
        mask=storage.is_null(),
    )


def task_nbytes(block_nbytes: int, *, keeps_images: bool) -> int:
    """Return the memory that one task takes at most, beside its blocks, which Ray holds.

    Twice the stored pictures of one batch, once more those of one shard, and where the sidecar
    keeps them three times these; a stored picture is taken to be no larger than the row it came
    from.
    """
    return PROCESS_NBYTES + (6 if keeps_images else 3) * block_nbytes

"""arrowimg's stage: one batch, whole shards of 1,000 pictures, each with its sidecar."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg import ImageBatch, ImageWriterStage
from benchmarks.tars import read_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare(table: pa.Table, **_settings: Any) -> ImageBatch:
    return ImageBatch(table, dataset_name="benchmark")


def write(prepared: ImageBatch, out: str, **options: Any) -> None:
    stage = ImageWriterStage(out, images_per_tar=1000, remove_image_data=True, **options)
    stage.process(prepared)


def read_back(out: str, prepared: ImageBatch) -> Iterator[tuple[str, bytes]]:
    """Read ids and the other columns from the sidecars, the pictures with `tarfile`."""
    sidecars = sorted(Path(out).glob("*.parquet"))
    tables = [pq.read_table(path) for path in sidecars]
    columns = [name for name in prepared.data.column_names if name != "image_data"]
    if not pa.concat_tables(tables).select(columns).equals(prepared.data.select(columns)):
        raise ValueError("the sidecars do not have the columns of the batch")
    ids = chain.from_iterable(table["image_id"].to_pylist() for table in tables)
    for image_id, (_, data) in zip(ids, read_pictures(out), strict=True):
        yield image_id, data

"""img2dataset's WebDatasetSampleWriter: tars with captions and JSON, and a Parquet per shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from img2dataset.writer import WebDatasetSampleWriter

from benchmarks.tars import read_pictures
from benchmarks.views import files, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("caption", pa.string()),
        ("score", pa.float64()),
        ("key", pa.string()),
    ]
)


def prepare(table: pa.Table, **_settings: Any) -> tuple[list[dict[str, Any]], list[bytes]]:
    return rows(table), files(table)


def write(prepared: tuple[list[dict[str, Any]], list[bytes]], out: str) -> None:
    metadata, images = prepared
    for first in range(0, len(images), 1000):
        writer = WebDatasetSampleWriter(
            shard_id=first // 1000,
            output_folder=out,
            save_caption=True,
            oom_shard_count=5,
            schema=_SCHEMA,
            encode_format="jpg",
        )
        shard = slice(first, first + 1000)
        for row, data in zip(metadata[shard], images[shard], strict=True):
            key = row["image_id"]
            writer.write(data, key, row["caption"], row | {"key": key})
        writer.close()


def read_back(
    out: str, _prepared: tuple[list[dict[str, Any]], list[bytes]]
) -> Iterator[tuple[str, bytes]]:
    yield from read_pictures(out)

"""webdataset's ShardWriter, with captions; pixels are encoded by Pillow before it gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webdataset import ShardWriter

from benchmarks.jpegs import Images, encoded, images
from benchmarks.tars import read_pictures
from benchmarks.views import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def prepare(table: pa.Table, **_settings: Any) -> tuple[list[dict[str, Any]], Images]:
    return rows(table), images(table)


def write(prepared: tuple[list[dict[str, Any]], Images], out: str) -> None:
    with ShardWriter(f"{out}/images-%06d.tar", maxcount=1000, verbose=0) as writer:
        for row, image in zip(*prepared, strict=True):
            writer.write({"__key__": row["image_id"], "jpg": encoded(image), "txt": row["caption"]})


def read_back(
    out: str, _prepared: tuple[list[dict[str, Any]], Images]
) -> Iterator[tuple[str, bytes]]:
    yield from read_pictures(out)

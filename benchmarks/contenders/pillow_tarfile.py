"""Pillow and tarfile, a loop as one would write it in an afternoon: pictures only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.jpegs import Images, encoded, images
from benchmarks.tars import read_pictures, write_tar
from benchmarks.views import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def prepare(table: pa.Table, **_settings: Any) -> tuple[list[str], Images]:
    return [f"{row['image_id']}.jpg" for row in rows(table)], images(table)


def write(prepared: tuple[list[str], Images], out: str) -> None:
    names, pictures = prepared
    for first in range(0, len(names), 1000):
        shard = slice(first, first + 1000)
        with Path(f"{out}/images-{first // 1000:06d}.tar").open("wb") as file:
            data = (encoded(picture) for picture in pictures[shard])
            write_tar(file, zip(names[shard], data, strict=True))


def read_back(out: str, _prepared: tuple[list[str], Images]) -> Iterator[tuple[str, bytes]]:
    yield from read_pictures(out)

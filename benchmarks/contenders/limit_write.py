"""The limit of writing: the ready bytes of one tar, written to one new file by one thread."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from benchmarks.tars import read_pictures, write_tar
from benchmarks.views import files, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def prepare(table: pa.Table, **_settings: Any) -> memoryview:
    tar = io.BytesIO()
    names = (f"{row['image_id']}.jpg" for row in rows(table))
    write_tar(tar, zip(names, files(table), strict=True))
    return tar.getbuffer()


def write(prepared: memoryview, out: str) -> None:
    file = os.open(f"{out}/images.tar", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    written = 0
    while written < len(prepared):
        written += os.write(file, prepared[written:])
    # As durable as arrowimg's files.
    os.fsync(file)
    os.close(file)


def read_back(out: str, _prepared: memoryview) -> Iterator[tuple[str, bytes]]:
    yield from read_pictures(out)

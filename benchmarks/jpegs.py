"""JPEG by Pillow, for contenders that take encoded bytes only."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image

from benchmarks.views import Picture, files, holds_files, pictures

if TYPE_CHECKING:
    import pyarrow as pa

Images: TypeAlias = Sequence[bytes | Picture]


def images(table: pa.Table) -> Images:
    """Return the files of a table, or views of its pictures."""
    return files(table) if holds_files(table) else pictures(table)


def encoded(image: bytes | Picture) -> bytes:
    """Return a picture as JPEG of quality 92; a file as it is."""
    if isinstance(image, bytes):
        return image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92)
    return file.getvalue()

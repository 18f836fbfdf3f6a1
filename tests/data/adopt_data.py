"""Tars as others write them: the byte layout of each tool, made with tarfile."""

from __future__ import annotations

import io
import json
import tarfile
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Member = tuple[str, bytes]


@cache
def picture(seed: int, kind: str = "JPEG", size: tuple[int, int] = (24, 16)) -> bytes:
    """Return a picture file of a width and a height."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tar_of(
    members: Iterable[Member],
    layout: int = tarfile.USTAR_FORMAT,
    changed: Callable[[tarfile.TarInfo], None] = lambda _: None,
) -> bytes:
    """Return a tar of members; `changed` may alter their headers."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=layout) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            changed(info)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def samples(numbers: Iterable[int], **fields: Any) -> list[Member]:  # noqa: ANN401  # what JSON has
    """Return members as webdataset and img2dataset have them: a picture, its JSON and its text."""
    found = list[Member]()
    for number in numbers:
        key = f"{number:09d}"
        document = {"caption": f"picture {number}", "score": number / 7, **fields}
        found += [
            (f"{key}.jpg", picture(number)),
            (f"{key}.json", json.dumps(document).encode()),
            (f"{key}.txt", f"picture {number}".encode()),
        ]
    return found


def write_tars(folder: Path, *tars: Iterable[Member]) -> Path:
    """Write tars as ``00000.tar`` and so on; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, members in enumerate(tars):
        (folder / f"{number:05d}.tar").write_bytes(tar_of(members))
    return folder


def stored_members(data: bytes) -> list[tuple[str, int, bytes]]:
    """Return name, place and data of each regular file of a tar, as tarfile reads it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (it.name, it.offset_data, data[it.offset_data : it.offset_data + it.size])
            for it in tar
            if it.isreg()
        ]

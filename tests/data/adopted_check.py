"""Adopted tars against what tarfile reads out of them: every picture, key and byte."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def adopt_and_check(folder: Path, pattern: str = "*.tar") -> pl.DataFrame:
    """Adopt the tars of a folder; return their rows once they are what tarfile finds."""
    expected = {}
    for path in sorted(folder.glob(pattern)):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file is not None and member.name.endswith(SUFFIXES):
                    expected[path.name, member.name] = (member.offset_data, file.read())

    adoption = arrowimg.adopt(f"{folder}/{pattern}")

    rows = arrowimg.fetch_images(arrowimg.scan(folder))
    names = ("tar_file", "member_name", "offset", "image_data")
    found = {(tar, name): (at, data) for tar, name, at, data in rows.select(names).iter_rows()}
    assert found == expected
    assert (adoption.num_images, adoption.error_codes) == (len(expected), {})
    assert arrowimg.verify(folder, "decode").is_sound
    return rows

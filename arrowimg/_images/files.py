"""Image files on disk: found, named and read into tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})

SCHEMA = pa.schema(
    [("image_id", pa.string()), ("image_path", pa.string()), ("image_data", pa.large_binary())]
)

_BATCH_NBYTES = 64 * 2**20


def find_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted; hidden files and folders are left out.

    Raises
    ------
    SourceError
        When there is none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        expected = f"image files ({', '.join(sorted(IMAGE_SUFFIXES))})"
        raise SourceError(expected, f"none below {folder}")
    return found


def ids_of_files(paths: list[Path], folder: Path | None = None) -> list[str]:
    """Return one id per file: its path below `folder`, without suffix where that is unique.

    Where two files differ in their suffix only, all ids keep theirs.
    """
    relative = [path.relative_to(folder) if folder else path for path in paths]
    bare = [path.with_suffix("").as_posix() for path in relative]
    return bare if len(set(bare)) == len(bare) else [path.as_posix() for path in relative]


def read_files(
    paths: Iterable[Path], image_ids: Iterable[str], batch_nbytes: int = _BATCH_NBYTES
) -> Iterator[pa.Table]:
    """Yield tables of image_id, image_path and image_data, each of about `batch_nbytes` bytes."""
    rows: list[tuple[str, str, bytes]] = []
    nbytes = 0
    for path, image_id in zip(paths, image_ids, strict=True):
        data = path.read_bytes()
        if rows and nbytes + len(data) > batch_nbytes:
            yield _table(rows)
            rows, nbytes = [], 0
        rows.append((image_id, path.as_posix(), data))
        nbytes += len(data)
    if rows:
        yield _table(rows)


def as_paths(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return paths as a list.

    Raises
    ------
    SourceError
        When these are no paths, or only one, which is no list.
    """
    expected = "a list of paths of image files"
    if isinstance(paths, str | bytes | os.PathLike):
        raise SourceError(expected, f"one {type(paths).__qualname__}")
    listed = list(paths)
    for path in listed:
        if not isinstance(path, str | os.PathLike):
            raise SourceError(expected, f"{type(path).__qualname__} among them")
    return [Path(path) for path in listed]


def _table(rows: list[tuple[str, str, bytes]]) -> pa.Table:
    ids, paths, data = zip(*rows, strict=True)
    arrays = [
        pa.array(column, kind.type) for column, kind in zip((ids, paths, data), SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)

"""Fetch: pictures, read by byte range from the tars."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._arrays import column_of_images, nested_lists
from arrowimg._binary_columns import gather
from arrowimg._checksums import checksum
from arrowimg._codec import decode_rgb
from arrowimg._columns import as_table
from arrowimg._dataset import sidecar_names
from arrowimg._image_options import check_option
from arrowimg._sidecar import RESERVED
from arrowimg._storage import LocalStorage
from arrowimg._tasks import ImageBatch
from arrowimg._threads import map_ahead
from arrowimg.errors import ChecksumError, ImageError, Problem, RowProblem, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

_THREADS = 8
_GAP_NBYTES = 2048
_READ_NBYTES = 8 * 2**20
_SHA256_NBYTES = 32


class _Place(Struct, frozen=True):
    """Where the picture of a row stands."""

    row: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


def fetch_images(frame: object, *, decode: bool = False, check: bool = True) -> pl.DataFrame:
    """Return rows with their pictures, read from the tars by byte range.

    Pictures that stand side by side are read in one go, those of several tars at once; whatever
    the order of the rows, it is kept.

    Parameters
    ----------
    frame
        Rows of `scan`, after any query: a `polars.LazyFrame`, which is collected, or anything that
        speaks Arrow. Columns ``tar_path``, ``offset`` and ``size``, and ``checksum`` to check.
    decode
        True: pixels, (H, W) or (H, W, C=3) RGB uint8, upright by their EXIF orientation. A
        `polars.Array` where all have one shape, else a struct of data and shape.
    check
        True: compare each picture with its checksum.

    Returns
    -------
    polars.DataFrame
        The rows, and ``image_data``: the bytes of the JPEG, or pixels; null where a row has an
        error and so no picture. A column of that name is replaced.

    Raises
    ------
    SchemaError
        When a column is missing.
    ChecksumError
        When bytes are not those that were written.
    ImageError
        When a picture cannot be decoded.
    FileNotFoundError, OSError
        When a tar is not there or cannot be read.
    """
    rows = _as_frame(frame)
    files = _read_files(rows, check=check)
    images = _decoded(rows, files) if decode else gather(files)
    return rows.with_columns(pl.Series("image_data", _plain(images)))


def read_batches(
    output_dir: str | Path, batch_size: int = 1000, *, check: bool = True
) -> Iterator[ImageBatch]:
    """Yield what was written as batches again, in its order.

    Written again, the tars are the same, byte for byte: JPEG files are copied.

    Parameters
    ----------
    output_dir
        Folder of the shards.
    batch_size
        Rows of each batch, but of the last.
    check
        True: compare each picture with its checksum.

    Yields
    ------
    ImageBatch
        ``image_id``, ``image_path``, the metadata columns with the types they had, and
        ``image_data``, the JPEG files; null where a row has an error.

    Raises
    ------
    OptionError
        When `batch_size` is no positive number.
    ManifestError
        When there is neither a manifest nor a sidecar, or the manifest cannot be read.
    ChecksumError, FileNotFoundError, OSError
        See `fetch_images`.
    """
    check_option(
        isinstance(batch_size, int) and batch_size > 0, "batch_size", "a positive int", batch_size
    )
    storage = LocalStorage(output_dir)
    waiting: list[pa.Table] = []
    for name in sidecar_names(storage):
        with storage.open(name) as file:
            names = pq.read_schema(file).names
            kept = [name for name in names if name != "image_data"]
            waiting.append(pq.read_table(file, columns=kept))
        rows = pa.concat_tables(waiting)
        for start in range(0, len(rows) - batch_size + 1, batch_size):
            yield _batch_of(storage, rows.slice(start, batch_size), check=check)
        waiting = [rows.slice(len(rows) - len(rows) % batch_size)]
    if len(waiting[0]):
        yield _batch_of(storage, waiting[0], check=check)


def _batch_of(storage: LocalStorage, rows: pa.Table, *, check: bool) -> ImageBatch:
    places = pl.DataFrame(rows.select(["tar_file", "offset", "size", "checksum", "member_name"]))
    tars = pl.lit(f"{storage.path_of('')}/") + pl.col("tar_file")
    files = _read_files(places.with_columns(tars.alias("tar_path")), check=check)
    columns = {
        "image_id": rows["image_id"],
        "image_path": rows["original_path"],
        "image_data": gather(files),
    }
    metadata = rows.drop_columns([name for name in RESERVED if name in rows.column_names])
    batch = pa.table(columns)
    for field, column in zip(metadata.schema, metadata.columns, strict=True):
        batch = batch.append_column(field, column)
    return ImageBatch(batch)


def _read_files(rows: pl.DataFrame, *, check: bool) -> list[memoryview | None]:
    """Return the stored bytes of each row's picture, None where it has none.

    """
    needed = ["tar_path", "offset", "size", *(["checksum"] if check else [])]
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        expected, advice = "a column of arrowimg.scan", "keep it in the query"
        raise SchemaError(missing[0], expected, f"columns {rows.columns}", advice)
    files: list[memoryview | None] = [None] * len(rows)
    for found in map_ahead(_read_tar, _places_of(rows).items(), _THREADS, 2 * _THREADS):
        for row, data in found:
            files[row] = data
    if check:
        _check(rows, files)
    return files


def _as_frame(frame: object) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    return frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(as_table(frame))


def _places_of(rows: pl.DataFrame) -> dict[str, list[_Place]]:
    """Return where the pictures stand, tar by tar, in the order in which they stand there."""
    places: dict[str, list[_Place]] = defaultdict(list)
    columns = (rows[name].to_list() for name in ("tar_path", "offset", "size"))
    for row, (path, offset, size) in enumerate(zip(*columns, strict=True)):
        if offset is not None:
            places[path].append(_Place(row, offset, size))
    return {
        path: sorted(found, key=lambda place: place.offset) for path, found in places.items()
    }


def _read_tar(tar: tuple[str, list[_Place]]) -> list[tuple[int, memoryview]]:
    path, places = tar
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return [
            (place.row, data[place.offset - start : place.end - start])
            for start, group in _groups(places)
            for data in [_read(descriptor, path, start, group[-1].end)]
            for place in group
        ]
    finally:
        os.close(descriptor)


def _groups(places: list[_Place]) -> Iterator[tuple[int, list[_Place]]]:
    """Yield pictures that are read in one go, and where the first of them begins."""
    group: list[_Place] = []
    for place in places:
        is_near = group and place.offset <= group[-1].end + _GAP_NBYTES
        if group and not (is_near and place.end - group[0].offset <= _READ_NBYTES):
            yield group[0].offset, group
            group = []
        group.append(place)
    if group:
        yield group[0].offset, group


def _read(descriptor: int, path: str, start: int, stop: int) -> memoryview:
    pieces, at = list[bytes](), start
    while at < stop:
        piece = os.pread(descriptor, stop - at, at)
        if not piece:
            raise ChecksumError([f"{path} ends at byte {at:,}, a picture in it at {stop:,}"])
        pieces.append(piece)
        at += len(piece)
    return memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))


def _check(rows: pl.DataFrame, files: list[memoryview | None]) -> None:
    damaged = [
        row
        for row, (data, stated) in enumerate(zip(files, rows["checksum"].to_list(), strict=True))
        if data is not None
        and checksum(data, "sha256" if len(stated) == _SHA256_NBYTES else "xxh3_128") != stated
    ]
    if damaged:
        names = rows["member_name" if "member_name" in rows.columns else "offset"]
        raise ChecksumError([f"{names[row]} in {rows['tar_path'][row]}" for row in damaged])


def _decoded(rows: pl.DataFrame, files: list[memoryview | None]) -> pa.Array:
    pixels: list[npt.NDArray[np.uint8] | None] = []
    problems = []
    for row, data in enumerate(files):
        picture = None if data is None else decode_rgb(data)
        if isinstance(picture, Problem):
            image_id = rows["image_id"][row] if "image_id" in rows.columns else None
            problems.append(RowProblem(row, image_id, picture.code, picture.found))
            picture = None
        pixels.append(picture)
    if problems:
        raise ImageError(problems, len(rows))
    shapes = {None if picture is None else picture.shape for picture in pixels}
    stacked = np.stack(pixels) if len(shapes) == 1 and None not in shapes else pixels
    return column_of_images(stacked, None)


def _plain(images: pa.Array) -> pa.Array:
    """Return pictures of one shape as nested lists, which Polars knows."""
    if not isinstance(images, pa.FixedShapeTensorArray):
        return images
    return nested_lists(images.storage.flatten(), images.type.shape)

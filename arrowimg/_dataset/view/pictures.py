"""The rows that a page shows, with their thumbnails: the only bytes of tars that are read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from msgspec import Struct, structs

from arrowimg._core.binary import binary_views
from arrowimg._core.display.templates import shown_text
from arrowimg._core.plain_types import plain_column, plain_type
from arrowimg._core.texts import shown_values
from arrowimg._dataset.fetch import fetch_images, is_picture_type
from arrowimg._dataset.view.columns import ROW_NUMBER, with_numbers
from arrowimg._format.keys import sample_key
from arrowimg._format.names import quarantine_name, shard_of
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.sidecar import TAR_PATH
from arrowimg._format.tar_reader import TarMember, read_members
from arrowimg._images.codec.thumbnails import Thumbnail
from arrowimg._images.formats.jpeg import END_OF_IMAGE
from arrowimg._images.grid.thumbnails import data_uri, thumbnails
from arrowimg._images.headers import sniff_format
from arrowimg._storage.open import open_files
from arrowimg.errors import ArrowimgError, ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._dataset.view.columns import Column
    from arrowimg._storage.base import ReadyStore, StorageOptions

EXTREMES = 8
_LETTERS = 400
_ITEMS = 16
_SAFE_INTEGER = 2**53
_SHOWN_NBYTES = 12
_SHOWN_LETTERS = 160
_MOST_KEPT_NBYTES = 8 * 2**20


class Picture(Struct, frozen=True):
    """A row with its thumbnail.

    Attributes
    ----------
    number
        Of the row, in the dataset.
    image_id
        As it is shown.
    values
        Of the columns that `fetch_pictures` was asked for, as JSON has them, long ones cut.
    thumbnail
        An address that holds it; empty where there is none.
    width, height
        Of the thumbnail, in pixels.
    problem
        Why there is none, or what is odd about it.
    others
        Name and address of each other picture of the row.
    """

    number: int
    image_id: str
    values: list[Any]
    thumbnail: str
    width: int
    height: int
    problem: str
    others: list[tuple[str, str]]


def sampled_rows(
    rows: pl.LazyFrame, num_rows: int, sample: int, seed: int, sort: pl.Expr | None, *, down: bool
) -> list[int]:
    """Return the numbers of the rows of the grid: the first of an order, or drawn by lot."""
    if sort is not None:
        order = rows.select(ROW_NUMBER, key=sort).drop_nulls("key")
        found = order.sort(["key", ROW_NUMBER], descending=[down, False]).head(sample)
        return _numbers(found)
    drawn = np.random.default_rng(seed).permutation(num_rows)[:sample]
    numbers = rows.select(ROW_NUMBER).collect(engine="streaming")[ROW_NUMBER]
    return [int(numbers[int(at)]) for at in drawn]


def extreme_rows(
    rows: pl.LazyFrame, column: Column
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Return numbers and measures of the rows of the least and the largest values of a column."""
    measure = column.measure
    values = rows.select(ROW_NUMBER, key=measure).filter(
        pl.col("key").is_finite(), pl.col("key").is_not_null()
    )
    least = values.bottom_k(EXTREMES, by=["key", ROW_NUMBER])
    most = values.top_k(EXTREMES, by=["key", ROW_NUMBER])
    return (
        _measured(least.sort(["key", ROW_NUMBER])),
        _measured(most.sort(["key", ROW_NUMBER], descending=[True, False])),
    )


def _measured(frame: pl.LazyFrame) -> list[tuple[int, float]]:
    found = frame.collect(engine="streaming")
    return [
        (int(number), float(key)) for number, key in found.select(ROW_NUMBER, "key").iter_rows()
    ]


def _numbers(frame: pl.LazyFrame) -> list[int]:
    return [int(number) for number in frame.collect(engine="streaming")[ROW_NUMBER]]


def read_pictures(
    rows: pl.LazyFrame,
    numbers: Sequence[int],
    columns: Sequence[tuple[str, pl.Expr]],
    side: int,
    told: StorageOptions | ReadyStore | None,
) -> dict[int, Picture]:
    """Return the rows of these numbers, by number, each with its thumbnail.

    Parameters
    ----------
    rows
        Of `with_keys`.
    columns
        Name and values of each that is shown.
    side
        Most pixels that the longer side of a thumbnail has.
    told
        What the object store is told that the tars are in.
    """
    found = with_numbers(rows, numbers).collect(engine="streaming").sort(ROW_NUMBER)
    images, kept = _fetch(found, told), _quarantined(found, told)
    shown = found.select([values.alias(str(at)) for at, (_, values) in enumerate(columns)])
    values = [_shown_column(shown[str(at)]) for at in range(len(columns))]
    names = [name for name, _ in columns]
    others = _other_pictures(_with_files(shown, found[TAR_PATH], told), len(found), names, side)
    made = thumbnails(images, side)
    pictures = {
        number: _picture(number, image_id, [it[at] for it in values], thumbnail, others[at])
        for at, (number, image_id, thumbnail) in enumerate(
            zip(found[ROW_NUMBER], found["image_id"], made, strict=True)
        )
    }
    return pictures | {number: _of_kept(pictures[number], kept[number], side) for number in kept}


def _picture(
    number: int,
    image_id: str | None,
    values: list[Any],
    thumbnail: Any,  # noqa: ANN401  # of `thumbnails`
    others: list[tuple[str, str]],
) -> Picture:
    name = "(no id)" if image_id is None else shown_text(image_id)
    if thumbnail is None or isinstance(thumbnail, Problem):
        problem = "no picture" if thumbnail is None else shown_text(thumbnail.found, 200)
        return Picture(number, name, values, "", 0, 0, problem, others)
    problem = "all of one colour" if thumbnail.is_blank else ""
    size = (thumbnail.width, thumbnail.height)
    return Picture(number, name, values, data_uri(thumbnail), *size, problem, others)


def _of_kept(picture: Picture, kept: tuple[int, bytes], side: int) -> Picture:
    """Return the picture of a bad row, with what was kept of it; it shows, if it is a picture."""
    nbytes, data = kept
    problem = f"{nbytes:,} bytes are kept, {_told_of(data)}" if data else "0 bytes are kept"
    # Of a JPEG that was cut off, a decoder gives what is there, if only it ends.
    for file, what in ((data, "not written"), (data + END_OF_IMAGE, "cut off, not written")):
        (shown,) = thumbnails([memoryview(file)], side)
        if isinstance(shown, Thumbnail):
            size = {"width": shown.width, "height": shown.height}
            return structs.replace(
                picture, thumbnail=data_uri(shown), problem=f"{what}; {problem}", **size
            )
    return structs.replace(picture, problem=problem)


def _told_of(data: bytes) -> str:
    """Return how bytes begin: in letters where they are text, or else in hexadecimal."""
    text = data[:_SHOWN_LETTERS].decode("utf-8", "ignore")
    is_text = data.startswith(text.encode()) and len(text.encode()) > len(data[:_SHOWN_LETTERS]) - 4
    if is_text and all(letter.isprintable() or letter in "\t\r\n" for letter in text):
        return f"a text: {shown_text(text)}"
    return f"which begin {data[:_SHOWN_NBYTES].hex(' ')}"


def _quarantined(
    rows: pl.DataFrame, told: StorageOptions | ReadyStore | None
) -> dict[int, tuple[int, bytes]]:
    """Return size and bytes of what was kept of bad rows, by their numbers.

    Of what is larger than 8 MiB, there is only the beginning.
    """
    bad = rows.filter(pl.col("error").is_not_null() & pl.col("tar_path").is_not_null())
    found = dict[int, tuple[int, bytes]]()
    for (path,), some in bad.group_by("tar_path"):
        folder, slash, tar = str(path).rpartition("/")
        ((storage, name),) = open_files([f"{folder}{slash}{quarantine_name(shard_of(tar))}"], told)
        wanted = {
            f"{key}.{error}": number
            for number, image_id, error in some.select(ROW_NUMBER, "image_id", "error").iter_rows()
            # As keys are by default, or verbatim.
            for key in ([] if image_id is None else {image_id, sample_key(image_id)})
        }
        with suppress(OSError), storage.open(name) as file:
            for member in read_members(file):
                if isinstance(member, TarMember) and member.name in wanted:
                    data = file.read(min(member.size, _MOST_KEPT_NBYTES))
                    found[wanted.pop(member.name)] = member.size, data
                if not wanted:
                    break
    return found


def _with_files(
    shown: pl.DataFrame, tar_paths: pl.Series, told: StorageOptions | ReadyStore | None
) -> pl.DataFrame:
    """Return columns, those that say where further pictures are as the bytes of these."""
    for column in shown.get_columns():
        if is_picture_type(column.dtype):
            found = _fetch(pl.DataFrame([tar_paths, column]), told, column.name)
            files = [it.tobytes() if isinstance(it, memoryview) else None for it in found]
            shown = shown.with_columns(pl.Series(column.name, files, pl.Binary))
    return shown


def _fetch(
    rows: pl.DataFrame, told: StorageOptions | ReadyStore | None, name: str = IMAGE_DATA
) -> list[memoryview | Problem | None]:
    """Return the file of each row; where they cannot all be read, each by itself."""
    try:
        return _files_of(fetch_images(rows, images=[name], storage_options=told)[name])
    except (ArrowimgError, OSError):
        return [_fetch_one(rows[at : at + 1], told, name) for at in range(len(rows))]


def _fetch_one(
    row: pl.DataFrame, told: StorageOptions | ReadyStore | None, name: str
) -> memoryview | Problem | None:
    try:
        return _files_of(fetch_images(row, images=[name], storage_options=told)[name])[0]
    except (ArrowimgError, OSError) as error:
        lines = (line.strip() for line in str(error).splitlines())
        return Problem(ErrorCode.UNREADABLE, " ".join(lines))


def _files_of(column: pl.Series) -> list[memoryview | Problem | None]:
    files = column.to_arrow().cast(pa.large_binary())
    there = files.is_valid().to_pylist()
    return [view if it else None for view, it in zip(binary_views(files), there, strict=True)]


def _other_pictures(
    rows: pl.DataFrame, num_rows: int, names: Sequence[str], side: int
) -> list[list[tuple[str, str]]]:
    """Return the other pictures of each row: files in columns of bytes, masks for example."""
    found = list[list[tuple[str, str]]]([] for _ in range(num_rows))
    for name, column in zip(names, rows.get_columns(), strict=True):
        if column.dtype != pl.Binary:
            continue
        files = [
            memoryview(value) if value and sniff_format(memoryview(value)) else None
            for value in column
        ]
        for at, thumbnail in enumerate(thumbnails(files, side)):
            if thumbnail is not None and not isinstance(thumbnail, Problem):
                found[at].append((shown_text(name, 40), data_uri(thumbnail)))
    return found


def _shown_column(column: pl.Series) -> list[Any]:
    """Return values as JSON has them, those that are long cut."""
    if column.dtype == pl.String:
        return [_cut(it) for it in column.str.head(_LETTERS + 1)]
    if is_picture_type(column.dtype):
        return [None if it is None else _said(it) for it in column]
    if column.dtype == pl.Binary:
        return [None if it is None else f"{len(it):,} bytes" for it in column]
    arrow = pa.chunked_array([column.to_arrow()])
    kind = plain_type(arrow.type)
    return [_cut(value) for value in shown_values(plain_column(arrow, kind))]


def _said(picture: dict[str, Any]) -> str:
    """Return in a few words what a row says of a further picture."""
    if picture["member_name"] is None:
        return f"no picture: {picture.get('error')}"
    sides = f"{picture.get('width')} x {picture.get('height')} pixels"
    return shown_text(f"{picture['member_name']}: {sides}, {picture['size']:,} bytes", _LETTERS)


def _cut(value: Any) -> Any:  # noqa: ANN401  # of any kind that columns hold
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, list):
        more = f", and {len(value) - _ITEMS:,} more" if len(value) > _ITEMS else ""
        items = (f"{it:.5g}" if isinstance(it, float) else str(_cut(it)) for it in value[:_ITEMS])
        return shown_text(", ".join(items) + more, _LETTERS)
    return shown_text(value, _LETTERS)

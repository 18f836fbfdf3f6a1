"""Fetch: rows that a query chose, with their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from arrowimg._core.binary import binary_views
from arrowimg._core.frames.polars_threads import check_polars_threads
from arrowimg._core.option_checks import check_option
from arrowimg._core.tables import as_table
from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._dataset.scan import UNREADABLE
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.sidecar import TAR_PATH
from arrowimg._images.arrays import column_of_images, nested_lists
from arrowimg._images.codec.decode import decode_rgb, decode_values
from arrowimg._storage.open import open_files
from arrowimg._storage.ranges import Places, read_pictures
from arrowimg.errors import ImageError, ManifestError, Problem, RowProblem, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from arrowimg._storage.base import ReadyStore, StorageOptions


_OF_PICTURE = ("member_name", "offset", "size", "checksum")
_MOST_NBYTES = 2**53
"""Of a file, far from where sums of two numbers overflow."""

_MOST_PATH, _MOST_CHECKSUM = 8192, 64
"""Bytes of a value that is compared; paths have at most 4,096."""


def fetch_images(
    frame: object,
    *,
    images: Sequence[str] | None = None,
    decode: bool = False,
    check: bool = True,
    storage_options: StorageOptions | ReadyStore | None = None,
) -> pl.DataFrame:
    """Return rows with their pictures, read from the tars by byte range.

    Pictures that lie side by side are read in one go, those of several tars at once; whatever
    the order of the rows, it is kept.

    Parameters
    ----------
    frame
        Rows of `scan`, after any query: a `polars.LazyFrame`, which is collected, or anything that
        speaks Arrow. Columns ``tar_path``, ``offset`` and ``size``, and ``checksum`` to check.
    images
        Which pictures: ``"image_data"``, and the names of columns of further pictures, whose bytes
        then take the place of what the column said of them. None: ``"image_data"``.
    decode
        True: pixels, (H, W) or (H, W, C=3) RGB uint8, upright by their EXIF orientation. A
        `polars.Array` where all have one shape, else a struct of flat data and shape. Of further
        pictures that are PNG, the values as they are stored: indices of a palette, bool of one
        bit, uint16 of 16; and alpha.
    check
        True: compare each picture with its checksum.
    storage_options
        As of `scan`, for tars in an object store; or the store of obstore that `scan` was given.

    Returns
    -------
    polars.DataFrame
        The rows, and ``image_data``: the bytes of the file, or pixels; null where a row has an
        error and so no picture. A column of that name is replaced.

    Raises
    ------
    OptionError
        When `images` is one text.
    SchemaError
        When a column is missing, or holds what `scan` never does.
    ManifestError
        When `frame` is lazy, and a sidecar turns out not to be readable.
    ChecksumError
        When bytes are not those that were written.
    ImageError
        When a picture cannot be decoded.
    MissingFileError, StorageError
        When a tar is not there or cannot be read.
    ForkedProcessError
        In a process that was forked after its parent had used Polars.

    Examples
    --------
    >>> best = scan("out").sort("score", descending=True).head(100)  # doctest: +SKIP
    >>> pictures = fetch_images(best)["image_data"]  # doctest: +SKIP
    """
    check_polars_threads()
    check_option(not isinstance(images, str), "images", "a list of column names", images)
    rows = _as_frame(frame)
    found = rows
    for name in [IMAGE_DATA] if images is None else images:
        said = rows if name == IMAGE_DATA else _rows_of_picture(rows, name)
        places = _locate_pictures(said, storage_options)
        checksums = _short(_column(said, "checksum"), _MOST_CHECKSUM).to_list() if check else None
        files = read_pictures(places, checksums)
        read = decode_rgb if name == IMAGE_DATA else decode_values
        column = _decoded(rows, files, read) if decode else files
        found = found.with_columns(pl.Series(name, column))
    return found


def _rows_of_picture(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return what rows say of a further picture, as columns of those of the picture of all.

    Raises
    ------
    SchemaError
        When the column is not there, or says of no pictures where they are.
    """
    dtype = _column(rows, name).dtype
    if not is_picture_type(dtype):
        expected = "places of pictures, as arrowimg.scan has them of columns named in images="
        raise SchemaError(name, expected, str(dtype))
    fields = [pl.col(name).struct.field(it) for it in _OF_PICTURE]
    return rows.select(_column(rows, TAR_PATH), *fields)


def is_picture_type(dtype: pl.DataType) -> bool:
    """Tell whether a column of this type says where further pictures are."""
    said = {it.name for it in dtype.fields} if isinstance(dtype, pl.Struct) else set()
    return said.issuperset(_OF_PICTURE)


def _as_frame(frame: object) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return _collected(frame)
    return frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(as_table(frame))


def _collected(frame: pl.LazyFrame) -> pl.DataFrame:
    """Collect a frame; what Polars says of sidecars that it cannot read becomes an error of ours.

    Raises
    ------
    ManifestError
        When a sidecar cannot be read, or became another after `scan` looked at it.
    """
    try:
        return frame.collect()
    except (*UNREADABLE, OSError) as error:
        expected = "rows that Polars can compute; arrowimg.verify tells which sidecar is damaged"
        raise ManifestError(TAR_PATH, expected, str(error)) from error


def _locate_pictures(
    rows: pl.DataFrame, storage_options: StorageOptions | ReadyStore | None
) -> Places:
    paths, offsets, sizes = (_column(rows, name) for name in (TAR_PATH, "offset", "size"))
    _short(paths, _MOST_PATH)
    present = offsets.is_not_null()
    tar_paths = paths.filter(present).unique(maintain_order=True)
    has_nulls = tar_paths.null_count() or sizes.filter(present).null_count()
    if has_nulls or paths.dtype not in (pl.String, pl.Null):
        expected = "a path and a size wherever there is an offset"
        raise SchemaError(TAR_PATH, expected, "nulls" if has_nulls else str(paths.dtype))
    numbers = dict(zip(tar_paths, range(len(tar_paths)), strict=True))
    names = rows["member_name"] if "member_name" in rows.columns else None
    return Places(
        open_files(tar_paths.to_list(), storage_options),
        np.where(present, [numbers.get(path, -1) for path in paths], -1),
        _numbers(offsets),
        np.where(present, _numbers(sizes), 0),
        lambda row: f"row {row}" if names is None else names[row],
    )


def _column(rows: pl.DataFrame, name: str) -> pl.Series:
    if name not in rows.columns:
        expected, advice = "a column of arrowimg.scan", "keep it in the query"
        raise SchemaError(name, expected, f"columns {rows.columns}", advice)
    return rows[name]


def _short(column: pl.Series, most: int) -> pl.Series:
    """Return a column of text or bytes, none of them long: one may stand in a million rows."""
    if column.dtype in (pl.String, pl.Binary):
        longest = column.cast(pl.Binary).bin.size().max()
        if isinstance(longest, int) and longest > most:
            found = f"{longest:,} bytes in a row"
            raise SchemaError(column.name, f"at most {most:,} bytes in each row", found)
    return column


def _numbers(column: pl.Series) -> npt.NDArray[np.int64]:
    """Return a column of whole numbers, 0 for null."""
    expected = f"whole numbers of at least 0 and at most {_MOST_NBYTES}"
    if not column.dtype.is_integer():
        raise SchemaError(column.name, expected, str(column.dtype))
    if not column.is_between(0, _MOST_NBYTES).all():
        raise SchemaError(column.name, expected, f"{column.dtype} from {column.min()!r}")
    return column.fill_null(0).cast(pl.Int64).to_numpy()


def _decoded(
    rows: pl.DataFrame,
    files: pa.LargeBinaryArray,
    read: Callable[[memoryview], npt.NDArray[Any] | Problem],
) -> pa.Array:
    views, is_valid = binary_views(files), files.is_valid().to_pylist()
    wanted = [view for view, there in zip(views, is_valid, strict=True) if there]
    threads = usable_cores()
    decoded = map_on_threads(read, wanted, threads, 4 * threads)
    pixels = [next(decoded) if there else None for there in is_valid]
    image_ids = rows["image_id"] if "image_id" in rows.columns else [None] * len(rows)
    problems = [
        RowProblem(row, image_ids[row], picture.code, picture.found)
        for row, picture in enumerate(pixels)
        if isinstance(picture, Problem)
    ]
    if problems:
        raise ImageError(problems, len(rows))
    return _column_of_pixels([it for it in pixels if not isinstance(it, Problem)])


def _column_of_pixels(pixels: list[npt.NDArray[Any] | None]) -> pa.Array:
    """Return pictures of one shape as nested lists, which Polars knows, others as structs."""
    stacked = [picture for picture in pixels if picture is not None]
    if len({picture.shape for picture in stacked}) != 1 or len(stacked) < len(pixels):
        return column_of_images(pixels, None)
    return nested_lists(pa.array(np.stack(stacked).reshape(-1)), stacked[0].shape)

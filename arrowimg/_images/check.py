"""Images checked against the contract, a run of rows at a time. Nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.binary import value_bytes, value_offsets
from arrowimg._images.columns import Files, ImageRun, ImageView, run_views
from arrowimg._images.headers import Header, read_header
from arrowimg._images.jpeg_headers import find_plain_jpegs
from arrowimg._images.pixels import check_pixels, is_plain
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from arrowimg._images.options import PixelOptions

Found = TypeVar("Found")

_MISSING = Problem(ErrorCode.MISSING, "null")


class CheckedFiles(Struct, frozen=True):
    """Files of consecutive rows whose headers were read. Nothing is decoded.

    Attributes
    ----------
    data
        The files, null where a row has none.
    sizes
        (N, 3) int32: width, height and channels of the JPEG files that are copied.
    to_decode
        Headers of the other pictures, by row.
    problems
        What is wrong with the rest, by row.
    """

    data: pa.LargeBinaryArray
    sizes: npt.NDArray[np.int32]
    to_decode: dict[int, Header]
    problems: dict[int, Problem]

    def __len__(self) -> int:
        return len(self.data)

    @property
    def is_copied(self) -> bool:
        """True where every picture is stored as it is."""
        return not self.to_decode

    def slice(self, start: int, stop: int) -> CheckedFiles:
        """Return some of the rows; nothing is copied."""
        return CheckedFiles(
            self.data.slice(start, stop - start),
            self.sizes[start:stop],
            _within(self.to_decode, start, stop),
            _within(self.problems, start, stop),
        )


class CheckedPixels(Struct, frozen=True):
    """Pixels of consecutive rows that were checked against the contract.

    Attributes
    ----------
    pictures
        Pixels of one shape, stacked, or one view per row.
    problems
        What is wrong with them, by row.
    """

    pictures: npt.NDArray[Any] | Sequence[ImageView]
    problems: dict[int, Problem]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def is_copied(self) -> bool:
        """False: pixels are encoded."""
        return False

    def slice(self, start: int, stop: int) -> CheckedPixels:
        """Return some of the rows; nothing is copied."""
        return CheckedPixels(self.pictures[start:stop], _within(self.problems, start, stop))


CheckedRun: TypeAlias = CheckedFiles | CheckedPixels


def check_run(run: ImageRun, pixels: PixelOptions, *, reencode: bool) -> CheckedRun:
    """Check the images of a run against the contract. Nothing is decoded.

    Parameters
    ----------
    reencode
        True: JPEG files are decoded like all others. False: they are copied.
    """
    if isinstance(run, Files):
        return _check_files(run.data, pixels.max_pixels, reencode=reencode)
    if isinstance(run, np.ndarray) and is_plain(run, pixels):
        problem = check_pixels(run[0], pixels)
        return CheckedPixels(run, dict.fromkeys(range(len(run)), problem) if problem else {})
    found = {row: check_image(view, pixels) for row, view in enumerate(run)}
    return CheckedPixels(run, {row: problem for row, problem in found.items() if problem})


def check_image(view: object, options: PixelOptions) -> Problem | None:
    """Return what is wrong with one image as pixels, or None."""
    if isinstance(view, Problem):
        return view
    if not isinstance(view, np.ndarray):
        return Problem(ErrorCode.DTYPE, f"a {type(view).__qualname__}, not a NumPy array")
    return check_pixels(view, options)


def _check_files(data: pa.LargeBinaryArray, max_pixels: int, *, reencode: bool) -> CheckedFiles:
    offsets = value_offsets(data)
    found = find_plain_jpegs(value_bytes(data), offsets[:-1], offsets[1:], max_pixels)
    is_copied = found.is_plain & data.is_valid().to_numpy(zero_copy_only=False)
    if reencode:
        is_copied[:] = False
    sizes = np.where(is_copied[:, None], found.sizes, np.int32(0))
    checked = CheckedFiles(data, sizes, {}, {})
    for row in np.flatnonzero(~is_copied).tolist():
        (view,) = run_views(Files(data.slice(row, 1)))
        header = read_header(view, max_pixels) if isinstance(view, memoryview) else _MISSING
        if isinstance(header, Problem):
            checked.problems[row] = header
        elif header.format == "jpeg" and not reencode:
            sizes[row] = header.width, header.height, header.channels
        else:
            checked.to_decode[row] = header
    return checked


def _within(found: dict[int, Found], start: int, stop: int) -> dict[int, Found]:
    """Return what was found in some of the rows, counted from the first of them."""
    if not found:
        return {}
    return {row - start: found[row] for row in range(start, stop) if row in found}

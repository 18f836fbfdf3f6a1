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
from arrowimg._images.formats.jpeg_headers import find_plain_jpegs
from arrowimg._images.headers import Header, read_header
from arrowimg._images.pixels import check_lossless, check_pixels, is_plain
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from arrowimg._images.rules import FormatRule

Found = TypeVar("Found")

_MISSING = Problem(ErrorCode.MISSING, "null")


class CheckedFiles(Struct, frozen=True):
    """Files of consecutive rows whose headers were read. Nothing is decoded.

    Attributes
    ----------
    data
        The files, null where a row has none.
    sizes
        (N, 3) int32: width, height and channels of the files that are copied.
    to_decode
        Headers of the other pictures, by row.
    problems
        What is wrong with the rest, by row.
    extensions
        Those that members have, by row, where they are not the rule's.
    absent
        Rows that have no picture, and need none.
    """

    data: pa.LargeBinaryArray
    sizes: npt.NDArray[np.int32]
    to_decode: dict[int, Header]
    problems: dict[int, Problem]
    extensions: dict[int, str] = {}
    absent: dict[int, None] = {}

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
            _within(self.extensions, start, stop),
            _within(self.absent, start, stop),
        )


class CheckedPixels(Struct, frozen=True):
    """Pixels of consecutive rows that were checked against the contract.

    Attributes
    ----------
    pictures
        Pixels of one shape, stacked, or one view per row.
    problems
        What is wrong with them, by row.
    absent
        Rows that have no picture, and need none.
    """

    pictures: npt.NDArray[Any] | Sequence[ImageView]
    problems: dict[int, Problem]
    absent: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def is_copied(self) -> bool:
        """False: pixels are encoded."""
        return False

    def slice(self, start: int, stop: int) -> CheckedPixels:
        """Return some of the rows; nothing is copied."""
        return CheckedPixels(
            self.pictures[start:stop],
            _within(self.problems, start, stop),
            _within(self.absent, start, stop),
        )


CheckedRun: TypeAlias = CheckedFiles | CheckedPixels


def check_run(run: ImageRun, rule: FormatRule) -> CheckedRun:
    """Check the images of a run against the contract. Nothing is decoded."""
    if isinstance(run, Files):
        return _check_files(run.data, rule)
    if isinstance(run, np.ndarray) and is_plain(run, rule.pixels):
        problem = check_image(run[0], rule)
        return CheckedPixels(run, dict.fromkeys(range(len(run)), problem) if problem else {})
    absent = {row: None for row, view in enumerate(run) if rule.is_optional and _is_null(view)}
    found = {row: check_image(view, rule) for row, view in enumerate(run) if row not in absent}
    problems = {row: problem for row, problem in found.items() if problem}
    return CheckedPixels(run, problems, absent)


def check_image(view: object, rule: FormatRule) -> Problem | None:
    """Return what is wrong with one image as pixels, or None."""
    if isinstance(view, Problem):
        return view
    if not isinstance(view, np.ndarray):
        return Problem(ErrorCode.DTYPE, f"a {type(view).__qualname__}, not a NumPy array")
    if rule.encoding is None:
        return Problem(ErrorCode.OTHER_FORMAT, f"pixels, for .{rule.extension}")
    return (check_lossless if rule.encoding == "png" else check_pixels)(view, rule.pixels)


def _is_null(view: object) -> bool:
    return isinstance(view, Problem) and view == _MISSING


def _check_files(data: pa.LargeBinaryArray, rule: FormatRule) -> CheckedFiles:
    offsets, max_pixels = value_offsets(data), rule.pixels.max_pixels
    found = find_plain_jpegs(value_bytes(data), offsets[:-1], offsets[1:], max_pixels)
    is_copied = found.is_plain & data.is_valid().to_numpy(zero_copy_only=False)
    if "jpeg" not in rule.copied:
        is_copied[:] = False
    sizes = np.where(is_copied[:, None], found.sizes, np.int32(0))
    checked = CheckedFiles(data, sizes, {}, {}, {}, {})
    for row in np.flatnonzero(~is_copied).tolist():
        (view,) = run_views(Files(data.slice(row, 1)))
        header = read_header(view, max_pixels) if isinstance(view, memoryview) else _MISSING
        if header == _MISSING and rule.is_optional:
            checked.absent[row] = None
        elif isinstance(header, Problem):
            checked.problems[row] = header
        elif header.format in rule.copied:
            sizes[row] = header.width, header.height, header.channels
            if rule.copied[header.format] != rule.extension:
                checked.extensions[row] = rule.copied[header.format]
        elif rule.takes_other_files:
            checked.to_decode[row] = header
        else:
            other = f"a {header.format} file, for .{rule.extension}"
            checked.problems[row] = Problem(ErrorCode.OTHER_FORMAT, other)
    return checked


def _within(found: dict[int, Found], start: int, stop: int) -> dict[int, Found]:
    """Return what was found in some of the rows, counted from the first of them."""
    if not found:
        return {}
    return {row - start: found[row] for row in range(start, stop) if row in found}

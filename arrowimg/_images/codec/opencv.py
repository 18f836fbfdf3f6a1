"""OpenCV: pixels to JPEG bytes, and the one kind of PNG that Pillow does not decode in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from arrowimg._images.formats.content import BadFileError
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._images.options import JpegOptions

    Pixels = npt.NDArray[np.uint8]

__all__ = ["cv2_version", "decode_deep_png", "encode_jpegs", "encoded_by_opencv", "without_fourth"]

cv2_version: str = cv2.__version__

_SUBSAMPLING = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}

_EXCHANGED_PIXELS = 3 * 2**15 - 1
"""Of so few pixels at once, OpenCV exchanges the colours without threads of its own.

It cuts them into parts of 2**16, and rounds.
"""


def encode_jpegs(
    pictures: Iterable[Pixels], options: JpegOptions, *, color: str
) -> Iterator[Pixels | Problem]:
    """Yield the JPEG bytes of each picture, as a 1-D array that owns them, or what went wrong.

    Each is encoded when it is asked for.

    Parameters
    ----------
    pictures
        Each (H, W) gray, or (H, W, C=3) in the order that `color` says; or all of one shape,
        stacked. Not changed.
    options
        How to encode.
    color
        ``"rgb"`` or ``"bgr"``.

    Raises
    ------
    MemoryError
        When OpenCV finds no memory.
    """
    parameters = _parameters(options)
    for picture in _as_opencv_reads(pictures, color):
        yield encoded_by_opencv(".jpg", picture, parameters)


def _parameters(options: JpegOptions) -> list[int]:
    parameters = [
        cv2.IMWRITE_JPEG_QUALITY,
        options.quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        _SUBSAMPLING[options.subsampling],
    ]
    # Each one said costs a thumbnail some per cent of its time.
    if options.progressive:
        parameters += [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    if options.optimize:
        parameters += [cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return parameters


def encoded_by_opencv(
    suffix: str, picture: npt.NDArray[Any], parameters: list[int]
) -> Pixels | Problem:
    """Return the bytes of one picture, as a 1-D array that owns them, or what went wrong.

    Raises
    ------
    MemoryError
        When OpenCV finds no memory.
    """
    try:
        succeeded, encoded = cv2.imencode(suffix, picture, parameters)
    except cv2.error as error:
        return _problem(ErrorCode.ENCODE_FAILED, error)
    # OpenCV refuses some pictures without an exception.
    if not succeeded or not encoded.size:
        return Problem(ErrorCode.ENCODE_FAILED, "no bytes from OpenCV")
    return encoded.reshape(-1)


def _as_opencv_reads(pictures: Iterable[Pixels], color: str) -> Iterator[Pixels]:
    """Yield contiguous pictures, BGR where they have colours, each good until the next comes.

    Colours are exchanged just before a picture is encoded and always into the same memory, so that
    it is in the processor's cache then.
    """
    if isinstance(pictures, np.ndarray) and _is_stack_of_small(pictures, color):
        yield from _exchanged_stack(pictures)
        return
    exchanged = np.empty(0, np.uint8)
    for picture in map(np.ascontiguousarray, pictures):
        if color == "rgb" and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
            if exchanged.shape != picture.shape:
                exchanged = np.empty_like(picture)
            _exchange(picture, exchanged)
            yield exchanged
        else:
            yield picture


def _is_stack_of_small(pictures: Pixels, color: str) -> bool:
    return (
        color == "rgb"
        and pictures.ndim == 4
        and pictures.shape[3] == 3
        and pictures.size > 0
        and 2 * pictures.shape[1] * pictures.shape[2] <= _EXCHANGED_PIXELS
        and pictures.flags.c_contiguous
    )


def _exchanged_stack(stack: Pixels) -> Iterator[Pixels]:
    """Yield the pictures of a stack, (N, H, W, 3), as BGR; a cacheful is exchanged at once."""
    height, width = stack.shape[1:3]
    at_once = _EXCHANGED_PIXELS // (height * width)
    exchanged = np.empty((min(at_once, len(stack)), *stack.shape[1:]), np.uint8)
    for first in range(0, len(stack), at_once):
        source = stack[first : first + at_once]
        target = exchanged[: len(source)]
        # To OpenCV they are one high picture.
        _exchange(source.reshape(-1, width, 3), target.reshape(-1, width, 3))
        yield from target


def _exchange(source: Pixels, target: Pixels) -> None:
    """Exchange red and blue, in bands so small that OpenCV starts no threads of its own.

    How many it may start is a setting of the whole process, and not ours to change. Each band
    costs a wait for the interpreter's lock, so there are as few as can be.
    """
    num_rows = max(1, _EXCHANGED_PIXELS // source.shape[1])
    for top in range(0, len(source), num_rows):
        band = slice(top, top + num_rows)
        cv2.cvtColor(source[band], cv2.COLOR_RGB2BGR, target[band])


def without_fourth(source: Pixels, target: Pixels) -> None:
    """Copy pixels of four bytes, (H, W, 4), into ones of three, (H, W, 3); the fourth is lost."""
    cv2.cvtColor(source, cv2.COLOR_BGRA2BGR, target)


def decode_deep_png(file: bytes) -> npt.NDArray[Any]:
    """Return the pixels of a PNG of 16 bits, (H, W, C=3 or 4) uint16 RGB or RGBA.

    Gray with alpha is RGBA too. OpenCV writes what it thinks of a damaged file to the terminal, so
    this one must be sound.

    Raises
    ------
    BadFileError
        When OpenCV does not decode it.
    MemoryError
        When OpenCV finds no memory.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        problem = _problem(ErrorCode.DECODE_FAILED, error)
        raise BadFileError(problem.code, problem.found) from error
    if pixels is None or pixels.ndim != 3:
        raise BadFileError(ErrorCode.DECODE_FAILED, "nothing from OpenCV")
    return pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]


def _problem(code: ErrorCode, error: cv2.error) -> Problem:
    if error.code == cv2.Error.StsNoMem:
        # The machine's state, not the picture's: no row may be quarantined for it.
        raise MemoryError(str(error)) from error
    return Problem(code, f"OpenCV's error: {error}")

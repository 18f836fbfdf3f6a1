"""The one door to OpenCV: pixels to JPEG bytes, and encoded files to pixels."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from arrowimg._images.headers import read_tiff_tags
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._images.options import JpegOptions

    Pixels = npt.NDArray[np.uint8]

__all__ = ["cv2_version", "decode_image", "decode_rgb", "encode_jpegs"]

cv2_version: str = cv2.__version__

_SUBSAMPLING = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}

_ORIENTATION_TAG = 0x0112
_EXCHANGED_PIXELS = 2**16


def encode_jpegs(
    pictures: Iterable[Pixels], options: JpegOptions, *, color: str
) -> list[Pixels | Problem]:
    """Return the JPEG bytes of each picture, as a 1-D array that owns them, or what went wrong.

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
    return [_encode(picture, parameters) for picture in _as_opencv_reads(pictures, color)]


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


def _encode(picture: Pixels, parameters: list[int]) -> Pixels | Problem:
    try:
        succeeded, encoded = cv2.imencode(".jpg", picture, parameters)
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
    """Exchange red and blue, in bands so small that OpenCV starts no threads of its own."""
    num_rows = max(1, _EXCHANGED_PIXELS // source.shape[1])
    for top in range(0, len(source), num_rows):
        band = slice(top, top + num_rows)
        cv2.cvtColor(source[band], cv2.COLOR_RGB2BGR, target[band])


def decode_image(data: memoryview) -> npt.NDArray[Any] | Problem:
    """Return the first picture of an encoded file, upright, or what went wrong.

    The EXIF orientation is applied. Depth and alpha stay as stored: the result is (H, W),
    (H, W, C=3) BGR or (H, W, C=4) BGRA, of any dtype that the format holds.

    Parameters
    ----------
    data
        The whole file; its header must have been checked, since OpenCV allocates what it says.

    Raises
    ------
    MemoryError
        When OpenCV finds no memory.
    """
    try:
        pixels, kinds, metadata = cv2.imdecodeWithMetadata(
            np.frombuffer(data, np.uint8), flags=cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:
        return _problem(ErrorCode.DECODE_FAILED, error)
    if pixels is None:
        return Problem(ErrorCode.DECODE_FAILED, "nothing from OpenCV")
    for kind, content in zip(kinds, metadata, strict=True):
        if kind == cv2.IMAGE_METADATA_EXIF:
            return _upright(pixels, _exif_orientation(content.tobytes()))
    return pixels


def decode_rgb(data: memoryview) -> Pixels | Problem:
    """Return the picture of a JPEG file, upright, (H, W) or (H, W, C=3) RGB, or what went wrong.

    Raises
    ------
    MemoryError
        When OpenCV finds no memory.
    """
    pixels = decode_image(data)
    if isinstance(pixels, Problem) or pixels.ndim == 2:
        return pixels
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _problem(code: ErrorCode, error: cv2.error) -> Problem:
    if error.code == cv2.Error.StsNoMem:
        # The machine's state, not the picture's: no row may be quarantined for it.
        raise MemoryError(str(error)) from error
    return Problem(code, f"OpenCV's error: {error}")


def _upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn a picture upright by its EXIF 2.32 orientation, 1 to 8; others are left alone."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation tag of an EXIF block, 1 where it has none."""
    try:
        return dict(read_tiff_tags(exif.removeprefix(b"Exif\x00\x00"))).get(_ORIENTATION_TAG, 1)
    except struct.error:
        return 1

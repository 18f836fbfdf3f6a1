"""Images to stored JPEG: checked first, then encoded, decoded or copied, on several threads."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from arrowimg._checksums import BytesLike, checksum
from arrowimg._codec import decode_image, encode_jpeg
from arrowimg._headers import Header, read_header
from arrowimg._pixels import check_pixels, convert_pixels, without_premultiplication
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arrowimg._columns import ImageView
    from arrowimg._image_options import PixelOptions
    from arrowimg._options import WriteOptions

Action = Literal["encoded", "copied", "transcoded"]
CheckedImage: TypeAlias = npt.NDArray[Any] | tuple[memoryview, Header] | Problem
"""An image that the contract was held against: pixels, a file and its header, or a problem."""

_IMAGES_PER_GRAIN = 64


class StoredImage(Struct, frozen=True):
    """One picture as it will stand in the tar.

    Attributes
    ----------
    data
        The JPEG.
    width, height
        In pixels.
    channels
        1 gray, 3 colour, 4 CMYK (in copied files only).
    action
        ``"encoded"`` from pixels, ``"copied"`` byte for byte, ``"transcoded"`` from another file.
    checksum
        Of `data`.
    """

    data: BytesLike
    width: int
    height: int
    channels: int
    action: Action
    checksum: bytes


def check_image(view: ImageView, options: PixelOptions) -> CheckedImage:
    """Return the image if it keeps the contract, else the problem. Nothing is decoded."""
    if isinstance(view, Problem):
        return view
    if isinstance(view, memoryview):
        header = read_header(view, options.max_pixels)
        return header if isinstance(header, Problem) else (view, header)
    if not isinstance(view, np.ndarray):
        return Problem(ErrorCode.DTYPE, f"a {type(view).__qualname__}, not a NumPy array")
    return check_pixels(view, options) or view


def encode_images(
    images: Sequence[CheckedImage], options: WriteOptions
) -> list[StoredImage | Problem]:
    """Return the stored form of each image, in order; the bytes do not depend on the threads."""
    threads = options.encode_threads or _usable_cores()
    grains = [
        images[at : at + _IMAGES_PER_GRAIN] for at in range(0, len(images), _IMAGES_PER_GRAIN)
    ]

    def encode_grain(grain: Sequence[CheckedImage]) -> list[StoredImage | Problem]:
        return [_encode_image(image, options) for image in grain]

    return [image for grain in _map(encode_grain, grains, threads) for image in grain]


def _usable_cores() -> int:
    """Return how many cores this process may use, or where nothing tells, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quarantined_bytes(
    views: Sequence[ImageView], images: Sequence[StoredImage | Problem]
) -> list[BytesLike | None]:
    """Return the offending bytes of bad rows: files as they are, pixels as NumPy's ``.npy``."""
    return [
        None if isinstance(view, Problem) or not isinstance(image, Problem) else _raw_bytes(view)
        for view, image in zip(views, images, strict=True)
    ]


def _raw_bytes(view: npt.NDArray[Any] | memoryview) -> BytesLike:
    if isinstance(view, memoryview):
        return view
    file = io.BytesIO()
    np.save(file, view, allow_pickle=False)
    return file.getvalue()


def _map(
    function: Callable[[Sequence[CheckedImage]], list[StoredImage | Problem]],
    grains: list[Sequence[CheckedImage]],
    threads: int,
) -> list[list[StoredImage | Problem]]:
    if threads == 1 or len(grains) <= 1:
        return [function(grain) for grain in grains]
    with ThreadPoolExecutor(threads, thread_name_prefix="arrowimg-encode") as pool:
        return list(pool.map(function, grains))


def _encode_image(image: CheckedImage, options: WriteOptions) -> StoredImage | Problem:
    if isinstance(image, Problem):
        return image
    if isinstance(image, tuple):
        return _encode_file(*image, options)
    return _encode_pixels(image, "encoded", options.pixels, options)


def _encode_file(data: memoryview, header: Header, options: WriteOptions) -> StoredImage | Problem:
    if header.format == "jpeg" and not options.reencode:
        digest = checksum(data, options.checksum)
        return StoredImage(data, header.width, header.height, header.channels, "copied", digest)
    pixels = decode_image(data)
    if isinstance(pixels, Problem):
        return pixels
    # What layout and color say holds for the source's arrays; OpenCV's are known.
    pixel_options = msgspec.structs.replace(options.pixels, layout="hwc", color="bgr")
    if header.format == "tiff" and pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = without_premultiplication(pixels)
    problem = check_pixels(pixels, pixel_options)
    return problem or _encode_pixels(pixels, "transcoded", pixel_options, options)


def _encode_pixels(
    pixels: npt.NDArray[Any], action: Action, pixel_options: PixelOptions, options: WriteOptions
) -> StoredImage | Problem:
    picture = convert_pixels(pixels, pixel_options)
    data = encode_jpeg(picture, options.jpeg, color=pixel_options.color)
    if isinstance(data, Problem):
        return data
    height, width = picture.shape[:2]
    channels = 1 if picture.ndim == 2 else 3
    return StoredImage(data, width, height, channels, action, checksum(data, options.checksum))

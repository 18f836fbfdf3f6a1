"""TIFF: strips and tiles to bytes, and bytes to pixels by what the directory says of them."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from PIL import Image

from arrowimg._images.codec import pillow
from arrowimg._images.codec.libtiff import complaints
from arrowimg._images.formats import tiff
from arrowimg._images.formats.content import BadFileError, truncated, unsupported
from arrowimg._images.formats.tiff import TiffContent, row_nbytes
from arrowimg._images.formats.tiff_tags import directory
from arrowimg.errors import ErrorCode

if TYPE_CHECKING:
    Pixels = npt.NDArray[Any]

_LONG, _SHORT = 4, 3
_GRAY_MODES = {
    (1, tiff.BLACK_IS_ZERO): ("1", "1"),
    (1, tiff.WHITE_IS_ZERO): ("1", "1;I"),
    (2, tiff.BLACK_IS_ZERO): ("L", "L;2"),
    (2, tiff.WHITE_IS_ZERO): ("L", "L;2I"),
    (4, tiff.BLACK_IS_ZERO): ("L", "L;4"),
    (4, tiff.WHITE_IS_ZERO): ("L", "L;4I"),
    (1, tiff.PALETTE): ("P", "P;1"),
    (2, tiff.PALETTE): ("P", "P;2"),
    (4, tiff.PALETTE): ("P", "P;4"),
}


def decode(content: TiffContent) -> Image.Image | Pixels:
    """Return the picture: an image of 8 bits, or an array, (H, W) or (H, W, C=3 or 4), deeper."""
    if not content.is_decoded_as_bytes:
        return _listened(content, _file(content, content.spans))
    num_chunks = len(content.spans) // (content.samples if content.is_planar else 1)
    planes = [
        _rows(content, content.spans[first : first + num_chunks])
        for first in range(0, len(content.spans), num_chunks)
    ]
    if content.depth < 8:
        return _of_few_bits(content, planes[0])
    values = [_values(content, rows) for rows in planes]
    pixels = np.concatenate(values, axis=2) if content.is_planar else values[0]
    return _picture(content, pixels)


def _rows(content: TiffContent, spans: tiff.Spans) -> npt.NDArray[np.uint8]:
    """Return the rows of a plane as bytes: (H, bytes); tiles are whole, also at the edge."""
    if content.compression in (tiff.LZW, tiff.PACKBITS):
        return np.asarray(_listened(content, _file_of_bytes(content, spans)))
    width, height = content.chunk
    num_across = -(-content.width // width)
    nbytes = row_nbytes(content, width)
    rows = np.empty((-(-content.height // height) * height, num_across * nbytes), np.uint8)
    for number, (start, size) in enumerate(spans):
        top, left = number // num_across * height, number % num_across * nbytes
        num_rows = height if content.is_tiled else min(height, content.height - top)
        data = content.source[start : start + size]
        if content.compression != tiff.NONE:
            data = memoryview(_inflated(data, num_rows * nbytes, height * nbytes))
        if len(data) < num_rows * nbytes:
            raise truncated(data, f"a strip or tile of {num_rows * nbytes:,} bytes")
        chunk = np.frombuffer(data[: num_rows * nbytes], np.uint8)
        rows[top : top + num_rows, left : left + nbytes] = chunk.reshape(num_rows, nbytes)
    return rows[: content.height]


def _inflated(data: memoryview, nbytes: int, most_nbytes: int) -> bytes:
    """Return what was deflated, checksum and all; the last strip may go on below the picture."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, most_nbytes + 1)
    except zlib.error as error:
        raise BadFileError(ErrorCode.DECODE_FAILED, f"zlib's error: {error}") from error
    if not inflater.eof or not nbytes <= len(inflated) <= most_nbytes:
        found = f"{len(inflated):,} bytes in a strip or tile of {nbytes:,}"
        raise BadFileError(ErrorCode.DECODE_FAILED, found)
    return inflated


def _values(content: TiffContent, rows: npt.NDArray[np.uint8]) -> Pixels:
    """Return (H, W, samples) of whole numbers or floats, without what a predictor did."""
    samples = 1 if content.is_planar else content.samples
    kind = {1: "u", 2: "i", 3: "f"}[content.format]
    dtype = np.dtype(f"{content.order}{kind}{content.depth // 8}")
    across = content.chunk[0]
    tiles = rows.reshape(len(rows), -1, across, samples * dtype.itemsize)
    if content.predictor == 3:
        steps = tiles.reshape(*tiles.shape[:2], -1, samples)
        summed = np.add.accumulate(steps, axis=2, dtype=np.uint8)
        planes = summed.reshape(*tiles.shape[:2], dtype.itemsize, across * samples)
        values = np.ascontiguousarray(np.moveaxis(planes, 2, 3)).view(dtype.newbyteorder(">"))
    else:
        values = np.ascontiguousarray(tiles).view(dtype)
    values = values.reshape(*tiles.shape[:3], samples)
    if content.predictor == 2:
        native = values.astype(dtype.newbyteorder("="), copy=False)
        values = np.add.accumulate(native, axis=2, dtype=native.dtype)
    whole = values.reshape(len(rows), -1, samples)[:, : content.width]
    return whole.astype(dtype.newbyteorder("="), copy=False)


def _of_few_bits(content: TiffContent, rows: npt.NDArray[np.uint8]) -> Image.Image:
    modes = _GRAY_MODES.get((content.depth, content.photometric))
    if modes is None or content.samples != 1:
        raise unsupported(f"a TIFF of {content.depth} bits, {content.samples} samples")
    size, nbytes = (content.width, content.height), row_nbytes(content, content.width)
    mode, raw_mode = modes
    data = np.ascontiguousarray(rows[:, :nbytes]).tobytes()
    image = Image.frombytes(mode, size, data, "raw", raw_mode, nbytes, 1)
    return _coloured(image, content) if mode == "P" else image


def _picture(content: TiffContent, pixels: Pixels) -> Image.Image | Pixels:
    """Return what values mean: colours, and alpha where one is stated."""
    colours = content.samples - len(content.extra)
    alpha = next((colours + at for at, kind in enumerate(content.extra) if kind), None)
    wanted = [*range(colours)] + ([] if alpha is None else [alpha])
    if len(wanted) < content.samples:
        pixels = pixels[:, :, wanted]
    is_premultiplied = 1 in content.extra
    if pixels.dtype != np.uint8:
        return _deep(content, pixels, is_premultiplied=is_premultiplied)
    if content.photometric == tiff.WHITE_IS_ZERO:
        pixels = pixels.copy()
        pixels[:, :, 0] = 255 - pixels[:, :, 0]
    modes = {
        (tiff.RGB, 3): "RGB",
        (tiff.RGB, 4): "RGBa" if is_premultiplied else "RGBA",
        (tiff.CMYK, 4): "CMYK",
        (tiff.LAB, 3): "LAB",
        (tiff.PALETTE, 1): "P",
        (tiff.BLACK_IS_ZERO, 2): "La" if is_premultiplied else "LA",
    }
    gray = {tiff.WHITE_IS_ZERO: tiff.BLACK_IS_ZERO}.get(content.photometric, content.photometric)
    mode = "L" if len(wanted) == 1 and gray == 1 else modes.get((gray, len(wanted)))
    if mode is None:
        raise unsupported(f"a TIFF of photometric {content.photometric} with alpha")
    size = (content.width, content.height)
    data = np.ascontiguousarray(pixels).tobytes()
    image = Image.frombytes("RGBA" if mode == "RGBa" else mode, size, data, "raw", mode)
    return _coloured(image, content) if mode == "P" else image


def _deep(content: TiffContent, pixels: Pixels, *, is_premultiplied: bool) -> Pixels:
    if is_premultiplied or content.photometric not in (tiff.WHITE_IS_ZERO, 1, tiff.RGB):
        raise unsupported(f"a TIFF of {content.depth} bits, photometric {content.photometric}")
    if content.photometric == tiff.WHITE_IS_ZERO:
        if pixels.dtype.kind != "u":
            raise unsupported("a TIFF of signed values of which zero is white")
        pixels = np.iinfo(pixels.dtype).max - pixels
    if pixels.shape[2] == 2:
        gray, alpha = pixels[:, :, :1], pixels[:, :, 1:]
        return np.concatenate([gray, gray, gray, alpha], axis=2)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _coloured(image: Image.Image, content: TiffContent) -> Image.Image:
    palette = np.array(content.colours, np.uint16).reshape(3, -1).T >> 8
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def _listened(content: TiffContent, file: bytes) -> Image.Image:
    """Return what Pillow, with libtiff, decodes; a file of which libtiff complains is damaged."""
    image = Image.new("1", (1, 1))
    with complaints() as heard:
        try:
            image = pillow.decode(replace(content, parts=[file]), "tiff")
        except (OSError, SyntaxError) as error:
            heard.append(str(error))
    if heard:
        complaint = f"libtiff's errors: {'; '.join(sorted({*heard}))}"
        raise BadFileError(ErrorCode.DECODE_FAILED, complaint)
    return image


def _file(content: TiffContent, spans: tiff.Spans) -> bytes:
    """Return a TIFF of a picture, with what decoders need and no more."""
    entries = [
        (256, content.width),
        (257, content.height),
        (259, content.compression),
        (262, content.photometric),
        (266, 2 if content.is_filled_from_right else 1),
        (277, content.samples),
    ]
    bits = struct.pack(f"{content.order}H", content.depth) * content.samples
    plain = [(258, _SHORT, bits), *content.for_decoders]
    return _joined(content, spans, content.chunk, entries, plain)


def _file_of_bytes(content: TiffContent, spans: tiff.Spans) -> bytes:
    """Return a TIFF of gray pixels, which are the bytes of a plane's rows."""
    width, height = content.chunk
    nbytes = row_nbytes(content, width)
    num_across = -(-content.width // width)
    entries = [
        (256, nbytes * num_across),
        (257, content.height),
        (258, 8),
        (259, content.compression),
        (262, tiff.BLACK_IS_ZERO),
        (277, 1),
    ]
    return _joined(content, spans, (nbytes, height), entries, [])


def _joined(
    content: TiffContent,
    spans: tiff.Spans,
    chunk: tuple[int, int],
    entries: list[tuple[int, int]],
    plain: list[tuple[int, int, bytes]],
) -> bytes:
    data, order = content.source, content.order
    offsets, sizes = zip(*spans, strict=True)
    if content.is_tiled:
        entries = [*entries, (322, chunk[0]), (323, chunk[1])]
    else:
        entries = [*entries, (278, chunk[1])]
    tags = (324, 325) if content.is_tiled else (273, 279)
    lists = [
        (tag, _LONG, struct.pack(f"{order}{len(spans)}I", *values))
        for tag, values in zip(tags, (offsets, sizes), strict=True)
    ]
    numbers = [(tag, _LONG, struct.pack(f"{order}I", value)) for tag, value in entries]
    start = len(data) + len(data) % 2
    return b"".join(
        [
            data[:4],
            struct.pack(f"{order}I", start),
            data[8:],
            bytes(start - len(data)),
            directory(order, start, [*numbers, *lists, *plain]),
        ]
    )


__all__ = ["decode"]

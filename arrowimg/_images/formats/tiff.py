"""TIFF: the first directory, by TIFF 6.0 and its supplements."""

from __future__ import annotations

import struct
from typing import TypeAlias

from arrowimg._images.formats.content import (
    BadFileError,
    Content,
    corrupt,
    refuse_size,
    truncated,
    unsupported,
)
from arrowimg._images.formats.tiff_tags import Tags, read_tags
from arrowimg.errors import ErrorCode

NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 7, 8, 32946, 32773
FAX = (2, 3, 4)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _STRIP_ROWS = 266, 273, 274, 277, 278
_STRIP_NBYTES, _PLANAR, _PREDICTOR, _COLOURS = 279, 284, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_NBYTES = 322, 323, 324, 325
_INK_SET, _EXTRA, _FORMATS, _PROFILE = 332, 338, 339, 34675
_FOR_DECODERS = (292, 293, 347, 529, 530, 531, 532)

_COLOUR_SAMPLES = {
    WHITE_IS_ZERO: 1,
    BLACK_IS_ZERO: 1,
    RGB: 3,
    PALETTE: 1,
    CMYK: 4,
    YCBCR: 3,
    LAB: 3,
}
_DEPTHS = (1, 2, 4, 8, 16, 32, 64)
_MOST_EXPANSION = {NONE: 1, LZW: 2**12, DEFLATE: 1032, OLD_DEFLATE: 1032, PACKBITS: 128}
_HEADER_NBYTES = 8
_MOST_TILE_SIDE = 2**16
_ALWAYS_ALLOCATED = 2**20
_LARGEST = 2**32 - 1

Spans: TypeAlias = list[tuple[int, int]]
"""Offset and number of bytes of each strip or tile."""


class TiffContent(Content, frozen=True):
    """The picture of the first directory.

    Attributes
    ----------
    source
        The file.
    samples, extra
        Values of a pixel, and what each of those is that are no colour: 0 nothing that is stated,
        1 alpha that the colours were multiplied by, 2 alpha.
    format
        Of values: 1 unsigned, 2 signed, 3 floating point.
    chunk
        (width, height) of a strip or tile.
    spans
        Where strips or tiles are: rows of them, from the top, plane by plane.
    colours
        The palette, uint16 values: all reds, all greens, all blues.
    """

    source: memoryview = memoryview(b"")
    order: str = "<"
    compression: int = NONE
    photometric: int = BLACK_IS_ZERO
    samples: int = 1
    extra: tuple[int, ...] = ()
    format: int = 1
    is_planar: bool = False
    is_tiled: bool = False
    is_filled_from_right: bool = False
    predictor: int = 1
    chunk: tuple[int, int] = (0, 0)
    spans: Spans = []  # noqa: RUF012  # a Struct makes a new list for each
    colours: tuple[int, ...] = ()
    for_decoders: tuple[tuple[int, int, bytes], ...] = ()

    @property
    def is_decoded_as_bytes(self) -> bool:
        """True where strips and tiles hold rows of bytes, whatever these mean."""
        return self.compression != JPEG and self.compression not in FAX


def read_tiff(data: memoryview, max_pixels: int) -> Content:
    """Return the picture of the first directory, as far as all that it needs is there."""
    try:
        return _read(data, read_tags(data), max_pixels)
    except struct.error as error:
        raise truncated(data, "its directory") from error


def _read(data: memoryview, tags: Tags, max_pixels: int) -> Content:
    width, height = tags.number(_WIDTH), tags.number(_HEIGHT)
    if width < 1 or height < 1:
        raise corrupt(f"a TIFF of {height} x {width} pixels")
    refuse_size(height, width, max_pixels)
    samples = tags.number(_SAMPLES, 1)
    if not 1 <= samples <= 8:
        raise unsupported(f"a TIFF of {samples:,} samples")
    bits, formats = tags.numbers(_BITS, (1,)), tags.numbers(_FORMATS, (1,))
    if len({*bits}) != 1 or len({*formats}) != 1:
        raise unsupported(f"a TIFF of {bits} bits, formats {formats}")
    content = TiffContent(
        width,
        height,
        [],
        channels=samples,
        depth=bits[0],
        orientation=tags.number(_ORIENTATION, 1),
        profile=tags.raw(_PROFILE),
        source=data,
        order=tags.order,
        compression=tags.number(_COMPRESSION, NONE),
        photometric=tags.number(_PHOTOMETRIC),
        samples=samples,
        extra=tags.numbers(_EXTRA, ()),
        format=formats[0],
        is_planar=samples > 1 and tags.number(_PLANAR, 1) == 2,
        is_tiled=_TILES in tags,
        is_filled_from_right=tags.number(_FILL_ORDER, 1) == 2,
        predictor=tags.number(_PREDICTOR, 1),
        colours=tags.numbers(_COLOURS, ()),
        for_decoders=tuple((tag, *tags.plain(tag)) for tag in _FOR_DECODERS if tag in tags),
    )
    _check_meaning(content, tags)
    _check_coding(content)
    return _with_chunks(content, tags, max_pixels)


def _check_meaning(content: TiffContent, tags: Tags) -> None:
    photometric, compression, depth = content.photometric, content.compression, content.depth
    if photometric not in _COLOUR_SAMPLES:
        raise unsupported(f"a TIFF of photometric interpretation {photometric}")
    extra = content.samples - _COLOUR_SAMPLES[photometric]
    if extra < 0:
        raise corrupt(f"a TIFF of {content.samples} samples, photometric {photometric}")
    if extra != len(content.extra) or max(content.extra, default=0) > 2:
        raise unsupported(f"a TIFF with {extra} bands of which it does not say what they are")
    if photometric == PALETTE and (len(content.colours) != 3 * 2**depth or depth > 8):
        raise corrupt(f"a TIFF of {depth} bits with a palette of {len(content.colours)} values")
    if photometric == CMYK and tags.number(_INK_SET, 1) != 1:
        raise unsupported("a TIFF of inks that are not CMYK")
    if photometric == YCBCR and compression != JPEG:
        raise unsupported("a TIFF of YCbCr pixels that are no JPEG")
    if tags.number(_PLANAR, 1) not in (1, 2) or content.predictor not in (1, 2, 3):
        raise corrupt("a TIFF of an unknown planar configuration or predictor")


def _check_coding(content: TiffContent) -> None:
    compression, depth = content.compression, content.depth
    if compression not in _MOST_EXPANSION and content.is_decoded_as_bytes:
        raise unsupported(f"a TIFF of compression {compression}")
    if depth not in _DEPTHS or content.format not in (1, 2, 3):
        raise unsupported(f"a TIFF of {depth} bits, format {content.format}")
    if content.is_filled_from_right and compression not in FAX:
        raise unsupported("a TIFF whose bits are filled from the right")
    if content.is_decoded_as_bytes:
        if content.predictor == 2 and content.depth < 8:
            raise unsupported(f"a TIFF of {content.depth} bits with a predictor")
        if content.predictor == 3 and content.format != 3:
            raise corrupt("a TIFF of whole numbers with a predictor for floating point")
        return
    if content.compression in FAX and (content.samples, content.depth) != (1, 1):
        raise corrupt("a TIFF of fax codes that is not bilevel")
    if content.compression == JPEG and (content.depth != 8 or content.is_planar or content.extra):
        raise unsupported("a TIFF of JPEG strips that are not 8-bit colour or gray")


def _with_chunks(content: TiffContent, tags: Tags, max_pixels: int) -> Content:
    if content.is_tiled:
        across, down = tags.number(_TILE_WIDTH), tags.number(_TILE_HEIGHT)
        if _STRIPS in tags:
            raise corrupt("a TIFF of strips and tiles")
        if across % 16 or down % 16:
            raise corrupt(f"TIFF tiles of {down} x {across} pixels")
    else:
        across, down = content.width, min(tags.number(_STRIP_ROWS, _LARGEST), content.height)
    if not (0 < across <= max(_MOST_TILE_SIDE, content.width) and 0 < down <= _MOST_TILE_SIDE):
        raise corrupt(f"TIFF strips or tiles of {down} x {across} pixels")
    if across * down > max(max_pixels, _ALWAYS_ALLOCATED):
        found = f"strips or tiles of {down:,} x {across:,} pixels, over max_pixels={max_pixels:,}"
        raise BadFileError(ErrorCode.TOO_MANY_PIXELS, found)
    num_across, num_down = -(-content.width // across), -(-content.height // down)
    num_chunks = num_across * num_down * (content.samples if content.is_planar else 1)
    offsets = tags.numbers(_TILES if content.is_tiled else _STRIPS, None)
    nbytes = tags.numbers(_TILE_NBYTES if content.is_tiled else _STRIP_NBYTES, ())
    if not nbytes and content.compression == NONE and num_chunks == 1:
        nbytes = (min(chunk_nbytes(content, across, down), _LARGEST),)
    if len(offsets) != num_chunks or len(nbytes) != num_chunks:
        raise corrupt(f"a TIFF of {num_chunks:,} strips or tiles that states {len(offsets):,}")
    spans = list(zip(offsets, nbytes, strict=True))
    if any(start < _HEADER_NBYTES for start, _ in spans):
        raise corrupt("a TIFF whose pixels are in its header")
    if any(start + size > len(content.source) for start, size in spans):
        raise truncated(content.source, "its strips or tiles")
    expansion = _MOST_EXPANSION.get(content.compression)
    values = {field: getattr(content, field) for field in content.__struct_fields__}
    return TiffContent(
        **values
        | {
            "chunk": (across, down),
            "spans": spans,
            "most_nbytes": expansion and expansion * (sum(size for _, size in spans) + 1),
            "least_nbytes": content.height
            * row_nbytes(content, content.width)
            * (content.samples if content.is_planar else 1),
        }
    )


def row_nbytes(content: TiffContent, width: int) -> int:
    """Return the bytes of a row of one plane, for a number of pixels."""
    return (width * (1 if content.is_planar else content.samples) * content.depth + 7) // 8


def chunk_nbytes(content: TiffContent, width: int, height: int) -> int:
    """Return the bytes of a strip or tile, once it is decompressed."""
    return row_nbytes(content, width) * height

"""BMP: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage, and OS/2's headers."""

from __future__ import annotations

import struct

from arrowimg._images.formats.content import (
    Content,
    corrupt,
    refuse_size,
    truncated,
    unsupported,
)

_FILE_HEADER_NBYTES = 14
_OS2_HEADER, _OS2_LONG_HEADER = 12, 64
_HEADERS = (_OS2_HEADER, 40, 52, 56, _OS2_LONG_HEADER, 108, 124)
_RAW, _RLE8, _RLE4, _BITFIELDS = range(4)
_DEPTHS = {_RAW: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _BITFIELDS: (16, 32)}


def read_bmp(data: memoryview, max_pixels: int) -> Content:
    """Return the picture: header, palette and pixels, which must all be there."""
    try:
        return _read(data, max_pixels)
    except struct.error as error:
        raise truncated(data, "its header") from error


def _read(data: memoryview, max_pixels: int) -> Content:
    start, header_nbytes = struct.unpack_from("<II", data, 10)
    if header_nbytes not in _HEADERS:
        raise corrupt(f"a BMP header of {header_nbytes:,} bytes")
    compression, num_colours, entry_nbytes = _RAW, 0, 3
    if header_nbytes == _OS2_HEADER:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
        (num_colours,) = struct.unpack_from("<I", data, 46)
        entry_nbytes = 4
    if width < 1 or not height:
        raise corrupt(f"a BMP header of {height} x {width} pixels")
    refuse_size(abs(height), width, max_pixels)
    if header_nbytes == _OS2_LONG_HEADER and compression == _BITFIELDS:
        raise unsupported("a BMP of Huffman codes")
    if depth not in _DEPTHS.get(compression, ()):
        raise unsupported(f"a BMP of {depth} bits with compression {compression}")
    is_run_length = compression in (_RLE8, _RLE4)
    if height < 0 and is_run_length:
        raise corrupt("a BMP of run lengths from the top")
    after_header = _FILE_HEADER_NBYTES + header_nbytes
    after_palette = after_header + (12 if compression == _BITFIELDS and header_nbytes == 40 else 0)
    if depth <= 8:
        num_colours = _checked_colours(num_colours, depth)
        after_palette += entry_nbytes * num_colours
        # Some writers forget the palette there.
        start = after_palette if start == after_header else start
    if start < after_palette:
        raise corrupt(f"BMP pixels at byte {start:,}, inside the header")
    nbytes = (width * depth + 31) // 32 * 4 * abs(height)
    end = len(data) if is_run_length else start + nbytes
    if max(start, end) > len(data):
        raise truncated(data, f"{nbytes:,} bytes of pixels from byte {start:,}")
    return Content(
        width,
        abs(height),
        [data[:10], struct.pack("<I", start), data[14:end]],
        channels=1 if depth <= 8 else 3,
        depth=depth,
        num_colours=num_colours if depth <= 8 else 0,
        # A run of two bytes has 255 pixels at most.
        most_nbytes=(end - start) * 128 if is_run_length else None,
        least_nbytes=width * abs(height) if is_run_length else 0,
    )


def _checked_colours(stated: int, depth: int) -> int:
    """Return the number of colours of a palette; 0 stands for all that the depth allows."""
    if stated > 2**depth:
        raise corrupt(f"a BMP of {depth} bits with {stated:,} colours")
    return stated or 2**depth


def read_run_lengths(content: Content) -> Content:
    """Return a picture of run lengths without them; others as they are.

    Rows must be whole: what runs leave out has no colour.
    """
    file = memoryview(content.file())
    start, header_nbytes = struct.unpack_from("<II", file, 10)
    (compression,) = struct.unpack_from("<I", file, 30) if header_nbytes != _OS2_HEADER else (0,)
    if compression not in (_RLE8, _RLE4):
        return content
    try:
        rows = _rows(file, start, content.width, content.height, compression == _RLE4)
    except IndexError as error:
        raise truncated(file, "its run lengths") from error
    if rows is None:
        raise corrupt("BMP run lengths that do not fill each row")
    header = bytearray(file[:start])
    struct.pack_into("<HII", header, 28, 8, _RAW, 0)
    return Content(
        content.width,
        content.height,
        [bytes(header), rows],
        channels=content.channels,
        num_colours=content.num_colours,
    )


def _rows(
    file: memoryview, at: int, width: int, height: int, is_4_bit: bool  # noqa: FBT001
) -> bytes | None:  # fmt: skip
    """Return rows of a byte a pixel, padded to four; None where one has another width."""
    padding, rows, row = bytes(-width % 4), bytearray(), bytearray()
    for _ in range(height):
        row.clear()
        while True:
            count, value = file[at], file[at + 1]
            at += 2
            if count:
                row += _run(value, count) if is_4_bit else bytes((value,)) * count
            elif value > 2:
                nbytes = (value + 1) // 2 if is_4_bit else value
                packed = file[at : at + nbytes]
                row += b"".join(_run(each, 2) for each in packed)[:value] if is_4_bit else packed
                at += nbytes + nbytes % 2
            elif value == 2:
                return None
            else:
                at -= 2 * value
                break
            if len(row) > width:
                return None
        if len(row) != width:
            return None
        rows += row + padding
    return bytes(rows)


def _run(value: int, count: int) -> bytes:
    """Return pixels of four bits that are two in turn."""
    return (bytes((value >> 4, value & 15)) * (count // 2 + 1))[:count]

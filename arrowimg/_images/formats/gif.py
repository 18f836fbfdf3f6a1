"""GIF: blocks, by https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

from __future__ import annotations

import struct

from arrowimg._images.formats.content import (
    Bytes,
    Content,
    corrupt,
    refuse_size,
    truncated,
    unsupported,
)

_SCREEN_NBYTES = 13
_DESCRIPTOR_NBYTES = 10
_EXTENSION, _DESCRIPTOR, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
_HAS_PALETTE = 0x80
_LONGEST_CODE_STRING = 2**12


def read_gif(data: memoryview, max_pixels: int) -> Content:
    """Return the first frame, laid on the logical screen.

    The picture is the screen, or as much as the frame takes, where that is more. What stands
    behind the first frame is left alone, also its absence.
    """
    try:
        return _read(data, max_pixels)
    except (IndexError, struct.error) as error:
        raise truncated(data, "its first frame") from error


def _read(data: memoryview, max_pixels: int) -> Content:
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    at = _SCREEN_NBYTES + _palette_nbytes(flags)
    parts: list[Bytes] = [data[:at]]
    num_colours = _num_colours(flags)
    control: Bytes = b""
    while data[at] == _EXTENSION:
        end = _after_blocks(data, at + 2)
        if data[at + 1] == _GRAPHIC_CONTROL:
            control = data[at:end]
        at = end
    if data[at] == _TRAILER:
        raise corrupt("a GIF without a picture")
    if data[at] != _DESCRIPTOR:
        raise corrupt(f"a GIF block {data[at]:#x} at byte {at:,}")
    left, top, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
    start = at + _DESCRIPTOR_NBYTES + _palette_nbytes(flags)
    num_colours = _num_colours(flags) or num_colours
    if not (width and height):
        raise corrupt(f"a GIF frame of {height} x {width} pixels")
    picture_width = max(screen_width, left + width)
    picture_height = max(screen_height, top + height)
    refuse_size(picture_height, picture_width, max_pixels)
    if not num_colours:
        raise unsupported("a GIF without a palette: its colours are nowhere stated")
    if not 1 <= data[start] <= 8:
        raise corrupt(f"GIF codes of {data[start]} bits")
    end = _after_blocks(data, start + 1)
    return Content(
        picture_width,
        picture_height,
        [*parts, control, data[at:end], b";"],
        channels=1,
        num_colours=num_colours,
        most_nbytes=(end - start) * _LONGEST_CODE_STRING,
        least_nbytes=width * height,
    )


def _palette_nbytes(flags: int) -> int:
    return 3 * _num_colours(flags)


def _num_colours(flags: int) -> int:
    return 2 << (flags & 7) if flags & _HAS_PALETTE else 0


def _after_blocks(data: memoryview, at: int) -> int:
    """Return where the chain of data blocks that begins at `at` has ended."""
    while data[at]:
        at += data[at] + 1
    return at + 1

"""PNG: chunks, by https://www.w3.org/TR/png-3/."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from arrowimg._images.formats.content import (
    Bytes,
    Content,
    corrupt,
    exif_orientation,
    refuse_size,
    truncated,
    unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE_NBYTES = 8
_GRAY, _RGB, _PALETTE = 0, 2, 3
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TRANSPARENCY_NBYTES = {_GRAY: 2, _RGB: 6}
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_ONCE = (b"IHDR", b"PLTE", b"tRNS", b"IEND")
_ZLIB_HEADER = b"\x78\x01"
_BLOCK_NBYTES = 2**16 - 1
_MOST_FILTER = 4
_INTERLACE = 20
_PASSES = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]
"""Where the pixels of Adam7's passes begin, from the left and the top, and how far apart."""

_MOST_CHUNKS = 2**20
_MOST_EXPANSION = 1032
"""Bytes that one byte of deflate can give, at most."""


class Chunk(Struct, frozen=True):
    """One chunk: its kind, its data, and itself as a whole, length and checksum included."""

    kind: bytes
    data: memoryview
    whole: memoryview


def read_png(data: memoryview, max_pixels: int) -> Content:
    """Return the default image, without what is not needed to decode it.

    Of an animated PNG, that is the picture that viewers without animation show. Chunks are cut off
    at the first IEND; what stands behind is left alone.
    """
    chunks = list(_chunks(data))
    _check_order([chunk.kind for chunk in chunks])
    _check_header(chunks[0].data, max_pixels)
    return _content(data, chunks)


def check_checksums(content: Content) -> None:
    """Refuse a file of which a chunk is not what its checksum says.

    Also one that decoders do not need: a file with a wrong bit is not the one that was made.

    Raises
    ------
    BadFileError
        When a checksum is wrong.
    """
    for whole in content.chunks:
        if zlib.crc32(whole[4:-4]) != int.from_bytes(whole[-4:]):
            raise corrupt(f"a PNG chunk {bytes(whole[4:8])!r} of another checksum")


def with_sound_pixels(content: Content) -> Content:
    """Return a PNG with its pixels not compressed, once these are known to be all there.

    Decoders take fewer rows without a word, and more of them too.

    Raises
    ------
    BadFileError
        When a checksum is wrong, or the pixels are not as many as the header says.
    """
    check_checksums(content)
    is_pixels = [part[4:8] == b"IDAT" for part in content.parts]
    packed = zip(content.parts, is_pixels, strict=True)
    stream = b"".join(part[8:-4] for part, is_one in packed if is_one)
    inflater = zlib.decompressobj()
    rows = inflater.decompress(stream, content.least_nbytes + 1)
    if len(rows) != content.least_nbytes or not inflater.eof:
        found = f"{len(rows):,} bytes of pixels, of {content.least_nbytes:,}"
        raise corrupt(f"a PNG with {found}, whose end is {'' if inflater.eof else 'not '}there")
    _check_filters(content, rows)
    first = is_pixels.index(True)
    last = first + sum(is_pixels)
    parts = [*content.parts[:first], *_stored(rows), *content.parts[last:]]
    return replace(content, parts=parts, chunks=())


def _stored(rows: bytes) -> list[Bytes]:
    """Return the parts of a chunk IDAT whose blocks are not compressed, RFC 1951, 3.2.4."""
    blocks: list[Bytes] = [b"IDAT", _ZLIB_HEADER]
    view = memoryview(rows)
    for at in range(0, len(rows), _BLOCK_NBYTES):
        block = view[at : at + _BLOCK_NBYTES]
        is_last = at + len(block) == len(rows)
        blocks += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    blocks.append(zlib.adler32(rows).to_bytes(4))
    checksum = 0
    for part in blocks:
        checksum = zlib.crc32(part, checksum)
    nbytes = sum(map(len, blocks)) - 4
    return [nbytes.to_bytes(4), *blocks, checksum.to_bytes(4)]


def _check_filters(content: Content, rows: bytes) -> None:
    start = 0
    for num_rows, nbytes in _row_sizes(content.parts[1]):
        end = start + num_rows * nbytes
        if max(rows[start:end:nbytes], default=0) > _MOST_FILTER:
            raise corrupt("a PNG row of an unknown filter")
        start = end


def _row_sizes(header: Bytes) -> list[tuple[int, int]]:
    """Return the number of rows, and the bytes of each with its filter, of every pass."""
    width, height, depth, color_type = struct.unpack_from(">IIBB", header, 8)
    is_interlaced = header[_INTERLACE]
    sizes = [
        ((height - top + down - 1) // down, (width - left + across - 1) // across)
        for left, top, across, down in (_PASSES if is_interlaced else [(0, 0, 1, 1)])
    ]
    bits = depth * _SAMPLES[color_type]
    return [(rows, 1 + (columns * bits + 7) // 8) for rows, columns in sizes if rows and columns]


def _joined(kind: bytes, content: bytes) -> bytes:
    return b"".join(
        [
            struct.pack(">I", len(content)),
            kind,
            content,
            struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))),
        ]
    )


def _chunks(data: memoryview) -> Iterator[Chunk]:
    at = _SIGNATURE_NBYTES
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            raise truncated(data, "its chunks")
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha():
            raise corrupt(f"a PNG chunk called {kind!r}")
        if at == _SIGNATURE_NBYTES and kind != b"IHDR":
            raise corrupt("a PNG that does not start with IHDR")
        end = at + 12 + length
        if end > len(data):
            raise truncated(data, f"a chunk {kind.decode()} of {length:,} bytes")
        yield Chunk(kind, data[at + 8 : end - 4], data[at:end])
        if kind == b"IEND":
            return
        at = end
    raise corrupt(f"a PNG of more than {_MOST_CHUNKS:,} chunks")


def _check_order(kinds: list[bytes]) -> None:
    for kind in kinds:
        if kind[:1].isupper() and kind not in _KEPT:
            raise unsupported(f"a critical PNG chunk {kind.decode()}")
    if any(kinds.count(kind) > 1 for kind in _ONCE):
        raise corrupt("a PNG chunk twice that may stand once")
    if b"IDAT" not in kinds:
        raise corrupt("a PNG without IDAT")
    first = kinds.index(b"IDAT")
    if set(kinds[first : first + kinds.count(b"IDAT")]) != {b"IDAT"}:
        raise corrupt("IDAT chunks with others between them")
    late = {b"PLTE", b"tRNS"}.intersection(kinds[first:])
    if late:
        raise corrupt(f"a PNG chunk {late.pop().decode()} behind the pixels")


def _check_header(header: memoryview, max_pixels: int) -> None:
    if len(header) != 13:
        raise corrupt(f"a PNG header of {len(header):,} bytes")
    depth, color_type, compression, filtering, interlace = header[8:13]
    if depth not in _DEPTHS.get(color_type, ()):
        raise corrupt(f"a PNG of colour type {color_type} with {depth} bits")
    if compression or filtering or interlace > 1:
        raise corrupt("a PNG of an unknown compression, filter or interlace method")
    width, height = struct.unpack_from(">II", header)
    if not (width and height):
        raise corrupt(f"a PNG of {height} x {width} pixels")
    refuse_size(height, width, max_pixels)


def _content(data: memoryview, chunks: list[Chunk]) -> Content:
    width, height, depth, color_type = struct.unpack_from(">IIBB", chunks[0].data)
    found = {chunk.kind: chunk.data for chunk in reversed(chunks)}
    num_colours = len(found.get(b"PLTE", b"")) // 3
    _check_palette(found, color_type, depth)
    transparency = _transparency(found, color_type, depth)
    parts: list[Bytes] = [data[:_SIGNATURE_NBYTES]]
    for chunk in chunks:
        if chunk.kind == b"tRNS":
            parts += [transparency or chunk.whole] if color_type in (_GRAY, _RGB, _PALETTE) else []
        elif chunk.kind in _KEPT:
            parts.append(chunk.whole)
    idat_nbytes = sum(len(chunk.data) for chunk in chunks if chunk.kind == b"IDAT")
    first = [chunk.kind for chunk in chunks].index(b"IDAT")
    # Behind the pixels it is out of its place, and nobody reads it.
    stated = next((chunk.data for chunk in chunks[:first] if chunk.kind == b"iCCP"), b"")
    name, _, profile = bytes(stated).partition(b"\0")
    return Content(
        width,
        height,
        parts,
        [chunk.whole for chunk in chunks],
        channels=_SAMPLES[color_type],
        depth=depth,
        num_colours=num_colours if color_type == _PALETTE else 0,
        most_nbytes=_MOST_EXPANSION * (idat_nbytes + 1),
        least_nbytes=sum(rows * nbytes for rows, nbytes in _row_sizes(chunks[0].whole)),
        orientation=exif_orientation(found.get(b"eXIf", b"")),
        profile=profile[1:] if name else None,
    )


def _check_palette(found: dict[bytes, memoryview], color_type: int, depth: int) -> None:
    palette, transparency = found.get(b"PLTE"), found.get(b"tRNS", b"")
    if color_type == _PALETTE:
        if palette is None or len(palette) % 3 or not 0 < len(palette) <= 3 * 2**depth:
            raise corrupt("a PNG without a palette of its depth")
        if len(transparency) > len(palette) // 3:
            raise corrupt("a PNG with more transparent colours than colours")
    elif transparency and len(transparency) != _TRANSPARENCY_NBYTES.get(
        color_type, len(transparency)
    ):
        raise corrupt("a PNG with a transparent colour of the wrong size")
    elif transparency and depth == 16 and color_type in _TRANSPARENCY_NBYTES:
        raise unsupported("a PNG of 16 bits with a transparent colour")


def _transparency(found: dict[bytes, memoryview], color_type: int, depth: int) -> bytes | None:
    """Return the chunk as decoders need it that scale gray values to 8 bits; else None."""
    if color_type != _GRAY or depth not in (2, 4) or b"tRNS" not in found:
        return None
    value = int.from_bytes(found[b"tRNS"]) % 2**depth * 255 // (2**depth - 1)
    return _joined(b"tRNS", value.to_bytes(2))

"""WebP: RIFF chunks, by RFC 9649."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING

from msgspec import Struct

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

_HEADER_NBYTES = 12
_FRAME_HEADER_NBYTES = 16
_ANIMATION, _EXIF, _ALPHA, _PROFILE = 0x02, 0x08, 0x10, 0x20
_PICTURES = (b"VP8 ", b"VP8L")
_ONCE = (b"VP8X", b"ANIM", b"ALPH", b"VP8 ", b"VP8L", b"ICCP", b"EXIF")
_MOST_CHUNKS = 2**20


class _Chunk(Struct, frozen=True):
    kind: bytes
    data: memoryview
    whole: memoryview


def read_webp(data: memoryview, max_pixels: int) -> Content:
    """Return the picture, or the first frame of an animation on its canvas."""
    (nbytes,) = struct.unpack_from("<I", data, 4)
    if 8 + nbytes > len(data):
        raise truncated(data, f"a WebP of {8 + nbytes:,} bytes")
    chunks = _read_chunks(data[: 8 + nbytes], _HEADER_NBYTES)
    if not chunks:
        raise corrupt("a WebP without chunks")
    kinds = [chunk.kind for chunk in chunks]
    if any(kinds.count(kind) > 1 for kind in _ONCE) or b"VP8X" in kinds[1:]:
        raise corrupt("a WebP chunk twice, or late, that may stand once")
    if chunks[0].kind in _PICTURES:
        size = _picture_size(chunks[0])
        refuse_size(size[1], size[0], max_pixels)
        return _content(size, [chunks[0]], [])
    if chunks[0].kind != b"VP8X":
        raise corrupt(f"a WebP that starts with a chunk {chunks[0].kind!r}")
    return _read_extended(chunks, max_pixels)


def _read_extended(chunks: list[_Chunk], max_pixels: int) -> Content:
    header = chunks[0].data
    if len(header) != 10:
        raise corrupt(f"a WebP header of {len(header):,} bytes")
    canvas = _number24(header, 4) + 1, _number24(header, 7) + 1
    refuse_size(canvas[1], canvas[0], max_pixels)
    flags = header[0] & (_ANIMATION | _ALPHA)
    extended = _chunk(b"VP8X", bytes((flags, 0, 0, 0)) + bytes(header[4:10]))
    if not flags & _ANIMATION:
        picture = _picture_of(chunks[1:], canvas)
        return _content(canvas, [extended, *picture], _stated(chunks))
    control, frame = _first(chunks, b"ANIM"), _first(chunks, b"ANMF")
    if control is None or frame is None or len(control.data) != 6:
        raise corrupt("an animated WebP without a frame")
    inner = _read_chunks(frame.data, _FRAME_HEADER_NBYTES)
    left, top, width, height = (_number24(frame.data, at) for at in (0, 3, 6, 9))
    if 2 * left + width + 1 > canvas[0] or 2 * top + height + 1 > canvas[1]:
        raise corrupt("a WebP frame that reaches beyond its canvas")
    if chunks.index(control) > chunks.index(frame):
        raise corrupt("an animated WebP whose control is behind a frame")
    picture = _picture_of(inner, (width + 1, height + 1))
    body = b"".join([frame.data[:_FRAME_HEADER_NBYTES], *(chunk.whole for chunk in picture)])
    return _content(canvas, [extended, control, _chunk(b"ANMF", body)], _stated(chunks))


def _picture_of(chunks: list[_Chunk], stated: tuple[int, int]) -> list[_Chunk]:
    """Return the chunks of a picture, alpha first, whose size is the stated one."""
    picture = next((chunk for chunk in chunks if chunk.kind in _PICTURES), None)
    if picture is None:
        raise corrupt("a WebP without a picture")
    size = _picture_size(picture)
    if size != stated:
        raise corrupt(f"a WebP that states {stated} pixels, of a picture of {size}")
    alpha = _first(chunks, b"ALPH")
    if alpha is None or picture.kind != b"VP8 ":
        return [picture]
    if chunks.index(alpha) > chunks.index(picture):
        raise corrupt("a WebP whose alpha is behind the picture")
    return [alpha, picture]


def _picture_size(chunk: _Chunk) -> tuple[int, int]:
    data = chunk.data
    if chunk.kind == b"VP8 ":
        if len(data) < 10 or data[0] & 1 or bytes(data[3:6]) != b"\x9d\x01\x2a":
            raise corrupt("a lossy WebP without a key frame")
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 6))
        if not (width and height):
            raise corrupt("a WebP without pixels")
        return width, height
    if len(data) < 5 or data[0] != 0x2F:
        raise corrupt("a lossless WebP without its signature")
    (bits,) = struct.unpack_from("<I", data, 1)
    if bits >> 29:
        raise unsupported(f"a lossless WebP of version {bits >> 29}")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _states_alpha(picture: _Chunk) -> bool:
    """Tell whether a picture without a header of its own says that it has alpha."""
    return picture.kind == b"VP8L" and bool(picture.data[4] & 0x10)


def _stated(chunks: list[_Chunk]) -> list[_Chunk]:
    """Return the chunks of metadata that the header says are there; decoders read no others."""
    wanted = {b"EXIF": _EXIF, b"ICCP": _PROFILE}
    return [chunk for chunk in chunks if chunks[0].data[0] & wanted.get(chunk.kind, 0)]


def _content(size: tuple[int, int], kept: list[_Chunk], metadata: list[_Chunk]) -> Content:
    parts: list[Bytes] = [chunk.whole for chunk in kept]
    first = kept[0]
    has_alpha = first.data[0] & _ALPHA if first.kind == b"VP8X" else _states_alpha(first)
    nbytes = 4 + sum(map(len, parts))
    exif, profile = _first(metadata, b"EXIF"), _first(metadata, b"ICCP")
    return Content(
        *size,
        [b"RIFF" + struct.pack("<I", nbytes) + b"WEBP", *parts],
        channels=4 if has_alpha else 3,
        orientation=exif_orientation(exif.data) if exif else 1,
        profile=profile.data if profile else None,
    )


def _read_chunks(data: memoryview, at: int) -> list[_Chunk]:
    chunks = list(itertools.islice(_chunks(data, at), _MOST_CHUNKS + 1))
    if len(chunks) > _MOST_CHUNKS:
        raise corrupt(f"a WebP of more than {_MOST_CHUNKS:,} chunks")
    return chunks


def _chunks(data: memoryview, at: int) -> Iterator[_Chunk]:
    # Fewer than eight bytes are no chunk: some writers pad.
    while at + 8 <= len(data):
        kind, nbytes = struct.unpack_from("<4sI", data, at)
        end = at + 8 + nbytes
        if end + nbytes % 2 > len(data):
            raise truncated(data, f"a chunk {kind!r} of {nbytes:,} bytes")
        yield _Chunk(kind, data[at + 8 : end], memoryview(_padded(data[at:end])))
        at = end + nbytes % 2


def _chunk(kind: bytes, content: bytes) -> _Chunk:
    whole = _padded(kind + struct.pack("<I", len(content)) + content)
    return _Chunk(kind, memoryview(content), memoryview(whole))


def _padded(chunk: Bytes) -> Bytes:
    return bytes(chunk) + b"\0" if len(chunk) % 2 else chunk


def _first(chunks: list[_Chunk], kind: bytes) -> _Chunk | None:
    return next((chunk for chunk in chunks if chunk.kind == kind), None)


def _number24(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")

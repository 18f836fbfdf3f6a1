"""Sound files to damaged ones: a seed gives one file, always the same."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import TypeAlias

NUMBERS = [0, 1, 2, 3, 7, 8, 16, 255, 256, 4095, 20_000, 32_767, 65_500, 65_535, 2**24]
ODD_SEGMENTS = [b"\xff\x00", b"\xff", b"\xff\xd0", b"\xff\x01", b"\xff\xd9", b"\xff\xd8"]
ODD_SEGMENTS += [b"\xff\xdc\x00\x04\x00\x10", b"\xff\xfe\x00\x00", b"\xff\xe5\x00\x01", b"\x00"]
NUMBERS += [2**31 - 1, 2**32 - 1]


def mutated(files: dict[str, list[bytes]], seed: int) -> tuple[str, bytes]:
    """Return the format and the bytes of a damaged file."""
    choose = random.Random(seed)  # noqa: S311  # a corpus is no secret
    kind = sorted(files)[seed % len(files)]
    data = choose.choice(files[kind])
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        change = choose.choice([*ANY, *OF_FORMAT[kind] * 3])
        data = change(data, choose, files[kind])
    return kind, data


def flip_bits(data: bytes, choose: random.Random, others: list[bytes]) -> bytes:
    del others
    changed = bytearray(data)
    for _ in range(choose.choice((1, 1, 2, 8))):
        if changed:
            changed[place(data, choose)] ^= 1 << choose.randrange(8)
    return bytes(changed)


def place(data: bytes, choose: random.Random) -> int:
    """Return a place, half of the time near the start, where headers are."""
    return choose.randrange(min(len(data), choose.choice((64, 512, len(data)))) or 1) if data else 0


def cut(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    return data[: choose.randrange(len(data) + 1)]


def pierce(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    at = place(data, choose)
    return data[:at] + data[at + choose.choice((1, 2, 4, 100)) :]


def repeat(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    at = place(data, choose)
    return data[:at] + data[at : at + choose.choice((1, 12, 100))] + data[at:]


def splice(data: bytes, choose: random.Random, others: list[bytes]) -> bytes:
    other = choose.choice(others)
    return data[: place(data, choose)] + other[place(other, choose) :]


def number(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    at, code = place(data, choose), choose.choice(("<H", ">H", "<I", ">I"))
    value = choose.choice(NUMBERS) % 2 ** (8 * struct.calcsize(code))
    return data[:at] + struct.pack(code, value) + data[at + struct.calcsize(code) :]


def wipe(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    at, length = place(data, choose), choose.choice((8, 64, 512))
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def edit_list(parts: list[bytes], choose: random.Random) -> list[bytes]:
    """Return parts of which one is gone, twice there, moved, or damaged."""
    if not parts:
        return parts
    at, to = choose.randrange(len(parts)), choose.randrange(len(parts))
    how = choose.randrange(4)
    if how == 0:
        return parts[:at] + parts[at + 1 :]
    if how == 1:
        return [*parts[:to], parts[at], *parts[to:]]
    if how == 2:
        parts[at], parts[to] = parts[to], parts[at]
        return parts
    parts[at] = choose.choice((flip_bits, number, cut, wipe))(parts[at], choose, [])
    return parts


def edit_png(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    """Return a PNG with a changed chunk, whose checksum is right."""
    at, chunks = 8, list[bytes]()
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    chunks = edit_list(chunks, choose)
    lied = choose.choice((0, 0, 0, 1, 2**31 - 9))
    return data[:8] + b"".join(
        struct.pack(">I", (len(it) - 4 + lied * (choose.random() < 0.2)) % 2**32)
        + it
        + struct.pack(">I", zlib.crc32(it))
        for it in chunks
    )


def edit_header_png(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    header = bytearray(data[12:29])
    if len(header) < 17:
        return data
    at = choose.choice((4, 8, 12, 13, 16))
    if at < 12:
        header[at : at + 4] = struct.pack(">I", choose.choice((1, 100, 9000, 60_000)))
    else:
        header[at] = choose.choice((0, 1, 2, 3, 4, 6, 8, 16))
    return data[:12] + bytes(header) + struct.pack(">I", zlib.crc32(header)) + data[33:]


def edit_jpeg(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    """Return a JPEG with a changed segment, or an odd one between two."""
    at, segments = 2, list[bytes]()
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4])
        segments.append(data[at : at + length])
        at += length
    if choose.random() < 0.5:
        odd = choose.choice(ODD_SEGMENTS)
        segments.insert(choose.randrange(len(segments) + 1), odd)
    else:
        segments = edit_list(segments, choose)
    return data[:2] + b"".join(segments) + data[at:]


def edit_frame_jpeg(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    if at < 0:
        return data
    changed = bytearray(data)
    changed[at + choose.randrange(1, 12)] = choose.randrange(256)
    return bytes(changed)


def edit_tiff(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    """Return a TIFF with a changed entry in its directory, or one entry in another's place."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        changed = bytearray(data)
        at, to = (start + 2 + 12 * choose.randrange(max(count, 1)) for _ in range(2))
        how = choose.randrange(4)
        if how == 0:
            changed[to : to + 12] = data[at : at + 12]
        elif how == 1:
            struct.pack_into(f"{order}I", changed, at + 8, choose.choice(NUMBERS))
        elif how == 2:
            struct.pack_into(f"{order}H", changed, at + 8, choose.choice(NUMBERS) % 2**16)
        else:
            struct.pack_into(
                f"{order}HI", changed, at + 2, choose.randrange(15), choose.choice(NUMBERS)
            )
    except struct.error:
        return data
    return bytes(changed[: len(data)])


def edit_webp(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    at, chunks = 12, list[bytes]()
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        chunks.append(data[at : at + 8 + length + length % 2])
        at += 8 + length + length % 2
    body = b"".join(edit_list(chunks, choose))
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def edit_header(data: bytes, choose: random.Random, _: list[bytes]) -> bytes:
    """Return a file with a changed number among its first 64 bytes."""
    at = choose.randrange(2, 64)
    size = choose.choice((1, 2, 4))
    value: int = choose.choice(NUMBERS) % 2 ** (8 * size)
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


Change: TypeAlias = Callable[[bytes, random.Random, list[bytes]], bytes]
ANY: list[Change] = [flip_bits, cut, pierce, repeat, splice, number, wipe]
OF_FORMAT: dict[str, list[Change]] = {
    "JPEG": [edit_jpeg, edit_frame_jpeg],
    "PNG": [edit_png, edit_header_png],
    "TIFF": [edit_tiff],
    "WEBP": [edit_webp, edit_header],
    "GIF": [edit_header],
    "BMP": [edit_header],
}

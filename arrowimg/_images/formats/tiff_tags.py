"""TIFF directories: read with every bound checked, and written anew."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from arrowimg._images.formats.content import BadFileError, corrupt, truncated

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WHOLE_NUMBERS = {3: "H", 4: "I"}
_MOST_NUMBERS = 2**20


class Tags:
    """The entries of a directory; values are read, and believed, when they are asked for.

    Attributes
    ----------
    order
        ``"<"`` or ``">"``.
    """

    def __init__(self, data: memoryview, order: str, start: int) -> None:
        self.order = order
        self._data = data
        self._entries: dict[int, list[int]] = {}
        (num_tags,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * num_tags, 12):
            tag, kind, count, start = struct.unpack_from(f"{order}HHII", data, at)
            nbytes = count * _SIZES.get(kind, 0)
            if nbytes > 4 and start + nbytes > len(data):
                raise truncated(data, f"tag {tag}, {nbytes:,} bytes")
            self._entries.setdefault(tag, []).append(at)

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def number(self, tag: int, default: int | None = None) -> int:
        """Return the one value of a tag.

        Raises
        ------
        BadFileError
            When it has none or several, and when the tag is twice there or, without a default,
            not at all.
        """
        values = self.numbers(tag, None if default is None else (default,))
        if len(values) != 1:
            raise corrupt(f"a TIFF tag {tag} of {len(values):,} values")
        return values[0]

    def numbers(self, tag: int, default: tuple[int, ...] | None) -> tuple[int, ...]:
        """Return the values of a tag.

        Raises
        ------
        BadFileError
            When these are no whole numbers, or do not stand in the file, and when the tag is twice
            there or, without a default, not at all.
        """
        if tag not in self._entries and default is not None:
            return default
        kind, count, raw = self._value(tag)
        if kind not in _WHOLE_NUMBERS or count > _MOST_NUMBERS:
            raise corrupt(f"a TIFF tag {tag} of {count:,} values of type {kind}")
        return struct.unpack(f"{self.order}{count}{_WHOLE_NUMBERS[kind]}", raw)

    def raw(self, tag: int) -> memoryview | None:
        """Return the bytes of a tag, a view; None where it is not there, or twice."""
        try:
            return self._value(tag)[2] if tag in self._entries else None
        except BadFileError:
            return None

    def plain(self, tag: int) -> tuple[int, bytes]:
        """Return a tag's type and bytes, for `directory`.

        Raises
        ------
        BadFileError
            When the bytes do not stand in the file, or the tag is twice there.
        """
        kind, _, raw = self._value(tag)
        return kind, bytes(raw)

    def _value(self, tag: int) -> tuple[int, int, memoryview]:
        places = self._entries.get(tag, [])
        if len(places) != 1:
            # Readers differ in which of two they believe, so a bomb could hide behind the other.
            found = f"a TIFF that states tag {tag} {len(places)} times"
            raise corrupt(found)
        at = places[0]
        kind, count = struct.unpack_from(f"{self.order}HI", self._data, at + 2)
        if kind not in _SIZES or not count:
            raise corrupt(f"a TIFF tag {tag} of type {kind}, {count:,} values")
        nbytes = count * _SIZES[kind]
        start = at + 8
        if nbytes > 4:
            (start,) = struct.unpack_from(f"{self.order}I", self._data, at + 8)
        return kind, count, self._data[start : start + nbytes]


def read_tags(data: memoryview) -> Tags:
    """Return the first directory.

    Raises
    ------
    struct.error
        When the data ends before the directory does.
    BadFileError
        When it ends before one of its values does.
    """
    order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    return Tags(data, order, start)


def directory(order: str, start: int, entries: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Return a directory of (tag, type, bytes), and its values, to be put at byte `start`."""
    ordered = sorted(entries)
    values_at = start + 2 + 12 * len(ordered) + 4
    lines, values = [struct.pack(f"{order}H", len(ordered))], bytearray()
    for tag, kind, raw in ordered:
        line = struct.pack(f"{order}HHI", tag, kind, len(raw) // _SIZES[kind])
        if len(raw) > 4:
            lines.append(line + struct.pack(f"{order}I", values_at + len(values)))
            values += raw + bytes(len(raw) % 2)
        else:
            lines.append(line + raw.ljust(4, b"\0"))
    return b"".join([*lines, bytes(4), values])

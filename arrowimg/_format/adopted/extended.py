"""What PAX and GNU tar say of a member in headers of their own before it."""

from __future__ import annotations

import re

from msgspec import Struct

_RECORD = re.compile(rb"([0-9]{1,20}) ([^=]+)=")
_OF_INTEREST = (b"path", b"size", b"GNU.sparse.")

MOST_NBYTES = 2**20
"""Of an extended header; a path is at most 4,096 bytes long."""


class Extension(Struct, frozen=True):
    """What extended headers say of the members after them.

    Attributes
    ----------
    name
        In place of the header's; None where it is that.
    size
        In place of the header's.
    is_sparse
        True: the data in the tar is not that of the file.
    """

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False

    def over(self, other: Extension) -> Extension:
        """Return what both say together; what this one says counts more."""
        return Extension(
            other.name if self.name is None else self.name,
            other.size if self.size is None else self.size,
            self.is_sparse or other.is_sparse,
        )


def parse_pax(data: bytes) -> Extension:
    """Return what the records of a PAX header say; records that are none end it."""
    if not any(key in data for key in _OF_INTEREST):
        return Extension()
    records, at = dict[bytes, bytes](), 0
    while (match := _RECORD.match(data, at)) is not None:
        end = at + int(match[1])
        if end <= match.end() or end > len(data):
            break
        records[match[2]] = data[match.end() : end - 1]
        at = end
    size = records.get(b"size", b"")
    return Extension(
        records.get(b"GNU.sparse.name") or records.get(b"path") or None,
        int(size) if size.isdigit() and len(size) < 16 else None,
        any(key.startswith(b"GNU.sparse.") for key in records),
    )


def parse_long_name(data: bytes) -> Extension:
    """Return the name that a header of GNU tar holds."""
    return Extension(name=data.partition(b"\0")[0])

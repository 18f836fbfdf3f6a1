"""Reading tars back: members and where they are, or what is wrong with the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from arrowimg._format.tar import BLOCK, END_OF_ARCHIVE, MAX_NAME_LENGTH, SIZE_DIGITS, tar_header

if TYPE_CHECKING:
    from collections.abc import Iterator

_EMPTY_BLOCK = bytes(BLOCK)


class Reads(Protocol):
    """What a reader of a tar needs of a file."""

    def read(self, nbytes: int, /) -> bytes:
        """Read so many bytes, or those that are left."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position, which is returned."""
        ...


class TarMember(Struct, frozen=True):
    """A member whose header is, byte for byte, what arrowimg writes.

    Attributes
    ----------
    name
        Of the member.
    offset
        Where its data starts.
    size
        Of its data, in bytes.
    """

    name: str
    offset: int
    size: int


def read_members(file: Reads) -> Iterator[TarMember | str]:
    """Yield the members of a tar in order, and a sentence for each thing that is wrong.

    Only tars that `TarWriter` makes are in order: plain headers, zeros for padding, two zero
    blocks and nothing behind them. Reading ends at the first header that cannot be read, since
    nothing tells where the next one is.

    When a member comes, the file is at its data. No data is read here, whatever its size.
    """
    nbytes, at = file.seek(0, 2), file.seek(0)
    while at + BLOCK <= nbytes and (header := file.read(BLOCK)) != _EMPTY_BLOCK:
        member = _member(header, at)
        if member is None:
            yield f"the header at byte {at:,} is not what was written"
            return
        end = member.offset + member.size
        if end > nbytes:
            yield f"{member.name} ends behind the end of the archive"
            return
        yield member
        at = file.seek(end) + -end % BLOCK
        if any(file.read(at - end)):
            yield f"{member.name} is followed by something else than zeros"
    file.seek(at)
    if file.read(len(END_OF_ARCHIVE) + 1) != END_OF_ARCHIVE:
        yield f"the end mark at byte {at:,} is not two blocks of zeros"


def _member(header: bytes, at: int) -> TarMember | None:
    try:
        name = header[:MAX_NAME_LENGTH].rstrip(b"\0").decode("ascii")
        size = int(header[SIZE_DIGITS], 8)
    except ValueError:
        return None
    if header != tar_header(name, size):
        return None
    return TarMember(name, at + BLOCK, size)

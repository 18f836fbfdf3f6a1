"""Tars against what their sidecars say: read once, a megabyte at a time, whatever their size."""

from __future__ import annotations

from itertools import chain
from typing import IO, TYPE_CHECKING, Any

import pyarrow.compute as pc
from msgspec import UNSET, Struct

from arrowimg._core.checksums import checksum, new_hasher
from arrowimg._dataset.adopt.checks import check_adopted_tar
from arrowimg._dataset.folder import advice_on_tars
from arrowimg._dataset.report import Damage, DamageKind, Depth
from arrowimg._dataset.sidecars import rows_of_picture
from arrowimg._format.layout import picture_names
from arrowimg._format.members import is_picture
from arrowimg._format.tar_reader import Reads, TarMember, read_members
from arrowimg._images.codec.decode import decoded_size
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from arrowimg._format.sidecar import Footer
    from arrowimg._storage.base import Storage

_READ_NBYTES = 2**20
_ROWS_AT_ONCE = 1024


class _Found(Struct, frozen=True):
    """A member where a row says that its picture is.

    Attributes
    ----------
    member
        Its name and where it is.
    digest
        Checksum of its bytes.
    picture
        Height and width, or why it is none; None where it was not decoded.
    """

    member: TarMember
    digest: bytes
    picture: tuple[int, ...] | Problem | None = None


class _HashedFile:
    """A file whose every byte is hashed the first time that a reader comes past it.

    Parameters
    ----------
    file
        At its start.
    """

    def __init__(self, file: IO[bytes], footer: Footer) -> None:
        self._file, self._hasher, self._hashed = file, new_hasher(footer.checksum_name), 0

    def read(self, nbytes: int) -> bytes:
        """Read from where the file is."""
        at = self._file.tell()
        data = self._file.read(nbytes)
        if at <= self._hashed < at + len(data):
            self._hasher.update(memoryview(data)[self._hashed - at :])
            self._hashed = at + len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position; what is passed over on the way there is read."""
        self._file.seek(self._hashed)
        while whence == 0 and self._hashed < offset:
            if not self.read(min(_READ_NBYTES, offset - self._hashed)):
                break
        return self._file.seek(offset, whence)

    def digest(self) -> bytes:
        """Return the checksum of all bytes; those that are left are read."""
        self._file.seek(self._hashed)
        while self.read(_READ_NBYTES):
            pass
        return self._hasher.digest()


def check_tar(storage: Storage, footer: Footer, rows: pa.Table, depth: Depth) -> Iterator[Damage]:
    """Yield the damages of a shard's tar, given the rows of its sidecar."""
    name, nbytes, stated = footer.tar_file, footer.tar_nbytes, footer.tar_checksum
    if depth == "quick":
        yield from check_file(storage, name, nbytes, stated, footer, depth)
        return
    if footer.adopted is not UNSET:
        yield from check_adopted_tar(storage, footer, rows, depth)
        return
    try:
        with storage.open(name) as file:
            yield from _check_open_tar(file, footer, rows, depth)
    except FileNotFoundError:
        yield Damage(name, None, DamageKind.MISSING, "its sidecar names it")
    except OSError as error:
        yield Damage(name, None, DamageKind.UNREADABLE, str(error))


def _check_open_tar(
    file: IO[bytes], footer: Footer, rows: pa.Table, depth: Depth
) -> Iterator[Damage]:
    """Go through a tar once, then through the rows."""
    name = footer.tar_file
    nbytes = file.seek(0, 2)
    yield from _check_size(name, footer.tar_nbytes, nbytes)
    hashed = _HashedFile(file, footer)
    pictures = _pictures(rows, footer)
    wanted = {offset: said for it in pictures for offset, said in _stated(it)}
    members, wrong, others = dict[int, _Found](), list[str](), list[Damage]()
    for found in read_members(hashed):
        if isinstance(found, str):
            wrong.append(found)
        elif found.offset in wanted:
            members[found.offset] = _look_at(hashed, footer, found, wanted[found.offset], depth)
        elif depth == "decode":
            others += _decode_other(hashed, name, found)
    # What is larger than stated is wrong by that alone; how large it is, others decided.
    if nbytes <= footer.tar_nbytes:
        yield from _check_checksum(name, footer.tar_checksum, hashed.digest().hex())
    for what in wrong:
        yield Damage(name, None, DamageKind.TAR, what)
    for batch in chain.from_iterable(it.to_batches(_ROWS_AT_ONCE) for it in pictures):
        for row in batch.to_pylist():
            if row["error"] is None:
                yield from _check_member(name, row, members.get(row["offset"]))
    yield from others


def _pictures(rows: pa.Table, footer: Footer) -> list[pa.Table]:
    """Return what rows say of the picture of all samples, and of each further one."""
    others = (rows_of_picture(rows, it) for it in picture_names(footer.options).values())
    return [rows, *(it.filter(pc.is_valid(it["offset"])) for it in others)]


def _stated(rows: pa.Table) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """Yield where pictures are said to begin, their bytes and checksums."""
    offsets, *stated = (rows[it].to_pylist() for it in ("offset", "size", "checksum"))
    return zip(offsets, zip(*stated, strict=True), strict=True)


def _decode_other(file: Reads, tar: str, member: TarMember) -> Iterator[Damage]:
    """Decode a member that a column was written to, and that readers take for a picture."""
    if not member.size or not is_picture(member.name):
        return
    decoded = decoded_size(memoryview(file.read(member.size)))
    if isinstance(decoded, Problem):
        yield Damage(tar, member.name, DamageKind.PICTURE, decoded.found)


def _look_at(
    file: Reads, footer: Footer, member: TarMember, stated: tuple[int, bytes], depth: Depth
) -> _Found:
    """Read the bytes of a member; a picture that is to be decoded in one piece."""
    if depth != "decode" or member.size != stated[0]:
        return _Found(member, digest_of(file, footer, member.size)[0])
    data = file.read(member.size)
    digest = checksum(data, footer.checksum_name)
    if digest != stated[1]:
        return _Found(member, digest)
    return _Found(member, digest, decoded_size(memoryview(data)))


def digest_of(file: Reads, footer: Footer, nbytes: int | None = None) -> tuple[bytes, int]:
    """Return the checksum of what comes next in a file, and its bytes; None: of all that comes."""
    hasher, read = new_hasher(footer.checksum_name), 0
    while data := file.read(_READ_NBYTES if nbytes is None else min(_READ_NBYTES, nbytes - read)):
        hasher.update(data)
        read += len(data)
    return hasher.digest(), read


def check_file(
    storage: Storage, name: str, nbytes: int, stated: str, footer: Footer, depth: Depth
) -> Iterator[Damage]:
    """Yield the damages of a file as a whole: its size, and its checksum where that is stated."""
    try:
        with storage.open(name) as file:
            found_nbytes = file.seek(0, 2)
            file.seek(0)
            # What is larger than stated is wrong by that alone; how large it is, others decided.
            is_read = depth != "quick" and found_nbytes <= nbytes
            found = digest_of(file, footer)[0].hex() if is_read else stated
    except FileNotFoundError:
        detail = f"its sidecar names it{advice_on_tars(storage, footer.adopted)}"
        yield Damage(name, None, DamageKind.MISSING, detail)
        return
    except OSError as error:
        yield Damage(name, None, DamageKind.UNREADABLE, str(error))
        return
    yield from _check_size(name, nbytes, found_nbytes)
    yield from _check_checksum(name, stated, found)


def _check_size(name: str, stated: int, found: int) -> Iterator[Damage]:
    if found != stated:
        yield Damage(name, None, DamageKind.SIZE, f"{stated:,} bytes stated, {found:,} there")


def _check_checksum(name: str, stated: str, found: str) -> Iterator[Damage]:
    if found != stated:
        yield Damage(name, None, DamageKind.CHECKSUM, f"{stated} stated, {found} there")


def _check_member(tar: str, row: dict[str, Any], found: _Found | None) -> Iterator[Damage]:
    name, offset, size = row["member_name"], row["offset"], row["size"]
    if found is None or (found.member.name, found.member.size) != (name, size):
        there = "none" if found is None else f"{found.member.name} of {found.member.size:,} bytes"
        detail = f"{size} bytes at {offset} stated, {there} there"
        yield Damage(tar, name, DamageKind.MEMBER, detail)
    elif found.digest != row["checksum"]:
        yield Damage(tar, name, DamageKind.CHECKSUM, "not the bytes that were written")
    elif isinstance(found.picture, Problem):
        yield Damage(tar, name, DamageKind.PICTURE, found.picture.found)
    elif found.picture not in (None, (row["height"], row["width"])):
        detail = f"{row['height']} x {row['width']} pixels stated, {found.picture} there"
        yield Damage(tar, name, DamageKind.PICTURE, detail)

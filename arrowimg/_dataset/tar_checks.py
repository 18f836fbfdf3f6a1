"""Tars against what their sidecars say: read once, a megabyte at a time, whatever their size."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from arrowimg._core.checksums import new_hasher
from arrowimg._dataset.report import Damage, DamageKind, Depth
from arrowimg._format.tar_reader import TarMember, read_members
from arrowimg._images.codec.decode import decode_rgb
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from arrowimg._format.sidecar import Footer
    from arrowimg._storage.base import Storage

_READ_NBYTES = 2**20
_ROWS_AT_ONCE = 1024


def check_tar(storage: Storage, footer: Footer, rows: pa.Table, depth: Depth) -> Iterator[Damage]:
    """Yield the damages of a shard's tar, given the rows of its sidecar."""
    name = footer.tar_file
    damages = list(check_file(storage, name, footer.tar_nbytes, footer.tar_checksum, footer, depth))
    yield from damages
    gone = (DamageKind.MISSING, DamageKind.UNREADABLE)
    if depth == "quick" or any(damage.kind in gone for damage in damages):
        return
    try:
        with storage.open(name) as file:
            yield from _check_members(file, footer, rows, depth)
    except OSError as error:
        yield Damage(name, None, DamageKind.UNREADABLE, str(error))


def _check_members(
    file: IO[bytes], footer: Footer, rows: pa.Table, depth: Depth
) -> Iterator[Damage]:
    """Go through a tar once, a megabyte at a time, then through the rows."""
    wanted = set(rows["offset"].drop_null().to_pylist())
    members = dict[int, tuple[TarMember, bytes]]()
    for found in read_members(file):
        if isinstance(found, str):
            yield Damage(footer.tar_file, None, DamageKind.TAR, found)
        elif found.offset in wanted:
            members[found.offset] = found, digest_of(file, footer, found.size)[0]
    for batch in rows.to_batches(_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            if row["error"] is None:
                yield from _check_member(file, footer, row, members.get(row["offset"]), depth)


def digest_of(file: IO[bytes], footer: Footer, nbytes: int | None = None) -> tuple[bytes, int]:
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
            found = digest_of(file, footer)[0].hex() if is_read else None
    except FileNotFoundError:
        yield Damage(name, None, DamageKind.MISSING, "its sidecar names it")
        return
    except OSError as error:
        yield Damage(name, None, DamageKind.UNREADABLE, str(error))
        return
    if found_nbytes != nbytes:
        detail = f"{nbytes:,} bytes stated, {found_nbytes:,} there"
        yield Damage(name, None, DamageKind.SIZE, detail)
    if found is not None and found != stated:
        yield Damage(name, None, DamageKind.CHECKSUM, f"{stated} stated, {found} there")


def _check_member(
    file: IO[bytes],
    footer: Footer,
    row: dict[str, Any],
    found: tuple[TarMember, bytes] | None,
    depth: Depth,
) -> Iterator[Damage]:
    tar, name, offset, size = footer.tar_file, row["member_name"], row["offset"], row["size"]
    member, digest = found or (None, b"")
    if member is None or (member.name, member.size) != (name, size):
        there = "none" if member is None else f"{member.name} of {member.size:,} bytes"
        detail = f"{size} bytes at {offset} stated, {there} there"
        yield Damage(tar, name, DamageKind.MEMBER, detail)
        return
    if digest != row["checksum"]:
        yield Damage(tar, name, DamageKind.CHECKSUM, "not the bytes that were written")
    elif depth == "decode":
        file.seek(offset)
        decoded = decode_rgb(memoryview(file.read(size)))
        if isinstance(decoded, Problem):
            yield Damage(tar, name, DamageKind.PICTURE, decoded.found)
        elif decoded.shape[:2] != (row["height"], row["width"]):
            detail = f"{row['height']} x {row['width']} pixels stated, {decoded.shape[:2]} there"
            yield Damage(tar, name, DamageKind.PICTURE, detail)

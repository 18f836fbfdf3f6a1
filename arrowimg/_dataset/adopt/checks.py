"""Tars that others wrote against what was found when they were adopted, in one walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from arrowimg._core.checksums import checksum
from arrowimg._dataset.folder import advice_on_tars
from arrowimg._dataset.report import Damage, DamageKind, Depth
from arrowimg._format.adopted.samples import split_names
from arrowimg._format.adopted.walk import MemberKind, TarWalk
from arrowimg._images.codec.decode import decode_rgb
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from arrowimg._format.adopted.walk import Window
    from arrowimg._format.sidecar import Footer
    from arrowimg._storage.base import Storage

_ROWS_AT_ONCE = 1024


def check_adopted_tar(
    storage: Storage, footer: Footer, rows: pa.Table, depth: Depth
) -> Iterator[Damage]:
    """Yield the damages of a tar, given the rows of its sidecar. It is read once.

    What was wrong with it when it was adopted is no damage.
    """
    tar = footer.tar_file
    try:
        with storage.open(tar) as file:
            walk = TarWalk(file, footer.checksum_name)
            yield from _check_pictures(walk, footer, rows, depth)
    except FileNotFoundError:
        detail = f"its sidecar names it{advice_on_tars(storage, footer.adopted)}"
        yield Damage(tar, None, DamageKind.MISSING, detail)
        return
    except OSError as error:
        yield Damage(tar, None, DamageKind.UNREADABLE, str(error))
        return
    if walk.nbytes != footer.tar_nbytes:
        detail = f"{footer.tar_nbytes:,} bytes stated, {walk.nbytes:,} there"
        yield Damage(tar, None, DamageKind.SIZE, detail)
    elif walk.checksum != footer.tar_checksum:
        detail = f"{footer.tar_checksum} stated, {walk.checksum} there"
        yield Damage(tar, None, DamageKind.CHECKSUM, detail)


def _check_pictures(
    walk: TarWalk, footer: Footer, rows: pa.Table, depth: Depth
) -> Iterator[Damage]:
    present = rows.filter(rows["error"].is_null())
    # A last one that is nowhere, so that there is one.
    offsets = np.append(present["offset"].to_numpy(), -1)
    is_found = np.zeros(len(present), np.bool_)
    for window in walk.windows():
        members = np.flatnonzero(window.kinds == MemberKind.FILE)
        at = np.searchsorted(offsets[:-1], window.starts[members])
        is_picture = offsets[at] == window.starts[members]
        wanted, members = at[is_picture], members[is_picture]
        is_found[wanted] = True
        names = split_names([window.names[it] for it in members.tolist()]).names.to_pylist()
        stated = present.take(wanted).to_pylist()
        for member, name, row in zip(members.tolist(), names, stated, strict=True):
            yield from _check_picture(window, member, name, row, footer, depth)
    for row in present.filter(~is_found).to_batches(_ROWS_AT_ONCE):
        for lost in row.to_pylist():
            detail = f"{lost['size']} bytes at {lost['offset']} stated, none there"
            yield Damage(footer.tar_file, lost["member_name"], DamageKind.MEMBER, detail)


def _check_picture(  # of one member
    window: Window, member: int, name: str, row: dict[str, Any], footer: Footer, depth: Depth
) -> Iterator[Damage]:
    tar, nbytes = footer.tar_file, int(window.sizes[member])
    if (name, nbytes) != (row["member_name"], row["size"]):
        detail = f"{row['size']} bytes at {row['offset']} stated, {name} of {nbytes:,} bytes there"
        yield Damage(tar, row["member_name"], DamageKind.MEMBER, detail)
        return
    start = int(window.starts[member]) - window.begin
    data = memoryview(window.data)[start : start + nbytes]
    if checksum(data, footer.checksum_name) != row["checksum"]:
        yield Damage(tar, name, DamageKind.CHECKSUM, "not the bytes that were adopted")
    elif depth == "decode":
        decoded, size = decode_rgb(data), (row["height"], row["width"])
        if isinstance(decoded, Problem):
            yield Damage(tar, name, DamageKind.PICTURE, decoded.found)
        elif sorted(decoded.shape[:2]) != sorted(size):
            # Upright it may be as wide as it is stored high.
            detail = f"{size[0]} x {size[1]} pixels stated, {decoded.shape[:2]} there"
            yield Damage(tar, name, DamageKind.PICTURE, detail)

"""Archives for the tests of the tar, made as arrowimg makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from arrowimg._core.binary import join_rows, whole_value
from arrowimg._format.tar import END_OF_ARCHIVE, framed_members

if TYPE_CHECKING:
    from collections.abc import Sequence


def columns_of(members: Sequence[tuple[str, bytes]]) -> tuple[pa.StringArray, pa.LargeBinaryArray]:
    """Return names and data of members."""
    names = pa.array([name for name, _ in members], pa.string())
    return names, pa.array([data for _, data in members], pa.large_binary())


def archive_of(members: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a whole tar."""
    return framed(members) + END_OF_ARCHIVE


def framed(members: Sequence[tuple[str, bytes]]) -> bytes:
    """Return members as they stand in a tar, without its end."""
    return bytes(whole_value(join_rows(framed_members(*columns_of(members)))))

"""Archives for the tests of the tar, made as arrowimg makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from arrowimg._format.tar import END_OF_ARCHIVE, Frames, Members, column_members

if TYPE_CHECKING:
    from collections.abc import Sequence


def members_of(members: Sequence[tuple[str, bytes]]) -> Members:
    """Return the members of these names and data."""
    names = pa.array([name for name, _ in members], pa.string())
    data = pa.array([data for _, data in members], pa.large_binary())
    return column_members([names], [data], np.arange(len(members)))


def archive_of(members: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a whole tar."""
    return framed(members_of(members)) + END_OF_ARCHIVE


def framed(members: Members) -> bytes:
    """Return members as they stand in a tar, without its end."""
    return b"".join(Frames().surround(members).views)

"""Archives for the tests of the tar, made as arrowimg makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from arrowimg._tar import END_OF_ARCHIVE, TarPart, tar_part

if TYPE_CHECKING:
    from collections.abc import Sequence


def part_of(members: Sequence[tuple[str, bytes]]) -> TarPart:
    """Return members as they stand in a tar."""
    names = pa.array([name for name, _ in members], pa.string())
    data = pa.array([data for _, data in members], pa.large_binary())
    return tar_part([names], [data], np.arange(len(members)))


def archive_of(members: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a whole tar."""
    return b"".join(part_of(members).buffers()) + END_OF_ARCHIVE

"""Which rows go together: in a shard, in a piece of work. Arithmetic only."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt


def plan_shards(
    tar_nbytes: npt.ArrayLike, images_per_tar: int, max_members_nbytes: int | None = None
) -> list[slice]:
    """Return the rows of each shard: consecutive, in order, every row in exactly one.

    A shard is as full as the limits allow; only the last may be short. Rows without members
    (`tar_nbytes` 0) take no room and stay with the members before them, so that where one shard
    ends does not depend on how the rows arrived.

    Parameters
    ----------
    tar_nbytes
        (N,) int64: bytes that each row's members take in a tar, headers and padding included; 0
        for a row without members. Without `max_members_nbytes` any number above 0 will do.
    images_per_tar
        Most rows with members in one shard.
    max_members_nbytes
        Most bytes of members in one shard. A row that is larger gets a shard of its own.
    """
    sizes = np.asarray(tar_nbytes, np.int64)
    rows = np.flatnonzero(sizes)
    ends = np.cumsum(sizes[rows])
    starts, first = [0], 0
    while first < len(rows):
        last = first + images_per_tar
        if max_members_nbytes is not None:
            before = ends[first - 1] if first else 0
            fits = int(np.searchsorted(ends, before + max_members_nbytes, "right"))
            last = max(first + 1, min(last, fits))
        starts += rows[last : last + 1].tolist()
        first = last
    return [slice(*bounds) for bounds in pairwise([*starts, len(sizes)])] if len(sizes) else []

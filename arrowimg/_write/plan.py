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


def cut_rows(nbytes: npt.ArrayLike, most_nbytes: int, most_rows: int) -> list[slice]:
    """Return consecutive pieces of at most so many bytes and rows; a larger row is one by itself.

    Parameters
    ----------
    nbytes
        (N,) int64: bytes of each row.
    """
    return share_rows(nbytes, most_nbytes, most_rows, most_nbytes, 1)


def share_rows(
    nbytes: npt.ArrayLike,
    most_nbytes: int,
    most_rows: int,
    least_nbytes: int,
    shares: int,
    nbytes_after: int = 0,
) -> list[slice]:
    """Return what `cut_rows` does, the pieces ever smaller towards the end.

    Workers that take the next piece whenever they are free are done at nearly the same time then.

    Parameters
    ----------
    nbytes
        (N,) int64: bytes of each row.
    shares
        A piece is at most one of so many shares of the bytes that are left, ...
    least_nbytes
        ... unless that is less than this.
    nbytes_after
        Bytes of the rows that come after these, which are left too.
    """
    ends = np.cumsum(np.asarray(nbytes, np.int64))
    cuts, start, before = [0], 0, 0
    while start < len(ends):
        share = max(least_nbytes, int(ends[-1] - before + nbytes_after) // shares)
        fits = int(np.searchsorted(ends, before + min(most_nbytes, share), "right"))
        start = max(start + 1, min(start + most_rows, fits))
        before = int(ends[start - 1])
        cuts.append(start)
    return [slice(*bounds) for bounds in pairwise(cuts)]

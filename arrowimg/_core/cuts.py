"""Rows cut into consecutive pieces of bounded size. Arithmetic only."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt


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

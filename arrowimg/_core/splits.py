"""Rows split into consecutive spans of bounded size. Arithmetic only."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt


def split_by_size(nbytes: npt.ArrayLike, most_nbytes: int, most_rows: int) -> list[slice]:
    """Return consecutive spans of at most so many bytes and rows; a larger row is one by itself.

    Parameters
    ----------
    nbytes
        (N,) int64: bytes of each row.
    """
    return split_for_workers(nbytes, most_nbytes, most_rows, most_nbytes, 1)


def split_for_workers(
    nbytes: npt.ArrayLike,
    most_nbytes: int,
    most_rows: int,
    least_nbytes: int,
    fractions: int,
    nbytes_after: int = 0,
) -> list[slice]:
    """Return what `split_by_size` does, the spans ever smaller towards the end.

    Workers that take the next span whenever they are free are done at nearly the same time then.

    Parameters
    ----------
    nbytes
        (N,) int64: bytes of each row.
    least_nbytes, fractions
        A span is at most one of so many equal fractions of the bytes that are left, unless that is
        less than `least_nbytes`.
    nbytes_after
        Bytes of the rows that come after these, which are left too.
    """
    ends = np.cumsum(np.asarray(nbytes, np.int64))
    bounds, start, before = [0], 0, 0
    while start < len(ends):
        left = int(ends[-1] - before + nbytes_after)
        most = min(most_nbytes, max(least_nbytes, left // fractions))
        fits = int(np.searchsorted(ends, before + most, "right"))
        start = max(start + 1, min(start + most_rows, fits))
        before = int(ends[start - 1])
        bounds.append(start)
    return [slice(*span) for span in pairwise(bounds)]

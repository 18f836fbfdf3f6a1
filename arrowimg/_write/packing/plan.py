"""Which rows become which shard: arithmetic on their sizes, and the parts that hold them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._format.samples import Samples


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


class Rows(Protocol):
    """Consecutive rows, of which some can be taken."""

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        ...

    def slice(self, start: int, stop: int) -> Self:
        """Return some of the rows; nothing is copied."""
        ...


class RunOfRows(Struct, frozen=True, kw_only=True):
    """Consecutive rows of something that is read later: whoever has it says in a field of what.

    Attributes
    ----------
    start
        The first of them, counted there.
    num_rows
        How many there are.
    """

    start: int
    num_rows: int

    def slice(self, start: int, stop: int) -> Self:
        """Return some of the rows."""
        return structs.replace(self, start=self.start + start, num_rows=stop - start)


Part = TypeVar("Part", bound=Rows)


class PlannedShard(Struct, Generic[Part], frozen=True):
    """A shard that is to be written into a dataset.

    Attributes
    ----------
    number
        In the dataset, from 0.
    first_row
        Number of its first row in the dataset.
    parts
        Its rows, in order.
    nbytes
        What its members take in the tar, None where that is not known.
    """

    number: int
    first_row: int
    parts: list[Part]
    nbytes: int | None = None

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return sum(part.num_rows for part in self.parts)


class PartStream(Generic[Part]):
    """A stream of parts from which any number of rows can be taken.

    Parameters
    ----------
    parts
        Taken one by one, when rows of them are asked for.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = iter(parts)
        self._left: Part | None = None

    def take(self, num_rows: int) -> Iterator[Part]:
        """Yield the next rows, in parts; nothing is copied."""
        while num_rows:
            part = next(self._parts) if self._left is None else self._left
            self._left = part.slice(num_rows, part.num_rows) if part.num_rows > num_rows else None
            taken = part if self._left is None else part.slice(0, num_rows)
            num_rows -= taken.num_rows
            yield taken

    def rest(self) -> list[Part]:
        """Return all rows that were not taken."""
        left = [] if self._left is None else [self._left]
        self._left = None
        return [*left, *self._parts]


class ReplayedParts:
    """Parts that can be gone through again: those that came are remembered."""

    def __init__(self, parts: Iterator[Samples]) -> None:
        self.seen: list[Samples] = []
        self._parts = parts

    def __iter__(self) -> Iterator[Samples]:
        yield from tuple(self.seen)
        for part in self._parts:
            self.seen.append(part)
            yield part

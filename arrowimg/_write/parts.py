"""Parts of samples: taken shard by shard from one stream, and remembered for a second try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._format.samples import Samples


class Rows(Protocol):
    """Rows that can be cut."""

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        ...

    def slice(self, start: int, stop: int) -> Self:
        """Return some of the rows; nothing is copied."""
        ...


Part = TypeVar("Part", bound=Rows)


class PartStream(Generic[Part]):
    """A stream of parts from which any number of rows can be taken.

    Parameters
    ----------
    parts
        Taken one by one, when rows of them are asked for.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = iter(parts)
        self._cut: Part | None = None

    def take(self, num_rows: int) -> Iterator[Part]:
        """Yield the next rows, in parts; nothing is copied."""
        while num_rows:
            part = next(self._parts) if self._cut is None else self._cut
            self._cut = part.slice(num_rows, part.num_rows) if part.num_rows > num_rows else None
            taken = part if self._cut is None else part.slice(0, num_rows)
            num_rows -= taken.num_rows
            yield taken

    def rest(self) -> list[Part]:
        """Return all rows that were not taken."""
        cut = [] if self._cut is None else [self._cut]
        self._cut = None
        return [*cut, *self._parts]


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

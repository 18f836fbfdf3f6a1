"""What indexes are made of, and what they are: files, from what a dataset says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from msgspec import Struct

from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._dataset.folder import Listing
from arrowimg._dataset.sidecars import read_layout
from arrowimg._storage.base import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._core.checksums import BytesLike
    from arrowimg._format.layout import Layout
    from arrowimg._format.manifest import ShardEntry

File: TypeAlias = "tuple[str, Iterable[BytesLike]]"
"""Path of an index below the folder of the shards, and its content piece by piece."""

_TARS_AHEAD = 8

Result = TypeVar("Result")


class Source(Struct, frozen=True):
    """The dataset that is indexed, read when it is asked for.

    Attributes
    ----------
    storage
        Where its files are.
    listing
        Its shards.
    """

    storage: Storage
    listing: Listing

    def address_of(self, name: str) -> str:
        """Return what a reader opens a file by: its name, or its address where that is no use."""
        is_far = self.storage.promises.is_remote or self.has_tars_elsewhere
        return self.storage.path_of(name) if is_far else name

    @property
    def has_tars_elsewhere(self) -> bool:
        """True: others wrote the tars, to another place than that of the sidecars."""
        return self.listing.adopted is not None and self.listing.adopted.place is not None

    def of_each_tar(self, function: Callable[[Layout], Result]) -> Iterator[Result]:
        """Yield what a function makes of the layout of each tar, in order.

        Over a network on several threads. Here they would wait for the interpreter's lock.
        """

        def read(shard: ShardEntry) -> Result:
            return function(read_layout(self.storage, shard))

        threads = usable_cores() if self.storage.promises.is_remote else 1
        return map_on_threads(read, self.listing.shards, threads, _TARS_AHEAD)


class Format(Struct, frozen=True):
    """A kind of index.

    Attributes
    ----------
    files
        Returns the files of a dataset. What the format refuses, it refuses at once.
    names
        Of the files that a dataset has one of; they go when the dataset is replaced.
    suffix
        Of the files that each shard has one of, after the shard's name; None where it has none.
    tells_of_others
        True: it needs to know nothing of tars but what is known of those that others wrote.
    """

    files: Callable[[Source], Iterable[File]]
    names: tuple[str, ...] = ()
    suffix: str | None = None
    tells_of_others: bool = False

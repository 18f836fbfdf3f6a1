"""Shards that are written side by side, in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from arrowimg._core.threads import CallsUnderWay

if TYPE_CHECKING:
    from collections.abc import Callable

    from arrowimg._storage.base import Storage
    from arrowimg._write.shard import Shard

_SENT_AT_ONCE = 3
"""One connection to an object store is slow, several are not."""

_MOST_NBYTES = 2**28
"""Of shards that are on their way into a folder; one that is larger goes by itself."""


def shards_at_once(storage: Storage, threads: int, *, is_copied: bool) -> int:
    """Return how many shards are written side by side.

    Into a folder, one thread writes what four encode; files that are copied leave all threads free.
    """
    if storage.promises.is_remote:
        return _SENT_AT_ONCE
    return threads if is_copied else 1 + threads // 4


class ShardsUnderWay:
    """Shards that are written while their caller does something else; they end in order.

    Parameters
    ----------
    storage
        Where they are written.
    threads
        How many may be written at once, into a folder.

    Attributes
    ----------
    done
        Those that are committed, and all before them.
    """

    def __init__(self, storage: Storage, threads: int) -> None:
        self._calls: CallsUnderWay[Shard] = CallsUnderWay(max(threads, _SENT_AT_ONCE))
        self._most_nbytes = None if storage.promises.is_remote else _MOST_NBYTES
        self._nbytes = deque[int]()
        self.done: list[Shard] = []

    def __len__(self) -> int:
        return len(self.done) + len(self._calls)

    def start(self, write: Callable[[], Shard], nbytes: int, at_once: int) -> None:
        """Start to write a shard, once there are fewer than `at_once`, and not too large together.

        Parameters
        ----------
        nbytes
            Of its members.

        Raises
        ------
        Exception
            What writing a shard before raised. That one is written again when it is asked for
            again; this one was not started.
        """
        while len(self._calls) >= at_once or self._is_too_much(nbytes):
            self._end_first()
        self._calls.start(write)
        self._nbytes.append(nbytes)

    def settle(self) -> None:
        """Wait until all are committed.

        Raises
        ------
        Exception
            As `start`.
        """
        while self._calls:
            self._end_first()

    def wait(self) -> None:
        """Wait until nothing is written, whatever becomes of it."""
        self._calls.wait()

    def _is_too_much(self, nbytes: int) -> bool:
        under_way = sum(self._nbytes)
        return self._most_nbytes is not None and 0 < under_way > self._most_nbytes - nbytes

    def _end_first(self) -> None:
        self.done.append(self._calls.result())
        self._nbytes.popleft()

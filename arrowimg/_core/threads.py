"""Threads: work shared among the cores that this process may use, results in order."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar
from weakref import WeakSet

# It has to be there before this process forks.
import arrowimg._core.frames.polars_threads  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

Purpose: TypeAlias = Literal["work", "read", "look", "send", "wait"]
"""What threads are kept for."""

_WAITING_AT_ONCE = 16
_LONG_SECONDS = 0.002


def usable_cores() -> int:
    """Return how many cores this process should use.

    ``OMP_NUM_THREADS`` where it is set, as Ray does for each task, to the cores it gave to it; else
    the cores that the process may run on.
    """
    stated = stated_cores()
    if stated is not None:
        return stated
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stated_cores() -> int | None:
    """Return what ``OMP_NUM_THREADS`` says, None where it is not set to a number."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdecimal() and int(stated) > 0 else None


def granted_cores() -> int:
    """Return how many cores this process should use, in a container no more than it was given."""
    cores = usable_cores()
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    return cores


def map_on_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    ahead: int,
    purpose: Purpose = "work",
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed on several threads.

    With one thread, each is computed when it is asked for, by whoever asks. The threads are kept
    for the next call; `function` must not wait for threads of the same purpose.

    Parameters
    ----------
    threads
        How many items are worked on at once.
    ahead
        At most so many results are computed, or being computed, before they are asked for.
    purpose
        What the threads are kept for. Those that work may wait for those that read,
        and both for those that look.
    """
    if threads == 1:
        yield from map(function, items)
        return
    results = _ResultsInOrder(function, items, CallsUnderWay(threads, purpose), ahead)
    try:
        yield from results
    finally:
        # Nothing goes on for a caller that is gone.
        results.end(is_waiting=True)


def begun_on_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    ahead: int,
    purpose: Purpose = "work",
    *,
    is_helped: bool = False,
) -> Iterator[Result]:
    """Return what `map_on_threads` yields; where there are several threads, they begin at once.

    Parameters
    ----------
    is_helped
        True: who asks is one of the threads. Rather than wait, for a result or in `wait_for_disk`,
        it computes one. More threads than cores take them from one another, and one that has the
        interpreter's lock then makes all others wait.
    """
    if threads == 1:
        return map(function, items)
    calls: CallsUnderWay[Result] = CallsUnderWay(threads, purpose, is_helped=is_helped)
    return _ResultsInOrder(function, items, calls, ahead)


def wait_for_disk(function: Callable[[], object]) -> None:
    """Call a function that waits for a disk; meanwhile compute what this thread will ask for.

    To wait on another thread costs more than to sync a file in memory: that is done only where the
    call before took long. It has ended when this returns or raises.
    """
    if _own.calls and _own.waits_long:
        waiting = _pool(_WAITING_AT_ONCE, "wait").submit(_seconds_of, function)
        try:
            for calls in list(_own.calls):
                calls.help_until(waiting.done)
        finally:
            wait([waiting])
        seconds = waiting.result()
    else:
        seconds = _seconds_of(function)
    _own.waits_long = seconds > _LONG_SECONDS


def _seconds_of(function: Callable[[], object]) -> float:
    started = time.monotonic()
    function()
    return time.monotonic() - started


class CallsUnderWay(Generic[Result]):
    """Calls that go on while their caller does something else; their results come in order.

    Parameters
    ----------
    threads
        How many are worked on at once; any number may be started.
    purpose
        What the threads are kept for, see `map_on_threads`.
    is_helped
        True: who asks for a result is one of the threads, see `begun_on_threads`.
    """

    def __init__(self, threads: int, purpose: Purpose = "send", *, is_helped: bool = False) -> None:
        self._threads, self._purpose, self._is_helped = threads - is_helped, purpose, is_helped
        self._lock = threading.RLock()
        if is_helped:
            _own.calls.add(self)
        self._calls: deque[tuple[Callable[[], Result], Future[Result] | None]] = deque()

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, function: Callable[[], Result]) -> None:
        """Start a call."""
        with self._lock:
            # An interrupt in between may let it be made twice, never not at all.
            self._calls.append((function, None))
            self._calls[-1] = function, _pool(self._threads, self._purpose).submit(function)

    def result(self) -> Result:
        """Wait for the call that was started first, and return what it returns.

        What it raises is raised; it is made once more when it is asked for again.
        """
        with self._lock:
            if self._is_helped:
                self.help_until(self._is_first_done)
            function, future = self._calls[0]
            try:
                result = function() if future is None else future.result()
            except Exception:
                self._calls[0] = function, None
                raise
            self._calls.popleft()
            return result

    def help_until(self, is_over: Callable[[], bool]) -> None:
        """Make calls that nobody has begun, until something is over or there are none.

        Nothing, where another thread asks for a result.
        """
        if not self._lock.acquire(blocking=False):
            return
        at = 0
        try:
            while at < len(self._calls) and not is_over():
                function, future = self._calls[at]
                if future is not None and future.cancel():
                    self._calls[at] = function, None
                    made = _made(function)
                    if self._calls:  # they may have been forgotten meanwhile
                        self._calls[at] = function, made
                at += 1
        finally:
            self._lock.release()

    def _is_first_done(self) -> bool:
        _, future = self._calls[0]
        return future is None or future.done()

    def wait(self) -> None:
        """Wait until no call is under way."""
        wait([future for _, future in self._calls if future is not None])

    def cancel(self, *, is_waiting: bool = True) -> None:
        """Forget the calls; those that nobody works on yet are not made."""
        with self._lock:
            left = [future for _, future in self._calls if future is not None]
            self._calls.clear()
        _own.calls.discard(self)
        # The last first: one that began meanwhile may wait for those before it.
        begun = [future for future in reversed(left) if not future.cancel()]
        if is_waiting:
            wait(begun)


def _made(function: Callable[[], Result]) -> Future[Result]:
    """Return a call that was made; what it raised is raised when it is asked for."""
    made: Future[Result] = Future()
    try:
        made.set_result(function())
    except Exception as error:  # noqa: BLE001  # handed on
        made.set_exception(error)
    return made


class _Own(threading.local):
    """What each thread has for itself: calls that it may make, and whether its disk is slow."""

    waits_long = False

    def __init__(self) -> None:
        # Another thread may be the last to hold them.
        self.calls = WeakSet[CallsUnderWay[Any]]()


_own = _Own()


class _ResultsInOrder(Generic[Item, Result]):
    """What calls return, in order, of which so many are under way or done ahead."""

    def __init__(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        calls: CallsUnderWay[Result],
        ahead: int,
    ) -> None:
        self._function, self._items, self._calls = function, iter(items), calls
        self._ahead = ahead
        self._begin()

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        try:
            self._begin()
            if self._calls:
                return self._calls.result()
        except BaseException:
            self.end(is_waiting=True)
            raise
        raise StopIteration

    def __del__(self) -> None:
        # Not waited for: the thread that forgets it last may be one of those that work.
        self.end(is_waiting=False)

    def end(self, *, is_waiting: bool) -> None:
        """Begin no further call; wait for those that somebody works on, if that is asked for."""
        self._items = iter(())
        self._calls.cancel(is_waiting=is_waiting)

    def _begin(self) -> None:
        for item in islice(self._items, self._ahead - len(self._calls)):
            self._calls.start(functools.partial(self._function, item))


@functools.cache
def _pool(threads: int, purpose: Purpose) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=f"arrowimg-{purpose}")


if hasattr(os, "register_at_fork"):
    # A forked child has the pools but none of their threads, and would wait for ever.
    os.register_at_fork(after_in_child=_pool.cache_clear)

from __future__ import annotations

import concurrent.futures
import errno
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg import WriteOptions
from arrowimg._core import threads as _threads
from arrowimg._core.threads import (
    CallsUnderWay,
    begun_on_threads,
    map_on_threads,
    usable_cores,
    wait_for_disk,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from concurrent.futures import Future

SECONDS = 60
"""How long a test waits for what must happen."""


class Items:
    """An iterator that counts what was taken of it."""

    def __init__(self, count: int) -> None:
        self.taken = 0
        self._count = count

    def __iter__(self) -> Iterator[int]:
        for item in range(self._count):
            self.taken += 1
            yield item


class TestMapAhead:
    def test_threads_that_work_may_wait_for_as_many_that_read(self) -> None:
        def work(item: int) -> int:
            return sum(map_on_threads(lambda it: item * it, range(4), 2, 4, "read"))

        # Were they the same two threads, each would wait for the other for ever.
        program = threading.Thread(
            target=lambda: found.extend(map_on_threads(work, range(8), 2, 8)), daemon=True
        )
        found: list[int] = []
        program.start()
        program.join(SECONDS)

        assert found == [6 * item for item in range(8)]

    @given(
        count=st.integers(0, 30), threads=st.sampled_from([1, 2, 3, 8]), ahead=st.integers(1, 40)
    )
    def test_results_come_in_the_order_of_the_items(
        self, count: int, threads: int, ahead: int
    ) -> None:
        assert list(map_on_threads(lambda item: item * item, range(count), threads, ahead)) == [
            item * item for item in range(count)
        ]

    def test_what_is_ready_first_does_not_overtake(self) -> None:
        later = threading.Event()

        def work(item: int) -> int:
            if item == 0:
                assert later.wait(SECONDS)
            if item == 1:
                later.set()
            return item

        assert list(map_on_threads(work, range(4), 2, 4)) == [0, 1, 2, 3]

    @pytest.mark.parametrize("threads", [2, 3, 5])
    def test_so_many_items_are_worked_on_at_once(self, threads: int) -> None:
        all_here = threading.Barrier(threads)

        def work(item: int) -> int:
            all_here.wait(SECONDS)
            return item

        assert list(map_on_threads(work, range(2 * threads), threads, threads)) == [
            *range(2 * threads)
        ]

    @pytest.mark.parametrize("ahead", [1, 2, 7])
    def test_no_more_than_asked_for_are_computed_ahead(self, ahead: int) -> None:
        items, started = Items(50), list[int]()

        def work(item: int) -> int:
            started.append(item)
            return item

        results = map_on_threads(work, items, 2, ahead)
        most_ahead = []
        for num_asked, _ in enumerate(results, 1):
            most_ahead.append(max(len(started), items.taken - 1) - num_asked)

        assert max(most_ahead) <= ahead
        assert len(started) == 50

    def test_nothing_is_computed_before_it_is_asked_for(self) -> None:
        for threads in (1, 2):
            items = Items(5)
            results = map_on_threads(str, items, threads, 3)

            assert items.taken == 0
            assert next(results) == "0"

    def test_one_thread_is_the_callers_own(self) -> None:
        items = Items(5)
        results = map_on_threads(lambda _: threading.get_ident(), items, 1, 100)

        assert next(results) == threading.get_ident()
        assert items.taken == 1
        assert set(results) == {threading.get_ident()}

    def test_several_threads_are_none_of_the_callers(self) -> None:
        idents = set(map_on_threads(lambda _: threading.get_ident(), range(9), 2, 4))

        assert threading.get_ident() not in idents

    @pytest.mark.parametrize("threads", [1, 2, 4])
    @pytest.mark.parametrize("failing", [0, 3, 9])
    def test_an_exception_comes_in_its_place(self, threads: int, failing: int) -> None:
        def work(item: int) -> int:
            if item == failing:
                raise ZeroDivisionError(item)
            return item

        results, received = map_on_threads(work, range(10), threads, 4), list[int]()
        with pytest.raises(ZeroDivisionError) as caught:
            received.extend(results)

        assert received == [*range(failing)]
        assert caught.value.args == (failing,)

    def test_nothing_runs_on_after_an_exception(self) -> None:
        running, ended = threading.Event(), list[int]()

        def work(item: int) -> None:
            if item == 0:
                assert running.wait(SECONDS)
                raise ZeroDivisionError
            running.set()
            ended.append(item)

        with pytest.raises(ZeroDivisionError):
            list(map_on_threads(work, range(100), 2, 100))
        num_ended = len(ended)
        # The pool has the same threads: had they other work left, this would come after it.
        list(map_on_threads(str, range(2), 2, 2))

        assert len(ended) == num_ended

    @pytest.mark.parametrize("threads", [1, 2, 4])
    def test_an_error_of_the_items_is_passed_on(self, threads: int) -> None:
        ended: list[int] = []

        def items() -> Iterator[int]:
            yield from range(3)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            list(map_on_threads(ended.append, items(), threads, 2))

        # Which thread ends first is not said; what was begun, was begun in order.
        assert sorted(ended) == list(range(len(ended)))
        assert len(ended) <= 3

    def test_an_abandoned_generator_leaves_nothing_running(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go_on, ended = threading.Event(), threading.Event(), list[int]()

        def work(item: int) -> int:
            if item > 0:
                begun.set()
                assert go_on.wait(SECONDS)
                ended.append(item)
            return item

        results = map_on_threads(work, range(100), 2, 50)
        assert next(results) == 0
        assert begun.wait(SECONDS)

        def wait(futures: Collection[Future[int]]) -> None:
            # Only now, so that work is under way when the generator is closed.
            go_on.set()
            concurrent.futures.wait(futures)

        monkeypatch.setattr(_threads, "wait", wait)
        results.close()  # type: ignore[attr-defined]  # a generator
        num_ended = len(ended)

        assert 1 <= num_ended <= 2, "those that had begun, no more"
        assert list(map_on_threads(str, range(9), 2, 4)) == [*map(str, range(9))]
        assert len(ended) == num_ended

    def test_begun_at_once_it_is_computed_before_it_is_asked_for(self) -> None:
        begun = threading.Barrier(3)

        def work(item: int) -> int:
            if item < 2:
                begun.wait(SECONDS)
            return item

        items = Items(9)
        results = begun_on_threads(work, items, 2, 4)
        begun.wait(SECONDS)

        assert items.taken == 4
        assert list(results) == [*range(9)]

    def test_nothing_begins_after_an_exception_was_passed_on(self) -> None:
        items = Items(20)
        results = begun_on_threads(lambda item: 1 // (item - 2), items, 2, 3)
        with pytest.raises(ZeroDivisionError):
            list(results)
        taken = items.taken

        assert list(results) == []
        assert items.taken == taken < 20

    def test_what_nobody_holds_any_more_begins_nothing_more(self) -> None:
        begun, go_on, ended = threading.Barrier(3), threading.Event(), list[int]()

        def work(item: int) -> None:
            begun.wait(SECONDS)
            assert go_on.wait(SECONDS)
            ended.append(item)

        results = begun_on_threads(work, range(100), 2, 50)
        begun.wait(SECONDS)
        del results
        go_on.set()
        # The pool has the same two threads: what was left would come before this.
        both = threading.Barrier(2)
        list(map_on_threads(lambda _: both.wait(SECONDS), range(2), 2, 2))

        assert sorted(ended) == [0, 1], "those that had begun, no more"

    def test_a_thread_that_works_may_be_the_last_to_hold_them(self) -> None:
        held, dropped = list[object](), threading.Event()

        def work(_: int) -> None:
            assert dropped.wait(SECONDS)
            # As the garbage collector may: waiting for itself, the thread would never end.
            held.clear()

        held.append(begun_on_threads(work, range(9), 2, 9))
        dropped.set()
        results = map_on_threads(str, range(4), 2, 4)
        other = threading.Thread(target=lambda: list(results), daemon=True)
        other.start()
        other.join(SECONDS)

        assert not other.is_alive()

    def test_no_call_is_left_to_wait_for_one_before_it_that_is_never_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on, cancelled = threading.Event(), list[concurrent.futures.Future[Any]]()
        cancel = concurrent.futures.Future.cancel

        def noting(future: concurrent.futures.Future[Any]) -> bool:
            cancelled.append(future)
            return cancel(future)

        calls: CallsUnderWay[bool] = CallsUnderWay(2, "work")
        for _ in range(8):
            calls.start(lambda: go_on.wait(SECONDS))
        begun = [future for _, future in calls._calls]
        monkeypatch.setattr(concurrent.futures.Future, "cancel", noting)
        threading.Timer(0, go_on.set).start()
        calls.cancel()

        # A thread that becomes free meanwhile takes the first that is left: none before it is gone.
        assert cancelled == begun[::-1]

    def test_nothing_is_kept_of_calls_that_another_thread_was_the_last_to_hold(self) -> None:
        held = [begun_on_threads(str, range(9), 2, 4, is_helped=True)]
        there = len(_threads._own.calls)
        other = threading.Thread(target=lambda: list(held.pop()))
        other.start()
        other.join(SECONDS)

        assert len(_threads._own.calls) == there - 1

    def test_several_callers_share_the_threads(self) -> None:
        results: dict[int, list[int]] = {}

        def call(number: int) -> None:
            results[number] = list(map_on_threads(lambda item: item + number, range(50), 2, 4))

        callers = [threading.Thread(target=call, args=(number,)) for number in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(SECONDS)

        assert results == {number: [*range(number, number + 50)] for number in range(6)}

    def test_calls_do_not_add_threads(self) -> None:
        list(map_on_threads(str, range(8), 2, 4))
        before = threading.active_count()
        for _ in range(20):
            list(map_on_threads(str, range(8), 2, 4))

        assert threading.active_count() <= before + 1, "one of the two may start late"

    def test_a_forked_child_works_too(self) -> None:
        script = (
            "import os, signal\n"
            "from arrowimg._core.threads import map_on_threads\n"
            "def squares(): return list(map_on_threads(lambda item: item * item, range(9), 2, 4))\n"
            "expected = squares()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    signal.alarm(60)\n"
            "    os._exit(0 if squares() == expected else 1)\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), squares() == expected)\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)

        assert done.stdout == "0 True\n"

    def test_a_process_ends_though_it_abandoned_work(self) -> None:
        script = (
            "from arrowimg._core.threads import map_on_threads\n"
            "results = map_on_threads(str, range(10**6), 2, 4)\n"
            "print(next(results))\n"
        )
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)

        assert (done.stdout, done.stderr) == ("0\n", "")


class TestHelped:
    @given(
        count=st.integers(0, 30), threads=st.sampled_from([1, 2, 3, 8]), ahead=st.integers(1, 40)
    )
    def test_results_come_in_order(self, count: int, threads: int, ahead: int) -> None:
        results = begun_on_threads(
            lambda item: item * item, range(count), threads, ahead, is_helped=True
        )

        assert list(results) == [item * item for item in range(count)]

    def test_who_would_wait_computes_what_nobody_has_begun(self) -> None:
        begun, computed = threading.Event(), threading.Event()

        def work(item: int) -> int:
            if item == 0:
                begun.set()
                assert computed.wait(SECONDS)
            if item == 2:
                computed.set()
            return threading.get_ident()

        results = begun_on_threads(work, range(9), 2, 4, is_helped=True)
        assert begun.wait(SECONDS)
        idents = list(results)

        assert idents[0] != threading.get_ident()
        assert idents[1:3] == [threading.get_ident()] * 2

    @pytest.mark.parametrize("threads", [2, 3])
    def test_no_more_threads_compute_than_were_asked_for(self, threads: int) -> None:
        at_work, most, lock = set[int](), list[int](), threading.Lock()
        all_here = threading.Barrier(threads)

        def work(item: int) -> int:
            with lock:
                at_work.add(item)
                most.append(len(at_work))
            all_here.wait(SECONDS)
            with lock:
                at_work.remove(item)
            return item

        results = begun_on_threads(work, range(4 * threads), threads, 99, is_helped=True)

        assert list(results) == [*range(4 * threads)]
        assert max(most) == threads

    @pytest.mark.parametrize("failing", [0, 1, 5, 9])
    def test_an_exception_comes_in_its_place_though_it_comes_once(self, failing: int) -> None:
        made: list[int] = []

        def work(item: int) -> int:
            made.append(item)
            if item == failing and made.count(item) == 1:
                raise ZeroDivisionError
            return item

        results, received = begun_on_threads(work, range(10), 2, 4, is_helped=True), list[int]()
        with pytest.raises(ZeroDivisionError):
            received.extend(results)

        assert received == [*range(failing)]
        assert list(results) == []


class TestWaitForDisk:
    def test_while_a_slow_disk_is_waited_for_something_is_computed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_threads._own, "waits_long", True)
        begun, computed, go_on = (threading.Event() for _ in range(3))

        def work(item: int) -> int:
            if item == 0:
                begun.set()
                assert go_on.wait(SECONDS)
            else:
                computed.set()
            return item

        results = begun_on_threads(work, range(9), 2, 4, is_helped=True)
        assert begun.wait(SECONDS)
        wait_for_disk(lambda: computed.wait(SECONDS))

        assert computed.is_set()
        go_on.set()
        assert list(results) == [*range(9)]

    def test_a_quick_disk_is_waited_for_by_who_calls(self) -> None:
        idents: list[int] = []
        results = begun_on_threads(str, range(9), 2, 4, is_helped=True)
        wait_for_disk(lambda: idents.append(threading.get_ident()))

        assert idents == [threading.get_ident()]
        assert list(results) == [*map(str, range(9))]

    @pytest.mark.parametrize("waits_long", [False, True])
    def test_what_it_raises_is_raised(
        self, monkeypatch: pytest.MonkeyPatch, *, waits_long: bool
    ) -> None:
        monkeypatch.setattr(_threads._own, "waits_long", waits_long)

        def sync() -> None:
            raise OSError(errno.EIO, "no disk")

        results = begun_on_threads(str, range(9), 2, 4, is_helped=True)
        with pytest.raises(OSError, match="no disk"):
            wait_for_disk(sync)

        assert list(results) == [*map(str, range(9))]

    def test_what_another_thread_asks_for_meanwhile_is_left_to_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_threads._own, "waits_long", True)
        begun, go_on = threading.Event(), threading.Event()

        def work(item: int) -> int:
            if item == 0:
                begun.set()
                assert go_on.wait(SECONDS)
            return threading.get_ident()

        results = begun_on_threads(work, range(9), 2, 4, is_helped=True)
        assert begun.wait(SECONDS)
        idents: list[int] = []
        other = threading.Thread(target=lambda: idents.extend(results))
        other.start()
        wait_for_disk(go_on.set)
        other.join(SECONDS)

        assert len(idents) == 9


class TestUsableCores:
    @pytest.mark.parametrize(("stated", "cores"), [("1", 1), ("3", 3), ("128", 128)])
    def test_what_openmp_is_told_counts(
        self, monkeypatch: pytest.MonkeyPatch, stated: str, cores: int
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", stated)

        assert usable_cores() == cores
        assert WriteOptions().threads == cores
        assert WriteOptions(encode_threads=2).threads == 2

    @pytest.mark.parametrize(("cores", "threads"), [(1, 1), (8, 8), (64, 8)])
    def test_unless_more_are_asked_for_eight_threads_encode_at_most(
        self, monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
    ) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr("os.sched_getaffinity", lambda _: range(cores))

        assert WriteOptions().threads == threads
        assert WriteOptions(encode_threads=64).threads == 64

    @pytest.mark.parametrize("stated", [None, "", "0", "-1", "4,2", "two", "1.5", "²"])
    def test_else_the_cores_that_the_process_may_run_on(
        self, monkeypatch: pytest.MonkeyPatch, stated: str | None
    ) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if stated is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", stated)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)

        assert usable_cores() == 3

    def test_where_nothing_tells_there_is_one_at_least(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: None)

        assert usable_cores() == 1


class TestCallsUnderWay:
    def test_results_come_in_the_order_of_the_calls(self) -> None:
        first_may_end = threading.Event()
        calls: CallsUnderWay[str] = CallsUnderWay(2)
        calls.start(lambda: "first" if first_may_end.wait(60) else "late")

        def second() -> str:
            first_may_end.set()
            return "second"

        calls.start(second)

        assert len(calls) == 2
        assert [calls.result(), calls.result()] == ["first", "second"]
        assert not calls

    def test_a_call_that_failed_is_made_again_when_it_is_asked_again(self) -> None:
        failures = [OSError("away"), OSError("still away")]

        def call() -> str:
            if failures:
                raise failures.pop(0)
            return "there"

        calls: CallsUnderWay[str] = CallsUnderWay(2)
        calls.start(call)
        for message in ("away", "still away"):
            with pytest.raises(OSError, match=message):
                calls.result()
            assert len(calls) == 1
        assert calls.result() == "there"

    def test_waiting_ends_when_nothing_goes_on(self) -> None:
        ended = list[int]()
        calls: CallsUnderWay[None] = CallsUnderWay(3)
        for number in range(3):
            calls.start(lambda number=number: ended.append(number))  # type: ignore[misc]
        calls.wait()
        assert sorted(ended) == [0, 1, 2]

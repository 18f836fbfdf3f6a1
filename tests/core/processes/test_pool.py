from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from worker_tasks import Add, Die, Fail, Read, Rows, Twice, Unknown, Wait

from arrowimg._core.processes.pool import WorkerPool, why_no_workers
from arrowimg.errors import OptionError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2, 40) as made:
        yield made


def children() -> list[str]:
    """Return the processes that this one started and that are there still."""
    own = Path(f"/proc/{os.getpid()}/task")
    return [it for task in own.iterdir() for it in (task / "children").read_text().split()]


class TestTasks:
    def test_results_come_to_who_asks_in_any_order(self, pool: WorkerPool) -> None:
        tickets = [pool.start(Add(number)) for number in range(9)]

        assert [pool.result(ticket) for ticket in tickets[::-1]] == [*range(48, 39, -1)]

    def test_a_task_goes_to_a_process_that_has_none(self, pool: WorkerPool, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with pipe.open("r+b", buffering=0) as file:
            tickets = [pool.start(Read(str(pipe))) for _ in range(2)]
            file.write(b"12")
            doers = {pool.result(ticket) for ticket in tickets}

        assert len(doers - {os.getpid()}) == 2

    def test_what_a_task_logs_is_logged_here(
        self, pool: WorkerPool, caplog: pytest.LogCaptureFixture
    ) -> None:
        pool.result(pool.start(Add(2)))

        assert caplog.messages == ["adding 2"]

    def test_tables_are_read_where_they_were_put(self, pool: WorkerPool) -> None:
        table = pa.table({"text": ["a", None, "ccc"] * 9, "number": range(27)})
        texts = table["text"].dictionary_encode()
        table = table.append_column("word", texts).slice(2, 20)
        region = pool.put(table.schema, [table])

        twice = pool.result(pool.start(Twice(region)))
        thrice = pool.result(pool.start(Twice(region)))
        found = [pool.result(pool.start(Rows(it))) for it in (twice, thrice)]

        assert twice.file > 0
        assert [it.nbytes for it in (twice, thrice)] == [twice.nbytes] * 2
        assert found == [2 * table.to_pylist()] * 2
        pool.release(region)
        pool.release(thrice)

    def test_an_error_is_raised_where_the_result_is_asked_for(self, pool: WorkerPool) -> None:
        ours, others = pool.start(Fail(is_ours=True)), pool.start(Fail(is_ours=False))

        with pytest.raises(OptionError, match="number: expected another, found 7"):
            pool.result(ours)
        with pytest.raises(ZeroDivisionError, match="unforeseen") as caught:
            pool.result(others)
        assert "in run" in caught.value.__notes__[0]
        assert pool.result(pool.start(Add(2))) == 42


class TestEnds:
    def test_a_process_that_is_killed_is_an_error_that_names_it(self) -> None:
        with WorkerPool(1, 0) as pool:
            ticket = pool.start(Die())
            with pytest.raises(WorkerError, match="was killed by SIGKILL") as caught:
                pool.result(ticket)
            with pytest.raises(WorkerError):
                pool.start(Add(1))

        assert caught.value.status == -9
        assert str(caught.value.process_id) not in children()

    def test_a_process_that_does_not_end_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = children()
        monkeypatch.setattr("arrowimg._core.processes.pool._SECONDS_TO_END", 0.2)

        with WorkerPool(1, 0) as pool:
            pool.start(Wait())

        assert children() == before

    def test_a_task_that_cannot_be_read_there_is_an_error(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with WorkerPool(1, 0) as pool, pytest.raises(WorkerError, match="ended with status 1"):
            pool.result(pool.start(Unknown()))
        assert "no_module_of_this_name" in capfd.readouterr().err

    def test_nothing_is_left_of_processes_that_were_not_asked_for_a_thing(self) -> None:
        before, files = children(), list(Path("/proc/self/fd").iterdir())

        with WorkerPool(2, 0):
            assert len(children()) == len(before) + 2

        assert children() == before
        assert len(list(Path("/proc/self/fd").iterdir())) == len(files)


class TestWhetherThereCanBeAny:
    def test_there_can_be_here(self) -> None:
        assert why_no_workers(40) == ""

    def test_a_daemon_starts_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        process = multiprocessing.current_process()
        monkeypatch.setattr(type(process), "daemon", property(lambda _: True))

        assert why_no_workers(40) == "this process is a worker itself"

    def test_what_cannot_be_sent_starts_none(self) -> None:
        assert "cannot be sent" in why_no_workers(lambda: None)

    def test_what_only_the_program_knows_starts_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("__main__.Add", Add, raising=False)
        monkeypatch.setattr(Add, "__module__", "__main__")

        assert why_no_workers(Add(1)) == "what they need is defined in __main__"

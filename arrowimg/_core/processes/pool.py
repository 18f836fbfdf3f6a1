"""A pool of processes: tasks to any of them, results in whatever order they are asked for.

The processes are interpreters of their own that import nothing of the program which started them.
So a program needs no guard around its main part, and none that can be imported.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from msgspec import Struct

from arrowimg._core.processes.shared_file import Region, SharedFile, open_memory
from arrowimg.errors import ArrowimgError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_PROGRAM = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from arrowimg._core.processes.worker import main; main(given)"
)
_SECONDS_TO_END = 20
"""A worker that has begun something finishes it, so that nothing is left half done."""

Result_co = TypeVar("Result_co", covariant=True)


class Desk(Protocol):
    """What a task finds where it is done."""

    context: Any

    def put(self, schema: pa.Schema, tables: Sequence[pa.Table]) -> Region:
        """Copy tables to where other processes can read them."""
        ...

    def get(self, region: Region) -> list[pa.Table]:
        """Return tables that some process put there."""
        ...


class WorkerTask(Protocol[Result_co]):
    """What a process is to do: a value that can be pickled, and is small."""

    def run(self, desk: Desk) -> Result_co:
        """Do it."""
        ...


class LogLine(Struct, frozen=True):
    """What a task logged."""

    logger: str
    level: int
    text: str


class Answer(Struct, frozen=True):
    """What became of a task.

    Attributes
    ----------
    result
        What it returned.
    error
        What it raised, None where it did not.
    log
        What it logged.
    """

    result: Any
    error: Exception | None
    log: list[LogLine]


class Ticket(Struct, Generic[Result_co], frozen=True):
    """What the result of a task is asked for by."""

    number: int


class WorkerPool:
    """Processes that do tasks. Use it as a context manager.

    Parameters
    ----------
    count
        How many processes.
    context
        What all tasks find on their desk; pickled once for each.

    Notes
    -----
    Leaving the block ends the processes: each finishes the task that it has begun, and no other.
    Interrupts from the terminal do not reach them, and they end with the process that started them,
    however that ends.
    """

    def __init__(self, count: int, context: object) -> None:
        self._context = pickle.dumps((context, logging.getLogger("arrowimg").getEffectiveLevel()))
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection[Any, Any]] = []
        self._files: list[SharedFile] = []
        self._released: list[list[Region]] = [[] for _ in range(count)]
        self._open: list[set[int]] = [set() for _ in range(count)]
        self._answers: dict[int, Answer] = {}
        self._next = 0

    def __enter__(self) -> Self:
        self._files = [SharedFile(number, open_memory()) for number in range(self._count + 1)]
        try:
            for number in range(self._count):
                self._start(number)
        except BaseException:
            self.close(is_waiting=False)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close(is_waiting=True)

    @property
    def count(self) -> int:
        """How many processes there are."""
        return self._count

    def put(self, schema: pa.Schema, tables: Sequence[pa.Table]) -> Region:
        """Copy tables to where the processes can read them; `release` what none needs any more."""
        return self._files[0].put(schema, tables)

    def release(self, region: Region) -> None:
        """Let the memory of a region be used again, which no task that is open needs."""
        if region.file == 0:
            self._files[0].release(region)
        else:
            self._released[region.file - 1].append(region)

    def start(self, task: WorkerTask[Result_co]) -> Ticket[Result_co]:
        """Hand a task to the process that has the fewest.

        Raises
        ------
        WorkerError
            When a process has died.
        """
        self._receive(0)
        worker = min(range(self._count), key=lambda it: len(self._open[it]))
        ticket = Ticket[Result_co](self._next)
        self._next += 1
        released, self._released[worker] = self._released[worker], []
        try:
            self._connections[worker].send((ticket.number, task, released))
        except OSError as error:
            raise self._death(worker) from error
        self._open[worker].add(ticket.number)
        return ticket

    def is_done(self, ticket: Ticket[Any]) -> bool:
        """Tell whether a result is there, without waiting for it."""
        self._receive(0)
        return ticket.number in self._answers

    def result(self, ticket: Ticket[Result_co]) -> Result_co:
        """Wait for the result of a task, and return it; what the task raised is raised.

        Raises
        ------
        WorkerError
            When a process has died.
        """
        while ticket.number not in self._answers:
            self._receive(None)
        answer = self._answers.pop(ticket.number)
        for line in answer.log:
            logging.getLogger(line.logger).log(line.level, "%s", line.text)
        if answer.error is not None:
            raise answer.error
        result: Result_co = answer.result
        return result

    def close(self, *, is_waiting: bool) -> None:
        """End the processes, those that are at work once they are done, or at once."""
        for connection in self._connections:
            connection.close()
        try:
            for process in self._processes:
                if is_waiting:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_SECONDS_TO_END)
        finally:
            for process in self._processes:
                process.kill()
                process.wait()
            for file in self._files:
                file.close()
            self._connections, self._processes, self._files = [], [], []

    def _start(self, number: int) -> None:
        here, there = socket.socketpair()
        with there:
            files = [file.descriptor for file in self._files]
            given = {"path": sys.path, "socket": there.fileno(), "files": files, "file": number + 1}
            self._connections.append(Connection(here.detach()))
            process = subprocess.Popen(  # noqa: S603  # this interpreter
                [sys.executable, "-c", _PROGRAM, json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[there.fileno(), *files],
                # Interrupts from the terminal are for the group of the process that started it.
                process_group=0,
            )
            self._processes.append(process)
        # A process that could not even start is found when its answer is waited for.
        with suppress(OSError):
            self._connections[-1].send_bytes(self._context)

    def _receive(self, timeout: float | None) -> None:
        """Take every answer that is there, or wait for one."""
        for connection in wait(self._connections, timeout):
            worker = self._connections.index(connection)  # type: ignore[arg-type]
            try:
                number, answer = self._connections[worker].recv()
            except (EOFError, OSError) as error:
                raise self._death(worker) from error
            self._open[worker].discard(number)
            self._answers[number] = answer

    def _death(self, worker: int) -> WorkerError:
        process = self._processes[worker]
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_END)
        return WorkerError(process.pid, process.returncode)


def sendable(error: Exception) -> Exception:
    """Return an error that can be sent; of one that nobody foresaw, where it was raised."""
    if isinstance(error, ArrowimgError):
        return error
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # its own
    except Exception:  # noqa: BLE001  # of whatever class the error is
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note("".join(traceback.format_exception(error)))
    return error


def why_no_workers(context: object) -> str:
    """Return why this process cannot start others that work for it; "" where it can.

    Parameters
    ----------
    context
        What they need.
    """
    if os.name != "posix":
        return "this system cannot hand open files to other processes"
    if getattr(sys, "frozen", False) or not sys.executable:
        return "this program brings its own interpreter"
    if multiprocessing.current_process().daemon:
        return "this process is a worker itself"
    if _is_in_ray():
        return "this process is a worker of Ray"
    try:
        sent = pickle.dumps(context)
    except Exception as error:  # noqa: BLE001  # of whatever a caller brings along
        return f"what they need cannot be sent to them: {error}"
    # They do not import the program that starts them.
    return "what they need is defined in __main__" if b"__main__" in sent else ""


def _is_in_ray() -> bool:
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return False
    context = ray.get_runtime_context()
    return context.get_task_id() is not None or context.get_actor_id() is not None

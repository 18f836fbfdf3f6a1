"""What a worker process does: one task after the other, until nobody asks any more."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import traceback
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from arrowimg._core.processes.pool import Answer, LogLine, sendable
from arrowimg._core.processes.shared_file import Region, SharedFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from arrowimg._core.processes.pool import WorkerTask

Asked = tuple[int, "WorkerTask[Any]", list[Region]]


class WorkerDesk:
    """The memory that this worker shares with the others, and what all tasks need."""

    def __init__(self, files: list[SharedFile], own: int, context: object) -> None:
        self._files, self._own = files, files[own]
        self.context = context

    def put(self, schema: pa.Schema, tables: Sequence[pa.Table]) -> Region:
        """Copy tables to where other processes can read them."""
        return self._own.put(schema, tables)

    def get(self, region: Region) -> list[pa.Table]:
        """Return tables that some process put there."""
        return self._files[region.file].get(region)

    def release(self, regions: list[Region]) -> None:
        """Let regions be used again that this worker filled."""
        for region in regions:
            self._own.release(region)


def main(given: dict[str, Any]) -> None:
    """Do the tasks that come through a socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection: Connection[Any, Any] = Connection(given["socket"])
    try:
        context, level = pickle.loads(connection.recv_bytes())  # noqa: S301  # of who started this
    except EOFError:
        return
    files = [SharedFile(number, descriptor) for number, descriptor in enumerate(given["files"])]
    desk = WorkerDesk(files, given["file"], context)
    log = _Collected(level)
    asked: SimpleQueue[Asked | None] = SimpleQueue()
    Thread(target=_listen, args=(connection, asked), daemon=True).start()
    while (task := asked.get()) is not None:
        number, work, released = task
        desk.release(released)
        answer = _do(work, desk, log)
        try:
            connection.send((number, answer))
        except OSError:
            break
    # Nothing is left to do that could not be left undone: no thread is waited for.
    os._exit(0)


def _listen(connection: Connection[Any, Any], asked: SimpleQueue[Asked | None]) -> None:
    """Take tasks as they come, so that who hands them over never waits."""
    try:
        while True:
            asked.put(connection.recv())
    except (EOFError, OSError):
        # Who asked is gone: what waits here is not begun.
        while not asked.empty():
            asked.get()
        asked.put(None)
    except Exception:  # noqa: BLE001  # of whatever a task is made of
        traceback.print_exc()
        os._exit(1)


def _do(work: WorkerTask[Any], desk: WorkerDesk, log: _Collected) -> Answer:
    try:
        return Answer(work.run(desk), None, log.taken())
    except Exception as error:  # noqa: BLE001  # it is raised where the result is asked for
        return Answer(None, sendable(error), log.taken())


class _Collected(logging.Handler):
    """Keeps what is logged, for the process that asked."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._lines: list[LogLine] = []
        logger = logging.getLogger("arrowimg")
        logger.setLevel(level)
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(LogLine(record.name, record.levelno, record.getMessage()))

    def taken(self) -> list[LogLine]:
        """Return the lines since the last time."""
        lines, self._lines = self._lines, []
        return lines

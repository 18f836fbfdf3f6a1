"""Workers without processes, and what became of a write: for tests that compare many with one."""

from __future__ import annotations

import logging
import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from arrowimg import write_shards
from arrowimg._core.processes.pool import Answer, Ticket, sendable
from arrowimg._core.processes.shared_file import Region, SharedFile, open_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa


class PoolOfNone:
    """What `WorkerPool` does, by this process: each task as late as it can be, the last one first.

    All that would go to a process and come back is pickled, as it would be.
    """

    def __init__(self, count: int, context: object) -> None:
        self.count = count
        self._file = SharedFile(0, open_memory())
        self._waiting: dict[int, bytes] = {}
        self._answers: dict[int, bytes] = {}
        self.context = pickle.loads(pickle.dumps(context))  # noqa: S301  # its own
        self.regions: list[Region] = []
        self._next = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(is_waiting=True)

    def put(self, schema: pa.Schema, tables: Sequence[pa.Table]) -> Region:
        region = self._file.put(schema, tables)
        self.regions.append(region)
        return region

    def get(self, region: Region) -> list[pa.Table]:
        assert region in self.regions, "a region is read that was released"
        return self._file.get(region)

    def release(self, region: Region) -> None:
        self.regions.remove(region)
        self._file.release(region)

    def start(self, task: Any) -> Ticket[Any]:  # noqa: ANN401  # any task
        self._next += 1
        self._waiting[self._next] = pickle.dumps(task)
        return Ticket(self._next)

    def is_done(self, ticket: Ticket[Any]) -> bool:
        return ticket.number in self._answers

    def result(self, ticket: Ticket[Any]) -> Any:  # noqa: ANN401
        while not self.is_done(ticket):
            number, task = self._waiting.popitem()
            self._answers[number] = pickle.dumps(self._answer(task))
        answer = pickle.loads(self._answers.pop(ticket.number))  # noqa: S301
        if answer.error is not None:
            raise answer.error
        return answer.result

    def _answer(self, task: bytes) -> Answer:
        try:
            return Answer(pickle.loads(task).run(self), None, [])  # noqa: S301
        except Exception as error:  # noqa: BLE001  # as a worker does
            return Answer(None, sendable(error), [])

    def close(self, *, is_waiting: bool) -> None:
        assert is_waiting
        self._file.close()


@contextmanager
def warnings_of(name: str) -> Iterator[list[str]]:
    """Return what is logged within."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Kept(logging.WARNING)
    logging.getLogger(name).addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger(name).removeHandler(handler)


Outcome = tuple[dict[str, bytes], tuple[object, ...], list[str]]
"""Files, what was returned or raised, and what was logged."""


def outcome(make: Callable[[], object], folder: Path, **options: Any) -> Outcome:  # noqa: ANN401
    """Write a source; return all that can be told of it."""
    with warnings_of("arrowimg") as said:
        try:
            group = write_shards(make(), folder, progress=False, **options)
            counted = {key: it for key, it in group.metadata.items() if key != "output_dir"}
            counted.pop("splits", None)
            names = [path.rpartition("/")[2] for path in group.paths]
            returned: tuple[object, ...] = (counted, names, group.data["checksum"].to_pylist())
        except Exception as error:  # noqa: BLE001  # compared
            returned = (type(error), str(error).replace(str(folder), ""))
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return files, returned, said

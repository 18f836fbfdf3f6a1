"""Another contender in several processes, each with a thread and an equal part of the rows.

The processes are there, have their rows and are warm before the clock starts.
"""

from __future__ import annotations

import importlib
import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from benchmarks.views import read_table, touch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

_WARM_UP_ROWS = 64


@dataclass(frozen=True)
class Team:
    """Processes that wait for the name of a folder, and the rows of each."""

    module: Any
    settings: dict[str, Any]
    parts: list[Path]
    pipes: list[Connection]


def prepare(table: pa.Table, *, module: str, processes: int, **settings: Any) -> Team:
    # The few rows of a warm-up need one process: each of the others warms itself up.
    count = max(1, min(processes, len(table) // _WARM_UP_ROWS))
    bounds = [len(table) * number // count for number in range(count + 1)]
    folder = Path(tempfile.mkdtemp())
    context = multiprocessing.get_context("spawn")
    parts, pipes = [], []
    for number, first in enumerate(bounds[:-1]):
        part = folder / f"{number}.arrow"
        rows = table.slice(first, bounds[number + 1] - first)
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        ours, theirs = context.Pipe()
        arguments = (theirs, module, settings, part)
        context.Process(target=_work, args=arguments, daemon=True).start()
        # Else the end of a process that died would never show here.
        theirs.close()
        parts.append(part)
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    contender = importlib.import_module(f"benchmarks.contenders.{module}")
    return Team(contender, settings, parts, pipes)


def _work(pipe: Connection, module: str, settings: dict[str, Any], part: Path) -> None:
    contender = importlib.import_module(f"benchmarks.contenders.{module}")
    table = read_table(str(part))
    touch(table)
    with tempfile.TemporaryDirectory() as folder:
        few = contender.prepare(table.slice(0, _WARM_UP_ROWS), **settings)
        contender.write(few, folder, **settings)
    prepared = contender.prepare(table, **settings)
    pipe.send("ready")
    out = pipe.recv()
    contender.write(prepared, out, **settings)
    pipe.send("done")


def write(prepared: Team, out: str, **_settings: Any) -> None:
    for number, pipe in enumerate(prepared.pipes):
        folder = _folder(out, number)
        folder.mkdir()
        pipe.send(str(folder))
    for pipe in prepared.pipes:
        # EOFError where a process failed: its reason is on the standard error.
        pipe.recv()


def _folder(out: str, number: int) -> Path:
    return Path(out, f"{number:04d}")


def read_back(out: str, prepared: Team) -> Iterator[tuple[str | None, bytes]]:
    for number, part in enumerate(prepared.parts):
        rows = prepared.module.prepare(read_table(str(part)), **prepared.settings)
        yield from prepared.module.read_back(str(_folder(out, number)), rows)

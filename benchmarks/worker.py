"""One measurement, in a process of its own: ``python -m benchmarks.worker <JSON>``.

Reads the input, lets the contender prepare it, warms up, then starts the clock. The result is one
line of JSON on the standard output; whatever the contender prints goes to the standard error.
Runs in the contender's environment, which need not have arrowimg.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pyarrow as pa

from benchmarks.checks import compare
from benchmarks.gauges import Clock, forget_peak, peak_nbytes, resident_nbytes
from benchmarks.views import read_table, touch

if TYPE_CHECKING:
    from collections.abc import Iterable

_WARM_UP_ROWS = 64


class Module(Protocol):
    """What each module of `benchmarks.contenders` has."""

    def prepare(self, table: Any, **settings: Any) -> Any:
        """Return the table in the form that the contender's users have it in. Not timed."""

    def write(self, prepared: Any, out: str, **settings: Any) -> None:
        """Write all of it into a folder that is there and empty. Timed."""

    def read_back(self, out: str, prepared: Any) -> Iterable[tuple[str | None, bytes]]:
        """Yield each picture's id, None where it is not kept, and its encoded bytes."""


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Return what one call of the contender took.

    Parameters
    ----------
    order
        See `benchmarks.rounds.Case.order`.
    """
    contender = cast("Module", importlib.import_module(f"benchmarks.contenders.{order['module']}"))
    table = read_table(order["input"]).slice(0, order["num_rows"])
    settings, out = order["settings"], order["out"]
    _in_empty_folder(contender, table.slice(0, _WARM_UP_ROWS), out, settings)
    touch(table)
    prepared = contender.prepare(table, **settings)
    Path(out).mkdir(parents=True)
    _settle()
    resident = resident_nbytes()
    clock = Clock()
    contender.write(prepared, out, **settings)
    reading = clock.read()
    return {
        "seconds": reading.seconds,
        "cpu_seconds": reading.cpu_seconds,
        "others_seconds": reading.others_seconds,
        "peak_nbytes": max(peak_nbytes() - resident, 0),
        "written_nbytes": sum(
            path.stat().st_size for path in Path(out).rglob("*") if path.is_file()
        ),
        "content": _check(contender, prepared, order) if order["reference"] else None,
        "versions": _versions(order["packages"]),
    }


def _in_empty_folder(contender: Module, table: Any, out: str, settings: dict[str, Any]) -> None:
    """Call the contender on a few rows, so that modules are imported and threads are there."""
    folder = Path(f"{out}-warm-up")
    folder.mkdir(parents=True)
    contender.write(contender.prepare(table, **settings), str(folder), **settings)
    shutil.rmtree(folder)


def _settle() -> None:
    """Let nothing that was begun before the clock be paid for after it has started."""
    os.sync()
    gc.collect()
    # Memory that was freed but is resident would hide what the contender takes.
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    forget_peak()


def _check(contender: Module, prepared: Any, order: dict[str, Any]) -> str:
    return compare(
        contender.read_back(order["out"], prepared),
        order["reference"],
        order["settings"].get("repeats", 1),
        order["num_rows"],
    )


def _versions(packages: list[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Obey the order in the first argument."""
    answer = os.dup(1)
    os.dup2(2, 1)
    order = json.loads(sys.argv[1])
    result = measure(order)
    with os.fdopen(answer, "w", encoding="utf-8") as stdout:
        json.dump(result, stdout)
        stdout.write("\n")


if __name__ == "__main__":
    main()

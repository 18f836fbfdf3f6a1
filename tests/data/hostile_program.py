"""Every operation on folders that mean harm, in a process with limits; one line for each.

``python hostile_program.py FOLDER...``; with ``--watched``, somebody else watches what is opened,
and so this program looks at nothing but what arrowimg looks at, and removes nothing.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import shutil
import signal
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from stage_data import seven_faces

import arrowimg
from arrowimg._dataset.index.formats import FORMATS
from arrowimg._dataset.inspect import inspect_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60
GROWTH_NBYTES = 2**30
"""What an operation may take, beyond what was there before it."""


def write(out: Path, how: Any, **options: Any) -> object:  # noqa: ANN401
    return arrowimg.write_shards(
        seven_faces(), out, 3, if_exists=how, durability="process", progress=False, **options
    )


def scan(out: Path) -> object:
    """Collect a scan; pages that are damaged are errors of Polars, as the documentation says."""
    frame = arrowimg.scan(out)
    try:
        return frame.collect()
    except pl.exceptions.ComputeError:
        return None


def forged_frame(out: Path) -> pa.Table | pl.DataFrame:
    """Read the sidecars as others would, and ask for the pictures of their rows."""
    files = [it for it in sorted(out.glob("images-*.parquet")) if stat.S_ISREG(it.lstat().st_mode)]
    for path in files[:1]:
        # PyArrow unpacks a text that a million rows repeat, which takes half a minute to fail.
        if pq.read_metadata(path).num_rows * path.stat().st_size > 2**38:
            return pl.read_parquet(path).with_columns(tar_path=pl.lit(f"{out}/images-000000.tar"))
    tables = [pq.ParquetFile(str(path)).read() for path in files]
    rows = pa.concat_tables(tables[:1])
    paths = pa.array([f"{out}/{name}" for name in rows["tar_file"].to_pylist()])
    return rows.append_column("tar_path", paths)


def frame_or_none(out: Path) -> pa.Table | pl.DataFrame | None:
    try:
        return forged_frame(out)
    except Exception:  # noqa: BLE001  # what PyArrow cannot read is no frame
        return None


def fetch_from(frame: pa.Table | pl.DataFrame | None) -> object:
    return None if frame is None else arrowimg.fetch_images(frame)


GIVEN: dict[str, Callable[[Path], Any]] = {"frame": frame_or_none}
"""What others make of the folder first, and whose memory is not arrowimg's."""

OPERATIONS: dict[str, Callable[[Any], object]] = {
    "quick": lambda out: arrowimg.verify(out, "quick"),
    "checksums": arrowimg.verify,
    "decode": lambda out: arrowimg.verify(out, "decode"),
    "garbage": lambda out: arrowimg.collect_garbage(out, 0),
    "scan": scan,
    "fetch": lambda out: arrowimg.fetch_images(arrowimg.scan(out)),
    "frame": fetch_from,
    "batches": lambda out: list(arrowimg.read_batches(out)),
    "unchecked": lambda out: list(arrowimg.read_batches(out, check=False)),
    "inspect": inspect_dataset,
    "reshard": lambda out: arrowimg.reshard(out, f"{out}-new", progress=False),
    "where": lambda out: arrowimg.reshard(out, f"{out}-some", "width > 1", progress=False),
    "merge": lambda out: arrowimg.merge([out], f"{out}-merged", progress=False),
    **{
        f"index-{name}": (lambda out, name=name: arrowimg.export_index(out, [name]))  # type: ignore[misc]
        for name in FORMATS
    },
    "skip": lambda out: write(out, "skip"),
    "again": lambda out: write(out, "verify"),
    "error": lambda out: write(out, "error"),
    "delete": lambda out: arrowimg.collect_garbage(out, 0, delete=True),
    "overwrite": lambda out: write(out, "overwrite"),
}
"""In this order; the last ones change what is there."""


class TooLongError(Exception):
    pass


def _too_long(*_: object) -> None:
    raise TooLongError


def outcome(operation: Callable[[Any], object], given: Any) -> str:  # noqa: ANN401
    """Return what became of an operation: nothing where it was right."""
    try:
        operation(given)
    except arrowimg.errors.ArrowimgError:
        return ""
    except BaseException as error:  # noqa: BLE001  # panics of Polars are no exceptions
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        return f"{kind}: {str(error)[:300]}"
    return ""


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def say(*words: str) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


WATCHED = {"open", "os.remove", "os.rename", "os.truncate", "os.listdir", "os.scandir"}


def audit(opened: list[str], event: str, values: tuple[Any, ...]) -> None:
    """Note what is done to files in a folder called ``outside``."""
    if event not in WATCHED or not values:
        return
    path = str(values[0])
    # Who removes or renames a link does nothing to what it leads to.
    is_of_name = event in ("os.remove", "os.rename")
    folder = os.path.realpath(os.path.dirname(path) if is_of_name else path)  # noqa: PTH120
    if "/outside/" in f"{folder}/":
        opened.append(f"{event} {path}")


def memory(field: str) -> int:
    """Return how many bytes of memory the process has, ``VmRSS``, or had at most, ``VmHWM``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def tried(name: str, out: Path, opened: list[str]) -> str:
    """Run an operation; returns what was wrong, nothing where all was right."""
    given = GIVEN.get(name, Path)(out)
    Path("/proc/self/clear_refs").write_text("5")  # forget how much memory there was at most
    used, started = memory("VmRSS"), time.monotonic()
    signal.alarm(SECONDS)
    found = outcome(OPERATIONS[name], given)
    signal.alarm(0)
    grown = memory("VmHWM") - used
    if grown > GROWTH_NBYTES + (given.nbytes if isinstance(given, pa.Table) else 0):
        found += f" grew by {grown:,} bytes"
    if opened:
        found += f" opened {opened}"
    if time.monotonic() - started > SECONDS / 2:
        found += " took long"
    opened.clear()
    return found


def main(folders: list[str]) -> None:
    opened: list[str] = []
    is_watched = "--watched" in folders
    folders = [folder for folder in folders if folder != "--watched"]
    before = {} if is_watched else {it: content(Path(it) / "outside") for it in folders}
    used = memory("VmHWM")
    resource.setrlimit(resource.RLIMIT_AS, (used + 8 * 2**30, used + 8 * 2**30))
    signal.signal(signal.SIGALRM, _too_long)
    sys.addaudithook(functools.partial(audit, opened))
    for folder in folders:
        for name in OPERATIONS:
            say(folder, name, "begun")
            found = tried(name, Path(folder) / "out", opened)
            if found:
                say(folder, name, found)
        if not is_watched:
            if content(Path(folder) / "outside") != before[folder]:
                say(folder, "all", "changed what is outside")
            shutil.rmtree(folder)
            opened.clear()  # those were by this program
    say("", "", "ended")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What reading back costs: pictures by byte range beside streams, indexes beside writing.

One process, warm: the dataset was just written to memory, so that both sides read from the cache.
"""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import arrowimg
from arrowimg._dataset.index.formats import FORMATS, IndexFormat
from benchmarks.contenders import arrowimg_shards
from benchmarks.figures import spread
from benchmarks.inputs import INPUTS, make_input
from benchmarks.views import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

Result = TypeVar("Result")

_IMAGES_PER_TAR = 1_000
_READ_NBYTES = 2**23


def fetch(rounds: int, folder: Path, *, quick: bool) -> list[list[str]]:
    """Return what 1,000 random pictures cost, fetched and streamed: a table, its head first."""
    num_images, num_wanted = (20_000, 200) if quick else (100_000, 1_000)
    with dataset("15KB", num_images, folder) as (out, _):
        rows = arrowimg.scan(out).collect()
        random = np.random.default_rng(num_images)
        measured = [
            _fetch_once(out, rows, random.permutation(num_images)[:num_wanted])
            for _ in range(rounds)
        ]
    names = list(measured[0])
    cells = {name: spread([one[name] for one in measured]) for name in names}
    return [
        ["what", "median", "quartiles"],
        *(
            [name, f"{middle:,.3g}", f"{low:,.3g} to {high:,.3g}"]
            for name, (low, middle, high) in cells.items()
        ),
    ]


def _fetch_once(
    out: Path, rows: pl.DataFrame, wanted: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> dict[str, float]:
    chosen = rows[wanted]
    ids = chosen.lazy().select("image_id")
    before = _nbytes_read()
    fetching, found = timed(lambda: arrowimg.fetch_images(chosen))
    nbytes = _nbytes_read() - before
    querying, queried = timed(
        lambda: arrowimg.fetch_images(
            arrowimg.scan(out).join(ids.lazy(), on="image_id", how="semi")
        )
    )
    streaming, streamed = timed(lambda: dict(_stream(out, set(chosen["member_name"]))))
    reading, _ = timed(lambda: _read_through(out))
    for frame in (found, queried):
        files = dict(zip(frame["member_name"], frame["image_data"], strict=True))
        if files != streamed:
            raise ValueError("fetched pictures differ from those that were streamed")
    return {
        "bytes read over bytes of the pictures": nbytes / float(chosen["size"].sum()),
        "seconds to fetch": fetching,
        "seconds to query and fetch": querying,
        "webdataset's time over fetching": streaming / fetching,
        "webdataset's time over querying and fetching": streaming / querying,
        "time to read all tars, nothing parsed, over fetching": reading / fetching,
    }


def _stream(out: Path, names: set[str]) -> Iterator[tuple[str, bytes]]:
    import webdataset  # noqa: PLC0415  # only here

    tars = sorted(str(path) for path in out.glob("*.tar"))
    for sample in webdataset.WebDataset(tars, shardshuffle=False):
        name = f"{sample['__key__']}.jpg"
        if name in names:
            yield name, sample["jpg"]


def _read_through(out: Path) -> None:
    for path in sorted(out.glob("*.tar")):
        with path.open("rb", buffering=0) as file:
            while file.read(_READ_NBYTES):
                pass


def index(rounds: int, folder: Path, *, quick: bool) -> list[list[str]]:
    """Return what each index costs beside writing the dataset: a table, its head first."""
    num_images = 50_000 if quick else 1_000_000
    with dataset("64", num_images, folder, checksum="sha256") as (out, written):
        seconds: dict[IndexFormat, list[float]] = {name: [] for name in FORMATS}
        for _ in range(rounds):
            for name, found in seconds.items():
                taken, _ = timed(functools.partial(arrowimg.export_index, out, [name]))
                found.append(taken)
    rows = []
    for name, found in seconds.items():
        low, middle, high = (100 * value / written for value in spread(found))
        rows.append([name, f"{spread(found)[1]:.3f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"])
    return [["index", "seconds", f"per cent of writing ({written:.1f} s)"], *rows]


@contextmanager
def dataset(
    name: str, num_images: int, folder: Path, **options: Any
) -> Iterator[tuple[Path, float]]:
    """Write a dataset, and remove it at the end; yields its folder, and the seconds it took."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        source, _ = make_input(INPUTS[name], min(num_images, INPUTS[name].num_rows), place)
        table = read_table(str(source))
        prepared = arrowimg_shards.prepare(table, -(-num_images // len(table)))
        print(f"writing {len(prepared.ids):,} pictures", file=sys.stderr)
        out = place / "out"
        write = functools.partial(
            arrowimg_shards.write,
            prepared,
            str(out),
            batch_rows=_IMAGES_PER_TAR,
            repeats=0,
            images_per_tar=_IMAGES_PER_TAR,
            **options,
        )
        seconds, _ = timed(write)
        yield out, seconds
    finally:
        shutil.rmtree(place)


def timed(function: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def _nbytes_read() -> int:
    """Return what this process has read so far, as the kernel counts it."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])

"""Memory: as much for a hundred batches as for ten, and for a shard of 2 GiB about its bytes.

Batches are made one at a time, in memory of their own, and handed to `arrowimg.write_shards` by a
generator. The peak is that of the process above what was resident before it began to write; one
batch, or while the next is made two, are part of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.contenders import Contender
from benchmarks.figures import spread
from benchmarks.inputs import INPUTS
from benchmarks.rounds import Case

if TYPE_CHECKING:
    from benchmarks.results import Run

NUM_BATCHES = (10, 100)
DECODED, FILES, LARGE = "256x256, decoded", "15 KB files", "one shard of 2 GiB"
CONTENDER = "write_shards"
_LARGE_BATCHES = 43


def workload(kind: str, num_batches: int) -> str:
    """Return what a case is called."""
    return f"{kind}, {num_batches} batches"


def cases() -> list[Case]:
    """Return what is measured."""
    cases = [
        _case(kind, source, number, 1000)
        for kind, source in ((DECODED, "batch-256"), (FILES, "batch-15KB"))
        for number in NUM_BATCHES
    ]
    return [*cases, replace(_case(LARGE, "batch-100KB", _LARGE_BATCHES, 10**9), block=LARGE)]


def _case(kind: str, source: str, num_batches: int, images_per_tar: int) -> Case:
    settings = {
        "repeats": num_batches,
        "batch_rows": INPUTS[source].num_rows,
        "copies": True,
        "images_per_tar": images_per_tar,
    }
    contender = Contender(CONTENDER, "arrowimg_shards", "", settings=settings)
    return Case(kind, workload(kind, num_batches), contender, source)


def table(run: Run) -> list[list[str]]:
    """Return the rows of a table, its head first."""
    rows = [["what is written", "pictures", "written, MiB", "peak memory, MiB"]]
    for figure in run.figures:
        if figure.status == "ok":
            low, median, high = (value / 2**20 for value in spread(figure.peaks))
            peak = f"{median:.0f} ({low:.0f} to {high:.0f})"
        else:
            peak = f"{figure.status}: {figure.reason}"
        written = f"{figure.written_nbytes / 2**20:.0f}"
        rows.append([figure.workload, f"{figure.num_rows:,}", written, peak])
    return rows

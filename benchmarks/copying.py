"""What resharding costs beside ``cp -r`` of the same files.

One process, warm: the dataset was just written to memory, so that both sides read from the cache;
in turn, so that both see the same minute.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import arrowimg
from benchmarks.figures import ratios, spread
from benchmarks.reading import dataset, timed

if TYPE_CHECKING:
    from pathlib import Path

_PICTURES = {"15 KB": "15KB", "100 KB": "100KB"}
_PER_TAR = (1_000, 700)
"""As many as in the source, and others, so that new tars begin within old ones."""


def reshard(rounds: int, folder: Path, *, quick: bool) -> list[list[str]]:
    """Return how fast 10,000 pictures are copied into new shards: a table, its head first."""
    num_images = 2_000 if quick else 10_000
    rows = [["pictures", "to a tar", "seconds", "seconds of cp", "share of the speed of cp"]]
    for name, key in _PICTURES.items():
        with dataset(key, num_images, folder) as (out, _):
            for per_tar in _PER_TAR:
                # The first makes threads, and touches memory.
                measured = [_measure_once(out, per_tar) for _ in range(rounds + 1)][1:]
                ours, theirs = zip(*measured, strict=True)
                low, middle, high = ratios(theirs, ours)
                seconds = [f"{spread(found).median:.3f}" for found in (ours, theirs)]
                share = f"{middle:.2f} ({low:.2f} to {high:.2f})"
                rows.append([name, f"{per_tar:,}", *seconds, share])
    return rows


def _measure_once(out: Path, per_tar: int) -> tuple[float, float]:
    """Return the seconds of resharding, and of copying the files."""
    new = out.with_name("new")
    ours, _ = timed(
        lambda: arrowimg.reshard(
            out, new, images_per_tar=per_tar, progress=False, durability="process"
        )
    )
    shutil.rmtree(new)
    theirs, _ = timed(lambda: subprocess.run(["/bin/cp", "-r", out, new], check=True))
    shutil.rmtree(new)
    return ours, theirs

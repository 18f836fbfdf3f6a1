"""Cost per picture, from a thousand pictures to a million: what a dataset costs that grows.

Thumbnails as JPEG files, handed to `arrowimg.write_shards` by a generator of tables of 1,000 rows.
Beyond 10,000 pictures, the same files come again under other ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import Contender
from benchmarks.figures import spread
from benchmarks.rounds import Case

if TYPE_CHECKING:
    from benchmarks.results import Figure, Run

THREADS = (1, 2)
NUM_PICTURES = (1_000, 10_000, 100_000, 1_000_000)
IMAGES_PER_TAR = (10, 100, 1_000, 10_000, 100_000)
_USUAL_PER_TAR = 1_000
_BATCH_ROWS = 1_000


def pictures_case(num_pictures: int, threads: int) -> Case:
    """Return the case of so many pictures, 1,000 to a tar."""
    return _case("pictures", num_pictures, _USUAL_PER_TAR, threads)


def tars_case(images_per_tar: int, threads: int) -> Case:
    """Return the case of tars of so many pictures: 1,000 tars, 100,000 pictures at most."""
    num_pictures = max(min(1000 * images_per_tar, 100_000), 10_000)
    return _case("tars", num_pictures, images_per_tar, threads)


def cases() -> list[Case]:
    """Return what is measured."""
    return [
        *(pictures_case(number, threads) for threads in THREADS for number in NUM_PICTURES),
        *(tars_case(number, threads) for threads in THREADS for number in IMAGES_PER_TAR),
    ]


def _case(block: str, num_pictures: int, images_per_tar: int, threads: int) -> Case:
    source = "few-thumbnails" if num_pictures < 10_000 else "thumbnails"
    settings = {
        "repeats": max(num_pictures // 10_000, 1),
        "batch_rows": _BATCH_ROWS,
        "images_per_tar": images_per_tar,
        "encode_threads": threads,
    }
    contender = Contender(
        f"{threads} thread{'s' * (threads > 1)}", "arrowimg_shards", "", settings=settings
    )
    workload = f"{block}: {num_pictures:,} pictures, {images_per_tar:,} to a tar"
    return Case(f"{block}, {threads}", workload, contender, source)


def microseconds(figure: Figure) -> list[float]:
    """Return the time per picture of each round."""
    return [seconds / figure.num_rows * 1e6 for seconds in figure.seconds]


def table(run: Run) -> list[list[str]]:
    """Return the rows of a table, its head first."""
    head = [
        "what grows",
        *(f"{number} thread{'s' * (number > 1)}, us a picture" for number in THREADS),
    ]
    rows = [
        [workload, *(_cell(figure) for figure in run.figures if figure.workload == workload)]
        for workload in dict.fromkeys(figure.workload for figure in run.figures)
    ]
    return [head, *rows]


def _cell(figure: Figure) -> str:
    if figure.status != "ok":
        return f"{figure.status}: {figure.reason}"
    low, median, high = spread(microseconds(figure))
    return f"{median:.1f} ({low:.1f} to {high:.1f})"

"""What arrowimg set out to reach, ratios within one run, and whether it did."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks import growth, memory
from benchmarks.figures import Spread, ratios

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.results import Figure, Run
    from benchmarks.rounds import Case

Side = tuple[str, str]
"""A workload and a contender."""


@dataclass(frozen=True)
class Target:
    """A ratio to reach.

    Attributes
    ----------
    command
        Whose run holds both sides.
    over, under
        Numerator and denominator.
    quantity
        Of which the ratio is: the wall time, that per picture, or the peak memory.
    better
        Whether the ratio should be at least, or at most, the floor.
    """

    name: str
    figure: str
    command: str
    over: Side
    under: Side
    floor: float
    aim: float
    better: Literal["more", "less"] = "more"
    quantity: Literal["seconds", "seconds a picture", "peak"] = "seconds"


def _limit(workload: str, limit: str, figure: str, floor: float, aim: float) -> Target:
    return Target(workload, figure, "run", (workload, limit), (workload, "arrowimg"), floor, aim)


def _peer(workload: str, peer: str, floor: float, aim: float, ours: str = "arrowimg") -> Target:
    name = workload if ours == "arrowimg" else f"{workload} ({ours})"
    figure = f"times faster than {peer}"
    return Target(name, figure, "run", (workload, peer), (workload, ours), floor, aim)


def _sides(over: Case, under: Case) -> tuple[Side, Side]:
    return (over.workload, over.contender.name), (under.workload, under.contender.name)


_ENCODE = "limit: encode, 2 threads"
_SHARE = "share of the encode limit, 2 threads"
_ONE_CORE, _ONE_THREAD = "256x256, one core", "arrowimg, 1 thread"
_CAPTIONS = "arrowimg, captions in the tar"

TARGETS = (
    _limit("256x256", _ENCODE, _SHARE, 0.90, 0.97),
    _limit("1024x768", _ENCODE, _SHARE, 0.95, 0.99),
    _limit("64x64", _ENCODE, _SHARE, 0.72, 0.85),
    _limit("15 KB files", "limit: one write", "share of one raw write", 0.65, 1.0),
    _peer("256x256", "NeMo Curator", 2.4, 2.7),
    _peer("1024x768", "NeMo Curator", 2.2, 2.4),
    _peer("64x64", "NeMo Curator", 3.8, 4.5),
    _peer(_ONE_CORE, "NeMo Curator", 1.45, 1.6, _ONE_THREAD),
    _peer("15 KB files", "webdataset", 12, 20, _CAPTIONS),
    _peer("15 KB files", "webdataset", 12, 20),
    Target(
        "768 float32 on each row of 256x256",
        "time with, over time without",
        "run",
        ("256x256, embedding", "arrowimg"),
        ("256x256", "arrowimg"),
        1.05,
        1.02,
        "less",
    ),
    *(
        Target(
            f"10^6 over 10^4 thumbnails, {threads} thread{'s' * (threads > 1)}",
            "cost per picture",
            "growth",
            *_sides(
                growth.pictures_case(1_000_000, threads), growth.pictures_case(10_000, threads)
            ),
            1.10,
            1.02,
            "less",
            "seconds a picture",
        )
        for threads in growth.THREADS
    ),
    *(
        Target(
            f"100 over 10 batches, {kind}",
            "peak memory",
            "memory",
            (memory.workload(kind, 100), memory.CONTENDER),
            (memory.workload(kind, 10), memory.CONTENDER),
            1.05,
            1.01,
            "less",
            "peak",
        )
        for kind in (memory.DECODED, memory.FILES)
    ),
)


def reached(target: Target, runs: Mapping[str, Run]) -> Spread | None:
    """Return the ratio, None where a run does not hold both of its sides."""
    run = runs.get(target.command)
    if run is None:
        return None
    over, under = run.figure(*target.over), run.figure(*target.under)
    if over is None or under is None:
        return None
    return ratios(_values(over, target), _values(under, target))


def _values(figure: Figure, target: Target) -> list[float]:
    if target.quantity == "peak":
        return [float(peak) for peak in figure.peaks]
    rows = figure.num_rows if target.quantity == "seconds a picture" else 1
    return [seconds / rows for seconds in figure.seconds]


def verdict(target: Target, ratio: float) -> Literal["aim", "floor", "missed"]:
    """Return the more ambitious of the two that is met, or that none is."""
    meets = operator.ge if target.better == "more" else operator.le
    if meets(ratio, target.aim):
        return "aim"
    return "floor" if meets(ratio, target.floor) else "missed"


def table(runs: Mapping[str, Run]) -> list[list[str]]:
    """Return the rows of a table, its head first."""
    rows = [["", "figure", "reached", "quartiles", "floor", "aim", "met"]]
    for target in TARGETS:
        ratio = reached(target, runs)
        bounds = [f"{target.floor:g}", f"{target.aim:g}"]
        if ratio is None:
            rows.append([target.name, target.figure, "not measured", "", *bounds, ""])
            continue
        median = f"{ratio.median:.3g}"
        quartiles = f"{ratio.low:.3g} to {ratio.high:.3g}"
        met = verdict(target, ratio.median)
        rows.append([target.name, target.figure, median, quartiles, *bounds, met])
    return rows

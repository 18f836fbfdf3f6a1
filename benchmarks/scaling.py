"""What more cores bring: one call with threads or processes, its limit, and NeMo Curator.

As many rows for each core, whatever their number, in eight shards for each; processes are bound to
as many cores as they may use. The limit, and NeMo Curator, are as many processes of
one thread, each with its part of the rows, that are there before the clock starts. The workers of
arrowimg start within the call; what that takes is measured by a call that writes next to nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.contenders import Contender
from benchmarks.figures import ratios, spread
from benchmarks.rounds import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import Figure, Run


class Size(NamedTuple):
    """Pictures of one size.

    Attributes
    ----------
    input
        Key of `benchmarks.inputs.INPUTS`.
    rows_per_core, quick_rows_per_core
        For about a second of one core, and of a quick run.
    limit
        Module of `benchmarks.contenders`, and its settings for one thread.
    has_peer
        Whether NeMo Curator's writer takes them: it does not take files.
    """

    input: str
    rows_per_core: int
    quick_rows_per_core: int
    limit: tuple[str, dict[str, int]]
    has_peer: bool = True


_ENCODE = ("limit_encode", {"threads": 1})
SIZES = {
    "64x64": Size("64", 32_000, 8_000, _ENCODE),
    "256x256": Size("256", 5_000, 2_000, _ENCODE),
    "1024x768": Size("1024", 500, 200, _ENCODE),
    "15 KB files": Size("15KB", 20_000, 10_000, ("limit_write", {}), has_peer=False),
}
LIMIT, THREADS, PROCESSES, PEER = "limit", "threads", "processes", "NeMo Curator"
START = "start"
_SHARDS_PER_CORE = 8
_START_ROWS = 64


def machine_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def steps(cores: int) -> list[int]:
    """Return 1, 2, 4, and so on, and the cores of the machine at the end."""
    return [*(2**power for power in range((cores - 1).bit_length())), cores]


def kept_as(run: Run) -> str:
    """Return the name under which a run is kept: one for each number of cores of the machine."""
    return f"scaling-{run.machine['cores']}-cores"


def workload(name: str, cores: int) -> str:
    """Return what the cases of so many cores are called."""
    return f"{name}, {cores} core{'s' * (cores > 1)}"


def cases(cores: int | None = None, *, quick: bool = False) -> list[Case]:
    """Return what is measured on a machine of so many cores; None: on this one."""
    available = cores or machine_cores()
    rows = {
        name: size.quick_rows_per_core if quick else size.rows_per_core
        for name, size in SIZES.items()
    }
    return [
        *(
            Case(START, workload(START, step), _start(step), "64", cores=step, num_rows=_START_ROWS)
            for step in steps(available)[1:]
        ),
        *(
            Case(
                name,
                workload(name, step),
                contender,
                size.input,
                cores=step,
                num_rows=rows[name] * step,
                input_rows=rows[name] * available,
            )
            for name, size in SIZES.items()
            for step in steps(available)
            for contender in _contenders(size, step, rows[name])
        ),
    ]


def _start(cores: int) -> Contender:
    # A shard for each: more of them would take time of their own.
    per_tar = -(-_START_ROWS // cores)
    settings = {"images_per_tar": per_tar, "encode_threads": cores, "workers": cores}
    return Contender(PROCESSES, "arrowimg_call", "", settings=settings, in_process=False)


def _contenders(size: Size, cores: int, rows_per_core: int) -> list[Contender]:
    options = {
        "images_per_tar": rows_per_core // _SHARDS_PER_CORE,
        "encode_threads": cores,
    }
    module, settings = size.limit
    found = [
        _side_by_side(LIMIT, cores, module, settings),
        Contender(THREADS, "arrowimg_call", "", settings=options | {"workers": 1}),
    ]
    if cores > 1:
        many = options | {"workers": cores}
        found.append(Contender(PROCESSES, "arrowimg_call", "", settings=many, in_process=False))
    if size.has_peer:
        found.append(_side_by_side(PEER, cores, "nemo_curator", {}, "nemo-curator"))
    return found


def _side_by_side(
    name: str, cores: int, module: str, settings: dict[str, int], environment: str | None = None
) -> Contender:
    every: dict[str, Any] = {"module": module, "processes": cores, **settings}
    return Contender(name, "side_by_side", "", environment, every, in_process=False)


def names_of(run: Run) -> list[str]:
    """Return the keys of `SIZES` that a run has measured."""
    return [name for name in SIZES if any(one.workload == workload(name, 1) for one in run.figures)]


def cores_of(run: Run) -> list[int]:
    """Return for how many cores a run has measured."""
    return steps(int(run.machine["cores"]))


def seconds(run: Run, name: str, cores: int, contender: str) -> list[float]:
    """Return the time of each round, less what starting the workers takes; [] where there is none.

    The start is the median of all rounds.
    """
    figure = run.figure(workload(name, cores), contender)
    if figure is None:
        return []
    start = _start_seconds(run, cores) if contender == PROCESSES else 0.0
    if start is None:
        return []
    # Where all there is to do takes less than a start varies, nothing is known.
    left = [taken - start for taken in figure.seconds]
    return left if min(left) > 0 else []


def rates(run: Run, name: str, cores: int, contender: str) -> list[float]:
    """Return the pictures a second of each round, of the time that `seconds` returns."""
    figure = run.figure(workload(name, cores), contender)
    num_rows = figure.num_rows if figure is not None else 0
    return [num_rows / taken for taken in seconds(run, name, cores, contender)]


def _start_seconds(run: Run, cores: int) -> float | None:
    figure = run.figure(workload(START, cores), PROCESSES)
    return None if figure is None else spread(figure.seconds).median


def table(run: Run) -> list[list[str]]:
    """Return the rows of a table, its head first."""
    head = ["pictures", "cores", LIMIT, THREADS, PROCESSES, "with their start", PEER]
    rows = [[*head, "better of ours / limit", "better of ours / NeMo Curator"]]
    for name in names_of(run):
        for cores in cores_of(run):
            lines = [
                rates(run, name, cores, contender)
                for contender in (LIMIT, THREADS, PROCESSES, PEER)
            ]
            whole = _whole(run.figure(workload(name, cores), PROCESSES))
            cells = [_rate(line) for line in (*lines[:3], whole, lines[3])]
            # Of those there are; one process alone is a thread.
            ours = max(lines[1:3], key=lambda line: spread(line).median if line else 0.0)
            shares = [_share(ours, lines[0]), _share(ours, lines[3])]
            rows.append([name, str(cores), *cells, *shares])
    return rows


def starts(run: Run) -> str:
    """Return what starting workers took, in a sentence."""
    found = [
        f"{cores} processes {taken:.2f} s"
        for cores in cores_of(run)
        if (taken := _start_seconds(run, cores)) is not None
    ]
    if not found:
        return "What starting the workers takes is not known: no figure stands without it."
    return f"Starting them, and writing {_START_ROWS} thumbnails: {', '.join(found)}."


def missing(run: Run) -> str:
    """Return whose figures do not count, and why, in sentences."""
    reasons = {
        f"{one.contender}: {one.status}{f' ({one.reason})' if one.status == 'failed' else ''}."
        for one in run.figures
        if one.status != "ok"
    }
    return "\n".join(sorted(reasons))


def _whole(figure: Figure | None) -> list[float]:
    return [] if figure is None else [figure.num_rows / taken for taken in figure.seconds]


def _rate(found: Sequence[float]) -> str:
    return f"{spread(found).median:,.0f}" if found else ""


def _share(ours: Sequence[float], others: Sequence[float]) -> str:
    if not ours or not others:
        return ""
    low, middle, high = ratios(ours, others)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"

"""The command: ``python -m benchmarks``, see ``docs/explanation/benchmarks.md``."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import (
    copying,
    growth,
    lock,
    memory,
    page,
    plots,
    profile,
    reading,
    results,
    scaling,
    targets,
    workloads,
)
from benchmarks.contenders import ENVIRONMENTS
from benchmarks.environments import FOLDER, install
from benchmarks.machine import facts
from benchmarks.rounds import Bench, Case, measure_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ROUNDS, _QUICK_ROUNDS = 7, 3
_TMPFS = Path("/dev/shm")  # noqa: S108  # a folder of random name is made inside


_BARS = """\
![Pictures a second of each contender that was given pixels](benchmarks-decoded.svg)

![Pictures a second of each contender that was given JPEG files](benchmarks-files.svg)"""
_CURVES = (
    "![Microseconds a picture over the number of pictures, and over pictures to a tar]"
    "(benchmarks-growth.svg)"
)

_CASES: dict[str, Callable[[bool], list[Case]]] = {
    "run": lambda _: workloads.cases(),
    "growth": lambda _: growth.cases(),
    "memory": lambda _: memory.cases(),
    "scaling": lambda quick: scaling.cases(quick=quick),
}
"""What each command measures, by whether the run is a quick one."""

_TABLES = {"fetch": reading.fetch, "index": reading.index, "reshard": copying.reshard}
"""What can be measured of datasets that are there, by what its section of the page is called."""


def _tables(run: results.Run) -> dict[str, list[list[str]]]:
    """Return the tables of a run, by what they are called."""
    if run.command == "growth":
        return {"growth": growth.table(run)}
    if run.command == "memory":
        return {"memory": memory.table(run)}
    if run.command == "scaling":
        return {"scaling": scaling.table(run)}
    return {
        workload: page.rates([one for one in run.figures if one.workload == workload])
        for workload in dict.fromkeys(figure.workload for figure in run.figures)
    }


def _refresh(run: results.Run) -> None:
    if run.command == "run":
        plots.draw_run(run)
        page.refresh(
            {
                "machine": page.machine(run),
                "contenders": page.contenders(run),
                "results": f"{_BARS}\n\n{page.results(run)}",
            }
        )
        return
    if run.command == "scaling":
        page.refresh({"scaling": "\n\n".join(map(_scaling, results.load_all("scaling")))})
        return
    parts = [page.when(run), page.markdown(_tables(run)[run.command])]
    if run.command == "growth":
        plots.draw_growth(run)
        parts.insert(0, _CURVES)
    page.refresh({run.command: "\n\n".join(filter(None, parts))})


def _scaling(run: results.Run) -> str:
    """Return what the page says of one machine."""
    plots.draw_scaling(run)
    plot = f"![Pictures a second over the number of cores]({plots.scaling_plot(run)})"
    said = [page.where(run), plot, page.when(run), page.markdown(scaling.table(run))]
    return "\n\n".join(filter(None, [*said, scaling.starts(run), scaling.missing(run)]))


def _measure(options: argparse.Namespace) -> None:
    cases = [
        case
        for case in _CASES[options.command](options.quick)
        if options.only is None or options.only.search(case.name)
        if not options.names or case.input in options.names or case.block == scaling.START
    ]
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    tmpfs, disk = (Path(tempfile.mkdtemp(dir=folder)) for folder in (options.tmpfs, options.disk))
    try:
        places = {"tmpfs": tmpfs, "disk": disk}
        machine = facts(places)
        figures, counts = measure_all(cases, Bench(places, rounds, options.quick, options.lock))
    finally:
        shutil.rmtree(tmpfs)
        shutil.rmtree(disk)
    run = results.Run(
        command=options.command,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        quick=options.quick,
        num_rounds=rounds,
        machine=machine,
        figures=figures,
        redone=counts.redone,
        disturbed=counts.disturbed,
    )
    is_whole = options.only is None and not options.names
    if is_whole:
        results.save(run, scaling.kept_as(run) if run.command == "scaling" else "")
        _refresh(run)
        _refresh_targets()
    if options.json:
        sys.stdout.buffer.write(results.encode(run))
    else:
        for name, table in _tables(run).items():
            print(f"\n{name}\n{_text(table)}")
    if options.command == "scaling":
        _sample_lock(run, options.tmpfs, is_kept=is_whole)


def _sample_lock(run: results.Run, tmpfs: Path, *, is_kept: bool) -> None:
    """Say for which share of the time the interpreter's lock was held, or why that is not known."""
    if lock.py_spy() is None:
        print("the lock was not sampled: py-spy is not installed", file=sys.stderr)
        return
    try:
        table = lock.table(scaling.names_of(run), scaling.machine_cores(), tmpfs)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        print(f"the lock was not sampled: {error}: {reason}", file=sys.stderr)
        return
    print(f"\n{_text(table)}", file=sys.stderr)
    if is_kept:
        page.refresh({"lock": f"{page.where(run)}\n\n{page.markdown(table)}"})


def _refresh_targets() -> list[list[str]]:
    runs = {command: run for command in _CASES if (run := results.load(command)) is not None}
    table = targets.table(runs)
    page.refresh({"targets": page.markdown(table)})
    return table


def _text(table: Sequence[Sequence[str]]) -> str:
    """Return a table in columns as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _install(options: argparse.Namespace) -> int:
    """Install environments; returns how many failed."""
    failures = 0
    for name in options.names or ENVIRONMENTS:
        print(name, file=sys.stderr)
        try:
            install(name)
        except subprocess.CalledProcessError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failures += 1
    return failures


def _profile(options: argparse.Namespace) -> None:
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    parts = []
    for name in options.names or ("64", "256", "15KB"):
        table, num_rows = profile.profile(name, rounds, options.tmpfs)
        print(f"\n{name}, {num_rows:,} pictures\n{_text(table)}")
        parts.append(f"**{name}** ({num_rows:,} pictures):\n\n{page.markdown(table)}")
    if not options.names:
        page.refresh({"profile": "\n\n".join(parts)})


def _read(options: argparse.Namespace) -> None:
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    for name in options.names or _TABLES:
        table = _TABLES[name](rounds, options.tmpfs, quick=options.quick)
        print(f"\n{name}\n{_text(table)}")
        kind = "A quick run, which says little" if options.quick else "A full run"
        date = dt.datetime.now(dt.UTC).date()
        when = f"{kind}, {date}, {rounds} rounds."
        page.refresh({name: f"{when}\n\n{page.markdown(table)}"})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        default="run",
        choices=[*_CASES, "reading", "targets", "profile", "install"],
        help="what to measure; targets: the ratios of the last runs; install: other contenders",
    )
    parser.add_argument(
        "names", nargs="*", help="install: environments; profile, scaling: inputs; reading: tables"
    )
    parser.add_argument("--only", type=re.compile, metavar="REGEX", help="in 'workload: contender'")
    parser.add_argument("--rounds", type=int, help=f"{_ROUNDS}; with --quick {_QUICK_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="smaller inputs, fewer rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--tmpfs", type=Path, default=_TMPFS, help="a folder in memory")
    parser.add_argument("--disk", type=Path, default=FOLDER, help="a folder on the disk")
    parser.add_argument("--lock", type=Path, help="a file to lock while measuring")
    return parser


def main() -> int:
    """Obey the command line."""
    options = _parser().parse_args()
    FOLDER.mkdir(exist_ok=True)
    if options.command == "install":
        return _install(options)
    if options.command == "profile":
        _profile(options)
    elif options.command == "reading":
        _read(options)
    elif options.command == "targets":
        print(_text(_refresh_targets()))
    else:
        _measure(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

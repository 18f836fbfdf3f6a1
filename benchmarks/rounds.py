"""Measures cases in rounds: each in a fresh process, in turn, again where others disturbed it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import ENVIRONMENTS, Contender
from benchmarks.environments import ROOT, python_of
from benchmarks.inputs import INPUTS, make_input
from benchmarks.results import Figure, Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIMEOUT = 300
_MAX_TRIES = 3
# Not inherited: what bounds threads, and what makes Ray talk, phone home or ask for a token.
_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore",
}
_LEFT_OUT = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Case:
    """One contender on one workload.

    Attributes
    ----------
    block
        Cases of one block are measured in turn.
    input
        Key of `INPUTS`.
    place
        Key of `Bench.places`.
    num_rows
        Of the input, where not as many as `INPUTS` says.
    input_rows
        Of the input that these are the first of, where it has more.
    """

    block: str
    workload: str
    contender: Contender
    input: str
    place: str = "tmpfs"
    cores: int | None = None
    num_rows: int | None = None
    input_rows: int | None = None

    @property
    def name(self) -> str:
        """The case in words."""
        return f"{self.workload}: {self.contender.name}"


@dataclass(frozen=True)
class Bench:
    """How to measure.

    Attributes
    ----------
    places
        Folders to write to.
    quick
        True: smaller inputs.
    lock
        A file to lock while a round of a block is measured, on machines that several share.
    """

    places: dict[str, Path]
    num_rounds: int
    quick: bool = False
    lock: Path | None = None


@dataclass
class _Tally:
    """What is known of one case so far."""

    status: str = "ok"
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    rounds: list[Measurement] = field(default_factory=list)


@dataclass
class Counts:
    """How quiet the machine was.

    Attributes
    ----------
    redone
        Rounds of a block that were measured again.
    disturbed
        Measurements that count although others disturbed them.
    """

    redone: int = 0
    disturbed: int = 0


class _CaseError(RuntimeError):
    """A worker that failed; its message is the last that it said."""


def measure_all(cases: list[Case], bench: Bench) -> tuple[list[Figure], Counts]:
    """Return a figure for each case, in order."""
    blocks: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        blocks[case.block].append(case)
    tallies = {case.name: _Tally() for case in cases}
    counts = Counts()
    for case in cases:
        if python_of(case.contender.environment) is None:
            tallies[case.name] = _Tally("not installed", "`python -m benchmarks install`")
    for number in range(bench.num_rounds):
        for block in blocks.values():
            _measure_block(_rotated(block, number), tallies, bench, counts)
        _say(f"round {number + 1} of {bench.num_rounds} done")
    return [_figure(case, tallies[case.name], bench) for case in cases], counts


def _rotated(cases: list[Case], number: int) -> list[Case]:
    start = number % len(cases)
    return cases[start:] + cases[:start]


def _measure_block(
    cases: list[Case], tallies: dict[str, _Tally], bench: Bench, counts: Counts
) -> None:
    """Add one round of a block to the tallies: the first that nobody disturbed."""
    measured: dict[str, Measurement] = {}
    for attempt in range(_MAX_TRIES):
        with _locked(bench.lock):
            measured = _measure_once(cases, tallies, bench)
        disturbed = [one for one in measured.values() if one.is_disturbed]
        if not disturbed:
            break
        if attempt + 1 < _MAX_TRIES:
            counts.redone += 1
            _say(f"others disturbed {len(disturbed)} of {len(measured)}: again")
        else:
            counts.disturbed += len(disturbed)
    for name, measurement in measured.items():
        tallies[name].rounds.append(measurement)


def _measure_once(
    cases: list[Case], tallies: dict[str, _Tally], bench: Bench
) -> dict[str, Measurement]:
    measured = {}
    for case in cases:
        tally = tallies[case.name]
        if tally.status != "ok":
            continue
        try:
            answer = _run(case, bench, check=not tally.facts)
        except _CaseError as error:
            is_wrong = "ContentError" in str(error)
            tally.status, tally.reason = "wrong output" if is_wrong else "failed", str(error)
            _say(f"{case.name}: {tally.status}: {tally.reason}")
            continue
        tally.facts = tally.facts or answer
        measured[case.name] = _measurement(case, answer)
        _say(f"{case.name}: {answer['seconds']:.3f} s, others {answer['others_seconds']:.2f} s")
    return measured


def _measurement(case: Case, answer: dict[str, Any]) -> Measurement:
    is_known = case.contender.in_process
    return Measurement(
        seconds=answer["seconds"],
        cpu_seconds=answer["cpu_seconds"],
        others_seconds=answer["others_seconds"] if is_known else None,
        peak_nbytes=answer["peak_nbytes"] if is_known else None,
    )


def _run(case: Case, bench: Bench, *, check: bool) -> dict[str, Any]:
    """Return what a fresh process answered; nothing of what it wrote is left."""
    folder = bench.places[case.place] / "out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    order = _order(case, bench, str(folder / "pictures"), check=check)
    command = [python_of(case.contender.environment), "-m", "benchmarks.worker", json.dumps(order)]
    environment = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    try:
        with _affinity(case.cores):
            worker = subprocess.run(
                [part for part in command if part is not None],
                cwd=ROOT,
                env=environment | _ENVIRONMENT | {"TMPDIR": str(folder)},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise _CaseError(f"no answer in {_TIMEOUT} s") from None
    finally:
        shutil.rmtree(folder)
    if worker.returncode:
        raise _CaseError(_last_words(worker))
    answer: dict[str, Any] = json.loads(worker.stdout)
    return answer


def _order(case: Case, bench: Bench, out: str, *, check: bool) -> dict[str, Any]:
    """Return what the worker is asked to do, as JSON types.

    Keys: module and settings of the contender, input and reference (paths; no reference, no check),
    num_rows (the first of the input), out (a folder that is not there yet), packages (whose
    versions are wanted).
    """
    rows = num_rows(case, bench)
    in_input = case.input_rows or rows
    path, reference = make_input(INPUTS[case.input], in_input, bench.places["tmpfs"])
    environment = ENVIRONMENTS.get(case.contender.environment or "")
    requirements = (*environment.requires, *environment.without_dependencies) if environment else ()
    return {
        "module": case.contender.module,
        "settings": case.contender.settings,
        "input": str(path),
        "reference": str(reference) if check else None,
        "num_rows": rows,
        "out": out,
        "packages": [
            requirement.partition("=")[0].partition("[")[0] for requirement in requirements
        ],
    }


def num_rows(case: Case, bench: Bench) -> int:
    """Return how many rows the input of a case has."""
    description = INPUTS[case.input]
    if case.num_rows is not None:
        return case.num_rows
    return description.quick_rows if bench.quick else description.num_rows


def _last_words(worker: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in worker.stderr.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else f"ended with {worker.returncode}"


def _figure(case: Case, tally: _Tally, bench: Bench) -> Figure:
    facts = tally.facts
    return Figure(
        workload=case.workload,
        contender=case.contender.name,
        status=tally.status,  # type: ignore[arg-type]  # one of the four
        reason=tally.reason,
        content=facts.get("content", ""),
        num_rows=num_rows(case, bench) * case.contender.settings.get("repeats", 1),
        written_nbytes=facts.get("written_nbytes", 0),
        versions=facts.get("versions", {}),
        rounds=tally.rounds if tally.status == "ok" else [],
    )


@contextlib.contextmanager
def _affinity(cores: int | None) -> Iterator[None]:
    """Bind this process, and those it starts meanwhile, to some cores."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(usable)[-(cores or 0) :])
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@contextlib.contextmanager
def _locked(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

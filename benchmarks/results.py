"""What was measured, as values that can be kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

_MAX_OTHERS = 0.15  # cores
# The kernel counts the time of the whole machine in steps of 10 ms.
_MIN_OTHERS_SECONDS = 0.03

FOLDER = Path(__file__).parent / "results"


class Measurement(Struct, frozen=True):
    """One call in a process of its own.

    Attributes
    ----------
    seconds, cpu_seconds
        Wall time; processor time of the process and of the children it waited for.
    others_seconds
        Processor time of others meanwhile; None where that cannot be told.
    peak_nbytes
        Most memory above what was resident before; None where other processes did the work.
    """

    seconds: float
    cpu_seconds: float
    others_seconds: float | None
    peak_nbytes: int | None

    @property
    def is_disturbed(self) -> bool:
        """Whether others used so much of the machine that the time says little."""
        others = self.others_seconds or 0.0
        return others > max(_MAX_OTHERS * self.seconds, _MIN_OTHERS_SECONDS)


class Figure(Struct, frozen=True):
    """All measurements of one contender on one workload.

    Attributes
    ----------
    status
        Only ``"ok"`` counts.
    reason
        Why a contender failed, or how its output was wrong.
    content
        In what its output equals the reference.
    num_rows
        Pictures that one call writes.
    rounds
        In order; a round that others disturbed is the last of those that were tried.
    """

    workload: str
    contender: str
    status: Literal["ok", "not installed", "failed", "wrong output"]
    reason: str = ""
    content: str = ""
    num_rows: int = 0
    written_nbytes: int = 0
    versions: dict[str, str] = {}
    rounds: list[Measurement] = []

    @property
    def seconds(self) -> list[float]:
        """Wall time of each round."""
        return [measurement.seconds for measurement in self.rounds]

    @property
    def peaks(self) -> list[int]:
        """Peak memory of each round, in bytes, where it is known."""
        return [one.peak_nbytes for one in self.rounds if one.peak_nbytes is not None]


class Run(Struct, frozen=True):
    """Everything that one command measured, and where.

    Attributes
    ----------
    machine
        See `benchmarks.machine.facts`.
    redone
        Rounds of a block that were measured again because others disturbed them.
    disturbed
        Measurements that count although others disturbed them: trying again did not help.
    """

    command: str
    date: str
    quick: bool
    num_rounds: int
    machine: dict[str, str]
    figures: list[Figure]
    redone: int
    disturbed: int

    def figure(self, workload: str, contender: str) -> Figure | None:
        """Return a figure that counts."""
        for figure in self.figures:
            if (figure.workload, figure.contender, figure.status) == (workload, contender, "ok"):
                return figure
        return None


def encode(run: Run) -> bytes:
    """Return a run as JSON."""
    return msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n"


def save(run: Run, name: str = "") -> None:
    """Keep a run in place of the last of its name; that is its command, if none is given."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name or run.command}.json").write_bytes(encode(run))


def load(name: str) -> Run | None:
    """Return the last run of a name, None where there is none."""
    path = FOLDER / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Run) if path.exists() else None


def load_all(command: str) -> list[Run]:
    """Return the last runs of a command on machines of different numbers of cores, fewest first."""
    runs = (load(path.stem) for path in FOLDER.glob(f"{command}-*.json"))
    return sorted(filter(None, runs), key=lambda run: int(run.machine["cores"]))

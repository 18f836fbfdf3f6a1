"""Every system call of a writer fails in turn, once and for good: no shard is torn, none is lost.

The N-th call of a kind fails, N growing until no call is left to fail, as SQLite tests itself.
Only the writer's own calls count: strace is attached to it while it stands still, just before.
"""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from fault_tools import (
    Fault,
    Shards,
    Writers,
    require_strace,
    retry,
    say,
    torn_shards,
    write_reference,
)
from writer_program import Ending, Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECK = "errno sweep"

CHANGES = [
    "openat",
    "write",
    "writev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "linkat",
    "link",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "flock",
    "close",
]
LOOKS = [
    "newfstatat",
    "fstat",
    "stat",
    "lstat",
    "statx",
    "statfs",
    "read",
    "pread64",
    "getdents64",
]
ERRNOS = [
    "EIO",
    "ENOSPC",
    "EDQUOT",
    "EINTR",
    "EMFILE",
    "EACCES",
    "EPERM",
    "ENOMEM",
]
TOLD = {"StorageError", "ShardConflictError"}
"""What a writer may say: that the storage failed, or what it took for another's file."""

LOOK_ERRNOS = ["EIO", "EACCES", "ENOMEM"]


class Scenario(msgspec.Struct, frozen=True):
    """What stands in the folder before, and what the writer is told.

    Attributes
    ----------
    name
        For the figures.
    before
        Suffix and bytes of the files that are there; None: as an undisturbed writer left them.
    options
        Of the writer.
    """

    name: str
    before: dict[str, bytes | None]
    options: dict[str, str] = {}

    def prepare(self, folder: Path, shards: Shards) -> None:
        """Bring a folder into the state before."""
        shutil.rmtree(folder, ignore_errors=True)
        (name,) = shards.names
        for suffix, data in self.before.items():
            folder.mkdir(exist_ok=True)
            path = folder / f"{name}{suffix}"
            path.write_bytes(shards.files[path.name] if data is None else data)

    @property
    def is_committed(self) -> bool:
        """True where the shard is there before."""
        return ".parquet" in self.before and not self.options


FRESH = Scenario("fresh", {})
AGAIN = Scenario("again", {".tar": None, ".parquet": None})
SAME_TAR = Scenario("same tar", {".tar": None})
OTHER_TAR = Scenario("other tar", {".tar": b"of a writer that died"})
OVERWRITE = Scenario("overwrite", {".tar": None, ".parquet": None}, {"if_exists": "overwrite"})
SCENARIOS = [FRESH, AGAIN, SAME_TAR, OTHER_TAR, OVERWRITE]


class Figures(msgspec.Struct):
    """What came of all faults."""

    faults: int = 0
    torn: list[str] = []
    lost: list[str] = []
    hung: list[str] = []
    not_retried: list[str] = []
    untold: list[str] = []
    survived: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter)

    def line(self, control: int) -> str:
        """Return the figures in words."""
        others = {name: n for name, n in self.errors.items() if name != "StorageError"}
        return (
            f"{CHECK}: {self.faults:,} faults: {len(self.torn)} torn, {len(self.lost)} lost, "
            f"{len(self.hung)} hung, {len(self.not_retried)} retries gone wrong; "
            f"{self.survived:,} survived, {self.errors['StorageError']:,} StorageError, "
            f"others {others}; control: {control} torn"
        )


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return write_reference(tmp_path_factory.mktemp("reference"))


def faults_of(calls: Counter[str], *, is_short: bool) -> Iterator[Fault]:
    """Return every fault for a writer that makes these calls, most telling calls first."""
    for call in CHANGES if is_short else CHANGES + LOOKS:
        errnos = ERRNOS if call in CHANGES else LOOK_ERRNOS
        for errno in errnos[:2] if is_short else errnos:
            for at in range(1, calls[call] + 2):
                yield Fault(call, f"error={errno}", at, str(at))
                # Interrupted calls are to be made again: never-ending, that would never end.
                yield Fault(call, f"error={errno}", at, str(at + 20) if errno == "EINTR" else "")


def sweep(
    writers: Writers, shards: Shards, folder: Path, scenarios: list[Scenario], *, is_short: bool
) -> Figures:
    figures = Figures()
    for scenario in scenarios:
        with_names = not is_short and scenario in (FRESH, OVERWRITE)
        for is_named in (False, True) if with_names else (False,):
            # A close that strace lets fail leaves the descriptor open, and its lock in force.
            job = Job(
                folder=str(folder),
                is_named=is_named,
                options=dict(scenario.options),
                lock_seconds=0.2,
            )
            scenario.prepare(folder, shards)
            calls = writers.count_calls(job)
            for fault in faults_of(calls, is_short=is_short):
                scenario.prepare(folder, shards)
                ending, log = writers.run_traced(job, *fault.arguments())
                if any("(INJECTED)" in line for line in log):
                    judge(figures, f"{scenario.name}, {fault}", ending, folder, shards, scenario)
    return figures


def judge(
    figures: Figures,
    trial: str,
    ending: Ending,
    folder: Path,
    shards: Shards,
    scenario: Scenario,
) -> None:
    figures.faults += 1
    (name,) = shards.names
    if ending.error == "Hung":
        figures.hung.append(trial)
    elif ending.error:
        figures.errors[ending.error] += 1
        if ending.error not in TOLD:
            figures.untold.append(f"{trial}: {ending}")
    else:
        figures.survived += 1
    if torn := torn_shards(folder):
        figures.torn.append(f"{trial}: {torn}")
    is_expected = ending.is_acknowledged or scenario.is_committed
    if is_expected and not shards.has(folder, name):
        figures.lost.append(f"{trial}: {ending}")
    if wrong := retry(folder, shards, **scenario.options):
        figures.not_retried.append(f"{trial}: {wrong}")


def count_torn(writers: Writers, shards: Shards, folder: Path, errnos: list[str]) -> int:
    """Return how often a naive writer leaves a torn shard."""
    job = Job(folder=str(folder), writer="naive", source=str(shards.folder))
    shutil.rmtree(folder, ignore_errors=True)
    calls = writers.count_calls(job)
    torn = 0
    for call in ("openat", "write", "close"):
        for errno in errnos:
            for at in range(1, calls[call] + 1):
                shutil.rmtree(folder, ignore_errors=True)
                fault = Fault(call, f"error={errno}", at, str(at))
                writers.run_traced(job, *fault.arguments())
                torn += bool(torn_shards(folder))
    return torn


def assert_clean(figures: Figures, control: int) -> None:
    assert not figures.torn, figures.torn[:5]
    assert not figures.lost, figures.lost[:5]
    assert not figures.hung, figures.hung[:5]
    assert not figures.not_retried, figures.not_retried[:5]
    assert not figures.untold, figures.untold[:5]
    assert control > 0, "the control was not caught: the check proves nothing"


def test_no_failing_call_tears_or_loses_a_shard(
    writers: Writers, shards: Shards, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_strace(capsys, CHECK)
    figures = sweep(writers, shards, tmp_path / "out", [FRESH, OTHER_TAR], is_short=True)
    control = count_torn(writers, shards, tmp_path / "out", ["ENOSPC"])

    say(capsys, figures.line(control))
    assert_clean(figures, control)
    assert figures.faults >= 50


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_no_failing_call_of_any_kind_tears_or_loses_a_shard(
    writers: Writers, shards: Shards, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_strace(capsys, CHECK)
    figures = sweep(writers, shards, tmp_path / "out", SCENARIOS, is_short=False)
    control = count_torn(writers, shards, tmp_path / "out", ["EIO", "ENOSPC"])

    say(capsys, figures.line(control))
    assert_clean(figures, control)
    assert figures.faults >= 1000

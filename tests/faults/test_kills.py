"""Writers die by SIGKILL at every system call: no shard is torn, none is lost.

The kill comes before the call is made, so that the N-th kill of a kind shows what the calls before
it left. Unnamed temporary files leave no trace; named ones do, and are counted.
"""

from __future__ import annotations

import shutil
import signal
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
    temporaries,
    torn_shards,
    write_reference,
)
from writer_program import Ending, Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECK = "kills"

STEPS = ("mkdir", "openat", "write", "fsync", "linkat", "unlink", "rename", "flock", "close")
OTHER = b"of a writer that died"


class Figures(msgspec.Struct):
    """What came of all kills."""

    kills: int = 0
    torn: list[str] = []
    lost: list[str] = []
    not_retried: list[str] = []
    left_unnamed: int = 0
    left_named: int = 0
    left_replacing: int = 0

    def line(self, control: int) -> str:
        """Return the figures in words."""
        return (
            f"{CHECK}: {self.kills:,} kills: {len(self.torn)} torn, {len(self.lost)} lost, "
            f"{len(self.not_retried)} retries gone wrong; temporary files left: "
            f"{self.left_unnamed} by unnamed ones ({self.left_replacing} replacing a tar), "
            f"{self.left_named} by named ones; "
            f"control: {control} torn"
        )


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Three shards of one batch."""
    return write_reference(tmp_path_factory.mktemp("reference"), 0, images_per_tar=2)


def kills_of(writers: Writers, job: Job, folder: Path, before: dict[str, bytes]) -> Iterator[Fault]:
    """Yield a kill before every call that an undisturbed writer makes, the folder prepared."""
    prepare(folder, before)
    calls = writers.count_calls(job)
    for call, count in sorted(calls.items()):
        for at in range(1, count + 1):
            prepare(folder, before)
            yield Fault(call, "signal=KILL", at, str(at))


def prepare(folder: Path, before: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if before:
        folder.mkdir()
    for name, data in before.items():
        (folder / name).write_bytes(data)


def states_before(shards: Shards) -> list[dict[str, bytes]]:
    """Return what may stand in a folder: nothing, all, and what writers that died left."""
    tars = [name for name in sorted(shards.files) if name.endswith(".tar")]
    first = {name: data for name, data in shards.files.items() if tars[0][:-4] in name}
    return [
        {},
        dict(shards.files),
        {tars[0]: shards.files[tars[0]]},
        {tars[0]: OTHER},
        first | {tars[1]: OTHER},
    ]


def kill_everywhere(
    writers: Writers, shards: Shards, folder: Path, *, is_named: bool, before: dict[str, bytes]
) -> Figures:
    figures = Figures()
    job = Job(folder=str(folder), images_per_tar=2, is_named=is_named)
    for kill in kills_of(writers, job, folder, before):
        ending, _ = writers.run_traced(job, *kill.arguments())
        if ending.signal != signal.SIGKILL:
            continue
        judge(figures, f"{kill}", ending, folder, shards, before)
        left = temporaries(folder)
        if is_named:
            figures.left_named += left
        elif OTHER in before.values():
            figures.left_replacing += left
        else:
            figures.left_unnamed += left
        if wrong := retry(folder, shards, images_per_tar=2):
            figures.not_retried.append(f"{kill}: {wrong}")
    return figures


def judge(
    figures: Figures,
    trial: str,
    ending: Ending,
    folder: Path,
    shards: Shards,
    before: dict[str, bytes],
) -> None:
    figures.kills += 1
    if torn := torn_shards(folder):
        figures.torn.append(f"{trial}: {torn}")
    committed = [name for name in shards.names if f"{name}.parquet" in before]
    expected = shards.names if ending.is_acknowledged else committed
    if not all(shards.has(folder, name) for name in expected):
        figures.lost.append(f"{trial}: {ending}")


def add(totals: Figures, figures: Figures) -> None:
    for name in totals.__struct_fields__:
        setattr(totals, name, getattr(totals, name) + getattr(figures, name))


def count_torn(writers: Writers, shards: Shards, folder: Path) -> int:
    """Return how often a naive writer that is killed leaves a torn shard."""
    job = Job(folder=str(folder), writer="naive", source=str(shards.folder))
    torn = 0
    for kill in kills_of(writers, job, folder, {}):
        if kill.call in STEPS:
            writers.run_traced(job, *kill.arguments())
            torn += bool(torn_shards(folder))
    return torn


def assert_clean(figures: Figures, control: int) -> None:
    assert not figures.torn, figures.torn[:5]
    assert not figures.lost, figures.lost[:5]
    assert not figures.not_retried, figures.not_retried[:5]
    assert figures.left_unnamed == 0
    assert control > 0, "the control was not caught: the check proves nothing"


def test_no_kill_tears_or_loses_a_shard(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_strace(capsys, CHECK)
    shards = write_reference(tmp_path / "reference")
    job = Job(folder=str(tmp_path / "out"))
    figures = Figures()
    for kill in kills_of(writers, job, tmp_path / "out", {}):
        if kill.call in STEPS:
            ending, _ = writers.run_traced(job, *kill.arguments())
            judge(figures, f"{kill}", ending, tmp_path / "out", shards, {})
            figures.left_unnamed += temporaries(tmp_path / "out")
    control = count_torn(writers, shards, tmp_path / "out")

    say(capsys, figures.line(control))
    assert_clean(figures, control)
    assert figures.kills >= 20


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_no_kill_at_any_call_tears_or_loses_a_shard(
    writers: Writers, shards: Shards, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_strace(capsys, CHECK)
    totals = Figures()
    for is_named in (False, True):
        for before in states_before(shards):
            folder = tmp_path / "out"
            add(totals, kill_everywhere(writers, shards, folder, is_named=is_named, before=before))
    control = count_torn(writers, shards, tmp_path / "out")

    say(capsys, totals.line(control))
    assert_clean(totals, control)
    assert totals.kills >= 300

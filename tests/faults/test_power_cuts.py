"""The power fails after a kill at any call, and right after the acknowledgement.

A file system in a file is shut down without flushing its log, unmounted and mounted again: what no
fsync had brought to its disk is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest
from fault_tools import (
    Fault,
    Shards,
    Writers,
    cut_power,
    mounted,
    require_mounts,
    require_strace,
    retry,
    say,
    skip,
    torn_shards,
    unmount,
    write_reference,
)
from writer_program import Ending, Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECK = "power cuts"
STEPS = [
    "mkdir",
    "openat",
    "write",
    "fsync",
    "linkat",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "flock",
    "close",
    "exit_group",
]
OTHER = b"of a writer that died"


class Disk(msgspec.Struct, frozen=True):
    """A kind of file system and how it is made and mounted."""

    kind: str
    make: tuple[str, ...]
    options: str
    nbytes: int


EXT4 = Disk("ext4", ("mkfs.ext4", "-q", "-F"), "loop,data=ordered", 64 * 2**20)
WRITEBACK = Disk("ext4", ("mkfs.ext4", "-q", "-F"), "loop,data=writeback", 64 * 2**20)
XFS = Disk("xfs", ("mkfs.xfs", "-q", "-f"), "loop", 512 * 2**20)


class Figures(msgspec.Struct):
    """What came of all cuts."""

    cuts: int = 0
    acknowledged: int = 0
    torn: list[str] = []
    lost: list[str] = []
    not_retried: list[str] = []

    def line(self, disk: Disk, control: str) -> str:
        """Return the figures in words."""
        return (
            f"{CHECK}, {disk.kind}, {disk.options.removeprefix('loop,')}: {self.cuts} cuts, "
            f"{self.acknowledged} after the acknowledgement: {len(self.torn)} torn, "
            f"{len(self.lost)} acknowledged lost, {len(self.not_retried)} retries gone wrong; "
            f"control: {control}"
        )


@contextlib.contextmanager
def made_disk(disk: Disk, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Make and mount a disk; yields its file and where it is mounted."""
    image, mount = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(disk.nbytes)
    subprocess.run([*disk.make, str(image)], check=True, capture_output=True)
    with mounted(mount, "-t", disk.kind, "-o", disk.options, str(image)):
        yield image, mount


def lose_power(disk: Disk, image: Path, mount: Path) -> None:
    """Cut the power and bring it back."""
    cut_power(mount)
    unmount(mount)
    subprocess.run(
        ["mount", "-t", disk.kind, "-o", disk.options, str(image), str(mount)],
        check=True,
        capture_output=True,
    )


def kills_of(writers: Writers, job: Job, folder: Path, before: dict[str, bytes]) -> list[Fault]:
    """Return a kill before every call that counts, and one that never comes."""
    prepare(folder, before)
    calls = writers.count_calls(job)
    kills = [
        Fault(call, "signal=KILL", at, str(at))
        for call in STEPS
        for at in range(1, calls[call] + 1)
    ]
    return [*kills, Fault("exit_group", "signal=KILL", 99, "99")]


def prepare(folder: Path, before: dict[str, bytes]) -> None:
    """Have these files, and their folder, on the disk for good."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in before.items():
        (folder / name).write_bytes(data)
    subprocess.run(["sync", "--file-system", str(folder)], check=True)


def cut_everywhere(
    writers: Writers, disk: Disk, tmp_path: Path, shards: Shards, *, is_short: bool
) -> Figures:
    figures = Figures()
    states = states_before(shards)
    with made_disk(disk, tmp_path) as (image, mount):
        folder = mount / "out"
        for before, is_named in itertools.product(states, (False, True)):
            if is_short and (before or is_named):
                continue
            job = Job(folder=str(folder), is_named=is_named)
            kills = kills_of(writers, job, folder, before)
            for kill in kills[::-1]:
                prepare(folder, before)
                ending, _ = writers.run_traced(job, *kill.arguments())
                assert ending.signal in {0, signal.SIGKILL}
                lose_power(disk, image, mount)
                trial = f"{disk.kind}, {sorted(before)}, {kill}"
                judge(figures, trial, ending, folder, shards, len(before) == len(shards.files))
    return figures


def judge(
    figures: Figures,
    trial: str,
    ending: Ending,
    folder: Path,
    shards: Shards,
    was_committed: bool,  # noqa: FBT001
) -> None:
    figures.cuts += 1
    figures.acknowledged += ending.is_acknowledged
    if torn := torn_shards(folder):
        figures.torn.append(f"{trial}: {torn}")
    is_expected = ending.is_acknowledged or was_committed
    if is_expected and not shards.has(folder, shards.names[0]):
        figures.lost.append(trial)
    if wrong := retry(folder, shards):
        figures.not_retried.append(f"{trial}: {wrong}")


def lose_without_fsync(
    writers: Writers, disk: Disk, tmp_path: Path, shards: Shards, trials: int
) -> tuple[int, int]:
    """Return how many acknowledged shards two careless writers lose: told so, and forgetful."""
    lost = [0, 0]
    with made_disk(disk, tmp_path) as (image, mount):
        folder = mount / "out"
        careless = [
            Job(folder=str(folder), options={"durability": "process"}),
            Job(folder=str(folder), syncs=False),
        ]
        for _ in range(trials):
            for at, job in enumerate(careless):
                prepare(folder, {})
                assert writers.run(job).is_acknowledged
                lose_power(disk, image, mount)
                lost[at] += not shards.has(folder, shards.names[0])
    return lost[0], lost[1]


def states_before(shards: Shards) -> list[dict[str, bytes]]:
    tar = f"{shards.names[0]}.tar"
    return [{}, dict(shards.files), {tar: shards.files[tar]}, {tar: OTHER}]


def check(
    writers: Writers,
    disk: Disk,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    is_short: bool,
) -> int:
    require_strace(capsys, CHECK)
    require_mounts(capsys, f"{CHECK}, {disk.kind}", disk.make[0])
    shards = write_reference(tmp_path / "reference")
    try:
        with made_disk(disk, tmp_path):
            pass
    except subprocess.CalledProcessError as error:
        skip(capsys, f"{CHECK}, {disk.kind}", f"{error.cmd[0]} fails: {error.stderr!r}")
    figures = cut_everywhere(writers, disk, tmp_path, shards, is_short=is_short)
    trials = 2 if is_short else 10
    lost = lose_without_fsync(writers, disk, tmp_path, shards, trials)

    control = f'durability="process" lost {lost[0]}, no fsync {lost[1]} of {trials}'
    say(capsys, figures.line(disk, control))
    assert not figures.torn, figures.torn[:5]
    assert not figures.lost, figures.lost[:5]
    assert not figures.not_retried, figures.not_retried[:5]
    assert figures.acknowledged > 0
    assert min(lost) > 0, "the control was not caught: the check proves nothing"
    return figures.cuts


def test_what_was_acknowledged_outlives_a_power_cut(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(writers, EXT4, tmp_path, capsys, is_short=True) >= 10


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("disk", [EXT4, WRITEBACK, XFS], ids=["ext4", "writeback", "xfs"])
def test_what_was_acknowledged_outlives_power_cuts_at_every_call(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str], disk: Disk
) -> None:
    assert check(writers, disk, tmp_path, capsys, is_short=False) >= 200

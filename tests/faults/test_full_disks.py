"""Disks and files that really are full: small tmpfs, few inodes, bounded files.

Nothing is torn, and the error tells where there was no room and how much was left.
"""

from __future__ import annotations

import errno
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from fault_tools import Shards, Writers, mounted, require_mounts, say, torn_shards
from writer_program import Ending, Job, make_batch, make_stage

import arrowimg.errors

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECK_DISK, CHECK_FILE, CHECK_FOLDER = "full disk", "bounded file", "no room for the folder"


class Figures(msgspec.Struct):
    """What came of all trials."""

    trials: int = 0
    failed: int = 0
    torn: list[str] = []
    lost: list[str] = []
    untold: list[str] = []

    def line(self, check: str, control: int, of: int) -> str:
        """Return the figures in words."""
        return (
            f"{check}: {self.trials} trials, {self.failed} without room: {len(self.torn)} torn, "
            f"{len(self.lost)} lost, {len(self.untold)} errors that do not say where or how much; "
            f"control: {control} torn of {of}"
        )


def reference(folder: Path, num_images: int) -> Shards:
    make_stage(folder).process(make_batch(0, num_images))
    return Shards.of(folder)


def judge(figures: Figures, trial: str, job: Job, ending: Ending, shards: Shards) -> None:
    figures.trials += 1
    folder = Path(job.folder)
    if torn := torn_shards(folder):
        figures.torn.append(f"{trial}: {torn}")
    if ending.is_acknowledged:
        if not shards.has(folder, shards.names[0]):
            figures.lost.append(trial)
        return
    figures.failed += 1
    tells = (
        ending.is_storage_error
        and ending.path == job.folder
        and ending.free_nbytes is not None
        and ending.free_inodes is not None
        and job.folder in ending.message
        and f"{ending.free_nbytes:,} bytes" in ending.message
    )
    if not tells:
        figures.untold.append(f"{trial}: {ending}")


def sizes(num_images: tuple[int, ...], step: int) -> Iterator[tuple[int, str]]:
    """Yield numbers of images and mount options, up to more than enough room."""
    for images in num_images:
        for kibibytes in range(4, 24 + 6 * images, step):
            yield images, f"size={kibibytes}k"
    for images, inodes in itertools.product(num_images, range(1, 11)):
        yield images, f"nr_inodes={inodes}"


def fill_disks(
    writers: Writers, tmp_path: Path, num_images: tuple[int, ...], step: int, figures: Figures
) -> tuple[int, int]:
    """Write to many small disks; returns how often a naive writer tore, and of how many."""
    torn = of = 0
    judges = {at: reference(tmp_path / f"reference{at}", at) for at in num_images}
    for images, options in sizes(num_images, step):
        for is_named in (False, True):
            with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", options, "tmpfs") as disk:
                job = Job(folder=str(disk), num_images=images, is_named=is_named)
                judge(figures, f"{options}, {job}", job, writers.run(job), judges[images])
        if "nr_inodes" not in options:
            with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", options, "tmpfs") as disk:
                source = str(judges[images].folder)
                writers.run(Job(folder=str(disk), writer="naive", source=source))
                torn += bool(torn_shards(disk))
                of += 1
    return torn, of


def bound_files(
    writers: Writers, tmp_path: Path, num_images: int, step: int, figures: Figures
) -> tuple[int, int]:
    """Write where files may not grow; returns how often a naive writer tore, and of how many."""
    torn = of = 0
    shards = reference(tmp_path / "reference", num_images)
    largest = max(map(len, shards.files.values()))
    for nbytes in range(step // 2, largest + step, step):
        for is_named in (False, True):
            folder = tmp_path / f"{nbytes}-{is_named}"
            job = Job(
                folder=str(folder), num_images=num_images, is_named=is_named, file_nbytes=nbytes
            )
            judge(figures, f"{job}", job, writers.run(job), shards)
        folder = tmp_path / f"{nbytes}-control"
        source = str(shards.folder)
        writers.run(Job(folder=str(folder), writer="naive", source=source, file_nbytes=nbytes))
        torn += bool(torn_shards(folder))
        of += 1
    return torn, of


def assert_clean(figures: Figures, control: int) -> None:
    assert not figures.torn, figures.torn[:5]
    assert not figures.lost, figures.lost[:5]
    assert not figures.untold, figures.untold[:5]
    assert control > 0, "the control was not caught: the check proves nothing"
    assert 0 < figures.failed < figures.trials


def test_a_full_disk_tears_nothing_and_is_told(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_mounts(capsys, CHECK_DISK)
    figures = Figures()
    torn, of = fill_disks(writers, tmp_path, (6,), 12, figures)

    say(capsys, figures.line(CHECK_DISK, torn, of))
    assert_clean(figures, torn)


def test_a_bounded_file_tears_nothing_and_is_told(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures()
    torn, of = bound_files(writers, tmp_path, 6, 3000, figures)

    say(capsys, figures.line(CHECK_FILE, torn, of))
    assert_clean(figures, torn)


@pytest.mark.faults
def test_full_disks_of_every_size_tear_nothing_and_are_told(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_mounts(capsys, CHECK_DISK)
    figures = Figures()
    torn, of = fill_disks(writers, tmp_path, (6, 20, 60), 4, figures)

    say(capsys, figures.line(CHECK_DISK, torn, of))
    assert_clean(figures, torn)
    assert figures.trials >= 100


@pytest.mark.faults
def test_bounded_files_of_every_size_tear_nothing_and_are_told(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures()
    torn, of = bound_files(writers, tmp_path, 20, 512, figures)

    say(capsys, figures.line(CHECK_FILE, torn, of))
    assert_clean(figures, torn)
    assert figures.trials >= 100


def test_no_room_for_the_folder_itself_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_mounts(capsys, CHECK_FOLDER)
    with (
        mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs") as disk,
        pytest.raises(arrowimg.errors.StorageError) as caught,
    ):
        make_stage(disk / "out").process(make_batch(0))

    error = caught.value
    say(capsys, f"{CHECK_FOLDER}: {error.free_nbytes} bytes, {error.free_inodes} inodes told")
    assert error.path == str(disk / "out")
    assert error.errno == errno.ENOSPC
    # Of a folder that could not be made, nothing may be known.
    assert error.free_inodes in {0, None}

"""A writer stands still between its tar and its sidecar, a twin commits, then it goes on."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import msgspec
import pytest
from fault_tools import Shards, Writers, content, say, torn_shards, wait_until_stopped
from writer_program import Job, make_batch

import arrowimg

CHECK = "zombies"


class Figures(msgspec.Struct):
    """What came of all zombies."""

    zombies: int = 0
    changed: list[str] = []
    torn: list[str] = []
    wrong: list[str] = []
    conflicts: int = 0


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {name: ((folder / name).stat().st_ino, data) for name, data in content(folder).items()}


def raise_zombie(writers: Writers, figures: Figures, zombie: Job, twin: Job, trial: str) -> None:
    """Run a twin while a zombie stands still; what it commits must not change."""
    folder = Path(zombie.folder)
    shutil.rmtree(folder, ignore_errors=True)
    figures.zombies += 1
    pid = writers.start(zombie)
    wait_until_stopped(pid)
    first = writers.run(twin)
    committed = state_of(folder)
    if torn := torn_shards(folder):
        figures.torn.append(f"{trial}: {torn}")
    os.kill(pid, signal.SIGCONT)
    second = writers.wait(pid)
    figures.conflicts += first.error == "ShardConflictError"
    figures.conflicts += second.error == "ShardConflictError"
    if torn := torn_shards(folder):
        figures.torn.append(f"{trial}: {torn}")
    after = state_of(folder)
    if first.is_acknowledged and after != committed:
        figures.changed.append(trial)
    is_same_batch = zombie.pictures == twin.pictures
    # Of the same batch both succeed, of other pictures exactly one.
    if first.is_acknowledged + second.is_acknowledged != 1 + is_same_batch:
        figures.wrong.append(f"{trial}: {first} {second}")
    if any(not (ending.is_acknowledged or ending.error) for ending in (first, second)):
        figures.wrong.append(f"{trial}: {first} {second}")


def raise_zombies(writers: Writers, folder: Path, rounds: int) -> Figures:
    figures = Figures()
    for at in range(rounds):
        for is_named in (False, True):
            # Paused before the tar is linked, then between it and its sidecar.
            for link in (1, 2):
                zombie = Job(
                    folder=str(folder), is_named=is_named, pauses_at_link=link, seeds=(at,)
                )
                same = Job(folder=str(folder), seeds=(at,), lock_seconds=0.1)
                other = msgspec.structs.replace(same, pictures=1000 + at)
                raise_zombie(writers, figures, zombie, same, f"same, link {link}")
                raise_zombie(writers, figures, zombie, other, f"other, link {link}")
    return figures


def revive_naively(writers: Writers, tmp_path: Path) -> int:
    """Return how many of its twin's files a naive zombie changes."""
    sources = []
    for pictures in (None, 1000):
        source = tmp_path / f"source-{pictures}"
        arrowimg.ImageWriterStage(source).process(make_batch(0, pictures=pictures))
        sources.append(Shards.of(source))
    # What it has open and not yet written when it is stopped, it writes when it goes on.
    folder = tmp_path / "naive"
    folder.mkdir()
    held = [(folder / name).open("wb") for name in sources[0].files]
    writers.run(Job(folder=str(folder), writer="naive", source=str(sources[1].folder)))
    committed = content(folder)
    for file, data in zip(held, sources[0].files.values(), strict=True):
        with file:
            file.write(data)
    after = content(folder)
    return sum(after[name] != data for name, data in committed.items())


def check(writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str], rounds: int) -> int:
    figures = raise_zombies(writers, tmp_path / "out", rounds)
    control = revive_naively(writers, tmp_path)

    say(
        capsys,
        f"{CHECK}: {figures.zombies} writers stopped before or between their links: "
        f"{len(figures.changed)} changed what a twin had committed, {len(figures.torn)} torn, "
        f"{len(figures.wrong)} told wrongly, {figures.conflicts} conflicts told; "
        f"control: {control} of 2 files changed",
    )
    assert not figures.changed, figures.changed[:5]
    assert not figures.torn, figures.torn[:5]
    assert not figures.wrong, figures.wrong[:5]
    assert control > 0, "the control was not caught: the check proves nothing"
    return figures.zombies


def test_a_writer_that_wakes_up_late_changes_nothing(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(writers, tmp_path, capsys, rounds=1) >= 2


@pytest.mark.faults
def test_many_writers_that_wake_up_late_change_nothing(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(writers, tmp_path, capsys, rounds=20) >= 20

"""Eight processes write the same shards at once and die at random; a reader looks on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import msgspec
import pytest
from fault_tools import (
    Shards,
    Writers,
    content,
    has_not_ended,
    is_torn,
    say,
    torn_shards,
    write_reference,
)
from writer_program import WRITTEN, Ending, Job

CHECK = "race"
NUM_WRITERS = 8
SEEDS = tuple(range(12))


class Figures(msgspec.Struct):
    """What came of all rounds."""

    rounds: int = 0
    kills: int = 0
    reads: int = 0
    shards: int = 0
    torn_reads: list[str] = []
    torn: list[str] = []
    changed: list[str] = []
    doubled: list[str] = []
    uncommitted: list[str] = []
    errors: list[str] = []


class Round(msgspec.Struct):
    """One folder that all write to, until every shard is committed and acknowledged."""

    folder: Path
    figures: Figures
    running: list[int] = []
    first_seen: dict[str, tuple[int, int]] = {}
    winners: dict[int, int] = {}

    def read(self, shards: Shards, generator: random.Random) -> None:
        """Read one shard as a reader that starts from sidecars does."""
        sidecar = self.folder / f"{generator.choice(shards.names)}.parquet"
        self.figures.reads += 1
        if is_torn(sidecar):
            self.figures.torn_reads.append(sidecar.name)
        with contextlib.suppress(FileNotFoundError):
            seen = (sidecar.stat().st_ino, sidecar.with_suffix(".tar").stat().st_ino)
            if self.first_seen.setdefault(sidecar.name, seen) != seen:
                self.figures.changed.append(sidecar.name)

    def count(self, ending: Ending, seeds: tuple[int, ...]) -> None:
        """Count who acknowledged to have written which shard first."""
        for seed, said in zip(seeds, ending.acknowledged, strict=False):
            self.winners[seed] = self.winners.get(seed, 0) + (said == WRITTEN)
        if ending.error:
            self.figures.errors.append(f"{ending.error}: {ending.message}")


def race(
    writers: Writers, this: Round, shards: Shards, generator: random.Random, *, is_naive: bool
) -> None:
    """Let all write until each has come to its end undisturbed, killing some on the way."""
    figures = this.figures
    jobs: dict[int, tuple[int, ...]] = {}

    def start() -> None:
        seeds = tuple(generator.sample(SEEDS, len(SEEDS)))
        job = Job(folder=str(this.folder), seeds=seeds)
        if is_naive:
            job = Job(folder=str(this.folder), writer="naive", source=str(shards.folder))
        jobs[writers.start(job)] = seeds

    for _ in range(NUM_WRITERS):
        start()
    kills_left = generator.randrange(8, 20)
    while jobs:
        for _ in range(generator.randrange(1, 12)):
            this.read(shards, generator)
        pid = generator.choice(sorted(jobs))
        if kills_left and has_not_ended(pid):
            os.kill(pid, signal.SIGKILL)
            this.count(writers.wait(pid), jobs.pop(pid))
            kills_left -= 1
            figures.kills += 1
            start()
        for other in sorted(jobs):
            if not has_not_ended(other):
                this.count(writers.wait(other), jobs.pop(other))
    figures.rounds += 1
    figures.shards += len(shards.names)
    figures.torn += torn_shards(this.folder)
    if content(this.folder) != shards.files:
        figures.uncommitted.append(this.folder.name)
    figures.doubled += [
        f"{this.folder.name}: seed {seed}" for seed, count in this.winners.items() if count > 1
    ]


def run(writers: Writers, folder: Path, *, kills: int, reads: int, is_naive: bool) -> Figures:
    folder.mkdir()
    shards = write_reference(folder / "reference", *SEEDS)
    generator = random.Random(7)  # noqa: S311  # to be the same every time
    figures = Figures()
    started = time.monotonic()
    while figures.kills < kills or figures.reads < reads:
        this = Round(folder / f"{figures.rounds}", figures)
        race(writers, this, shards, generator, is_naive=is_naive)
        assert time.monotonic() - started < 600
    return figures


def check(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str], kills: int, reads: int
) -> None:
    figures = run(writers, tmp_path / "out", kills=kills, reads=reads, is_naive=False)
    control = run(writers, tmp_path / "control", kills=1, reads=50, is_naive=True)

    say(
        capsys,
        f"{CHECK}: {NUM_WRITERS} processes, {figures.shards:,} shards in {figures.rounds} folders, "
        f"{figures.kills:,} kills, {figures.reads:,} reads: {len(figures.torn_reads)} torn reads, "
        f"{len(figures.torn)} torn shards, {len(figures.changed)} changed after they were seen, "
        f"{len(figures.doubled)} with two winners, {len(figures.uncommitted)} folders incomplete, "
        f"{len(figures.errors)} errors; control: {len(control.torn_reads)} torn reads "
        f"of {control.reads}",
    )
    assert not figures.torn_reads, figures.torn_reads[:5]
    assert not figures.torn, figures.torn[:5]
    assert not figures.changed, figures.changed[:5]
    assert not figures.doubled, figures.doubled[:5]
    assert not figures.uncommitted, figures.uncommitted[:5]
    assert not figures.errors, figures.errors[:5]
    assert control.torn_reads, "the control was not caught: the check proves nothing"


def test_writers_that_race_and_die_leave_each_shard_once(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(writers, tmp_path, capsys, kills=10, reads=100)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_writers_that_race_and_die_for_long_leave_each_shard_once(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(writers, tmp_path, capsys, kills=200, reads=5000)

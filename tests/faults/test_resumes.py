"""Writers of a whole dataset die at random points, and are run again until one comes to its end.

The result is, byte for byte, what an undisturbed run writes; the manifest comes last.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from fault_tools import Shards, Writers, content, say, torn_shards
from writer_program import Job

Kind = Literal["dataset", "reshard"]
CHECK: dict[Kind, str] = {"dataset": "resumed datasets", "reshard": "resumed resharding"}
MANIFEST = "manifest.json"
SEEDS = tuple(range(6))
PICTURES_PER_TAR = 5


class Figures(msgspec.Struct):
    """What came of all runs."""

    runs: int = 0
    kills: int = 0
    torn: list[str] = []
    early: list[str] = []
    other: list[str] = []


def job_of(writer: Kind, tmp_path: Path) -> Job:
    return Job(
        folder=str(tmp_path / "out"),
        writer=writer,
        source=str(tmp_path / "source"),
        seeds=SEEDS,
        images_per_tar=PICTURES_PER_TAR,
    )


def in_folder(job: Job, folder: Path) -> Job:
    return msgspec.structs.replace(job, folder=str(folder))


def write_undisturbed(writers: Writers, job: Job) -> tuple[Shards, int, float]:
    """Return what an undisturbed run writes, its calls that change the folder, and its seconds."""
    folder, seconds, calls = Path(job.folder), [], 0
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        ending = writers.run(job)
        assert ending.is_acknowledged, ending
        seconds.append(time.monotonic() - started)
        calls = ending.calls
    return Shards.of(folder), calls, min(seconds)


def die_once(writers: Writers, job: Job, generator: random.Random, seconds: float) -> bool:
    """Run a writer that dies at a random call, or after a random time; tells whether it did."""
    if job.kill_at is not None:
        return writers.run(job).signal == signal.SIGKILL
    pid = writers.start(job)
    time.sleep(generator.uniform(0, seconds))
    os.kill(pid, signal.SIGKILL)
    return writers.wait(pid).signal == signal.SIGKILL


def check_state(figures: Figures, folder: Path, reference: Shards, trial: str) -> None:
    """Judge what stands in a folder after a kill."""
    files = content(folder)
    if MANIFEST in files and files != reference.files:
        figures.early.append(trial)
    wrong = {name for name, data in files.items() if reference.files.get(name) != data}
    if wrong or torn_shards(folder):
        figures.torn.append(f"{trial}: {sorted(wrong)}")


def resume_all(
    writers: Writers, job: Job, reference: Shards, calls: int, seconds: float, runs: int
) -> Figures:
    figures, folder = Figures(), Path(job.folder)
    generator = random.Random(11)  # noqa: S311  # to be the same every time
    for at in range(runs):
        policy = ("skip", "verify")[at % 2]
        told = msgspec.structs.replace(job, options={"if_exists": policy})
        shutil.rmtree(folder, ignore_errors=True)
        for life in range(generator.randrange(1, 4)):
            kill_at = generator.randrange(1, calls + 1) if generator.random() < 0.5 else None
            dying = msgspec.structs.replace(told, kill_at=kill_at)
            figures.kills += die_once(writers, dying, generator, seconds)
            check_state(figures, folder, reference, f"run {at}, life {life}, {policy}, {kill_at}")
        ending = writers.run(told)
        figures.runs += 1
        if content(folder) != reference.files or not ending.is_acknowledged:
            figures.other.append(f"run {at}, {policy}: {ending}")
    return figures


def count_naive(writers: Writers, folder: Path, reference: Shards) -> tuple[int, int]:
    """Return how often a naive writer leaves other files than it should, and of how many kills."""
    job = Job(folder=str(folder), writer="naive", source=str(reference.folder))
    torn = kills = 0
    for kill_at in range(1, 2 * len(reference.names) + 1):
        shutil.rmtree(folder, ignore_errors=True)
        kills += writers.run(msgspec.structs.replace(job, kill_at=kill_at)).signal > 0
        torn += any(reference.files[name] != data for name, data in content(folder).items())
    return torn, kills


def check(
    writers: Writers, kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str], runs: int
) -> int:
    job = job_of(kind, tmp_path)
    if kind == "reshard":
        write_undisturbed(writers, in_folder(job_of("dataset", tmp_path), tmp_path / "source"))
    reference, calls, seconds = write_undisturbed(writers, in_folder(job, tmp_path / "reference"))
    figures = resume_all(writers, job, reference, calls, seconds, runs)
    control, of = count_naive(writers, tmp_path / "control", reference)

    say(
        capsys,
        f"{CHECK[kind]}: {figures.runs} datasets of {len(reference.names)} shards, {figures.kills} "
        f"kills: {len(figures.torn)} torn, {len(figures.early)} manifests too early, "
        f"{len(figures.other)} other than undisturbed; control: {control} of {of} torn",
    )
    assert not figures.torn, figures.torn[:5]
    assert not figures.early, figures.early[:5]
    assert not figures.other, figures.other[:5]
    assert control > 0, "the control was not caught: the check proves nothing"
    return figures.kills


@pytest.mark.parametrize("kind", CHECK)
def test_a_dataset_whose_writers_die_becomes_what_it_should(
    writers: Writers, kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(writers, kind, tmp_path, capsys, runs=4) >= 1


@pytest.mark.faults
@pytest.mark.parametrize("kind", CHECK)
def test_many_datasets_whose_writers_die_become_what_they_should(
    writers: Writers, kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(writers, kind, tmp_path, capsys, runs=200) >= 50

"""Memory runs out at every stage of a write: no shard is torn, and the process can go on."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from fault_tools import Shards, Writers, content, say, torn_shards
from writer_program import Ending, Job, make_batch, make_stage

CHECK = "out of memory"
MEBIBYTE = 2**20
NUM_IMAGES, SIDE = 96, 512


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("reference")
    make_stage(folder).process(make_batch(0, NUM_IMAGES, SIDE))
    return Shards.of(folder)


def starve(writers: Writers, folder: Path, headroom: int) -> Ending:
    for made in (folder, Path(f"{folder}-again")):
        shutil.rmtree(made, ignore_errors=True)
    return writers.run(
        Job(folder=str(folder), num_images=NUM_IMAGES, side=SIDE, headroom_nbytes=headroom)
    )


def write_half(folder: Path, shards: Shards) -> bool:
    """Leave what a naive writer does that runs out of memory half-way; tells whether it is seen."""
    folder.mkdir()
    for name, data in shards.files.items():
        (folder / name).write_bytes(data[: len(data) // 2] if name.endswith(".tar") else data)
    return bool(torn_shards(folder))


def check(
    writers: Writers,
    shards: Shards,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    step: int,
) -> int:
    folder = tmp_path / "out"
    errors: Counter[str] = Counter()
    torn, dead, others = [], [], []
    headroom, starved = 0, 0
    while True:
        ending = starve(writers, folder, headroom)
        trial = f"headroom {headroom // MEBIBYTE} MiB: {ending}"
        if torn_shards(folder):
            torn.append(trial)
        if not ending.error and not ending.signal:
            break
        starved += 1
        errors[ending.error] += 1
        if not ending.is_memory_error:
            others.append(trial)
        # The second try, with the limit lifted, is what sets the acknowledgement here.
        if not ending.is_acknowledged or content(Path(f"{folder}-again")) != shards.files:
            dead.append(trial)
        headroom += step
        assert headroom < 2**31, "it never succeeds"
    control = write_half(tmp_path / "control", shards)

    say(
        capsys,
        f"{CHECK}: {starved} headrooms up to {headroom // MEBIBYTE} MiB were too small: "
        f"{len(torn)} torn, errors {dict(errors)}, {len(others)} of them no MemoryError, "
        f"{len(dead)} processes that could not go on; control: half a tar is "
        f"{'seen' if control else 'missed'}",
    )
    assert not torn, torn[:5]
    assert not dead, dead[:5]
    assert not others, others[:5]
    assert control, "the control was not caught: the check proves nothing"
    return starved


def test_memory_that_runs_out_tears_nothing(
    writers: Writers, shards: Shards, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(writers, shards, tmp_path, capsys, 12 * MEBIBYTE) >= 1


@pytest.mark.faults
def test_memory_that_runs_out_anywhere_tears_nothing(
    writers: Writers, shards: Shards, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(writers, shards, tmp_path, capsys, MEBIBYTE // 2) >= 20

"""Folders that mean harm: every operation answers in time, with an error of its own if any."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_data import FORGERIES, forged, write_sound

DATA = Path(__file__).parents[1] / "data"
FOLDERS_A_PROCESS = 20


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sound(tmp_path_factory.mktemp("sound"))


def run(
    folders: list[Path], *prefix: str
) -> tuple[list[list[str]], subprocess.CompletedProcess[str]]:
    """Run every operation on these folders; returns what was wrong."""
    program = [*prefix, sys.executable, str(DATA / "hostile_program.py"), *map(str, folders)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DATA), *sys.path])}
    done = subprocess.run(
        program, check=False, capture_output=True, text=True, timeout=3000, env=environment
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if not lines or lines[-1][2] != "ended":
        return [[*lines[-1:], f"died with {done.returncode}", done.stderr[-2000:]]], done
    return [line for line in lines if line[2] not in ("begun", "ended")], done


def wrong_among(sound: Path, folder: Path, seeds: range) -> dict[str, list[str]]:
    """Return what was wrong, by seed and kind of forgery."""
    kinds = {str(folder / str(seed)): forged(sound, folder / str(seed), seed) for seed in seeds}
    found, _ = run([folder / str(seed) for seed in seeds])
    wrong: dict[str, list[str]] = {}
    for place, operation, what in found:
        wrong.setdefault(f"{place} {kinds.get(str(place))}", []).append(f"{operation}: {what}")
    return wrong


@pytest.mark.parametrize("part", range(3))
def test_whatever_a_folder_says_nothing_else_is_touched(
    sound: Path, tmp_path: Path, part: int
) -> None:
    number = len(FORGERIES)

    assert wrong_among(sound, tmp_path, range(part * number, (part + 1) * number)) == {}


def test_a_sound_folder_is_touched_by_no_other_rule(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "sound")

    found, _ = run([tmp_path / "sound"])

    assert found == []


@pytest.mark.hostile
@pytest.mark.parametrize("part", range(30))
def test_whatever_six_hundred_folders_say(sound: Path, tmp_path: Path, part: int) -> None:
    first = 1000 + part * FOLDERS_A_PROCESS

    assert wrong_among(sound, tmp_path, range(first, first + FOLDERS_A_PROCESS)) == {}


@pytest.mark.hostile
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_system_sees_nothing_opened_outside(sound: Path, tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in range(8 * len(FORGERIES))]
    for seed, folder in enumerate(folders):
        forged(sound, folder, seed)
    log = tmp_path / "log"
    calls = "trace=open,openat,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,truncate"
    _, done = run(folders, "strace", "-f", "-qq", "-e", calls, "-o", str(log))

    lines = [line for line in log.read_text().splitlines() if "/outside/" in line]
    # The program itself looks whether what is there was changed, and removes it at the end.
    ours = [line for line in lines if "O_RDONLY" not in line and "AT_FDCWD" in line]
    assert done.returncode == 0
    assert [line for line in ours if "ENOENT" not in line] == []

"""Folders that mean harm: every operation answers in time, with an error of its own if any."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hostile_data import FORGERIES, forged, write_sound
from system_calls import calls, strace

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
    log, place = tmp_path / "log", tmp_path / "folders"
    place.mkdir()
    folders = [place / str(seed) for seed in range(10 * len(FORGERIES))]
    for seed, folder in enumerate(folders):
        forged(sound, folder, seed)

    found, done = run([*folders, Path("--watched")], *strace(log))

    assert found == [], done
    seen = calls(log)
    within = [call for call in seen if any(_is_of_dataset(it, place) for it in call.paths)]
    assert len(within) > 100 * len(folders)
    # The folder around is opened, and not read, to make the names of new ones in it durable.
    beside = [call for call in seen if any(_is_beside(it, place) for it in call.paths)]
    assert [it.text for it in beside if not re.search(r"O_RDONLY.*folders/\d+>$", it.text)] == []
    changing = [call for call in seen if call.changes and call not in within]
    assert [it.text for it in changing if not any(map(_is_of_program, it.paths))] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_what_is_opened_by_way_of_a_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    program = f"open({str(tmp_path / 'link')!r}); open({str(tmp_path / 'new')!r}, 'w')"

    log = tmp_path / "log"
    subprocess.run([*strace(log), sys.executable, "-c", program], check=True)

    seen = {path: call for call in calls(log) for path in call.paths}
    assert not seen[str(tmp_path / "secret")].changes
    assert seen[str(tmp_path / "new")].changes


def _is_of_dataset(path: str, place: Path) -> bool:
    return re.match(rf"{place}/\d+/out(-new|-some|-merged)?(/|$)", path) is not None


def _is_beside(path: str, place: Path) -> bool:
    return path.startswith(f"{place}/") and not _is_of_dataset(path, place)


def _is_of_program(path: str) -> bool:
    """Tell whether a path is where anybody may write, or a new folder for a single index."""
    return re.match(rf"/dev/|/proc/|{tempfile.gettempdir()}/(arrowimg-)?\w+(/|$)", path) is not None

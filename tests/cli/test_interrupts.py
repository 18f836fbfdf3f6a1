"""An interrupt at any time: one line, exit status 130, and a folder that is sound or goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import SMALL, save

import arrowimg

PACKAGE = Path(arrowimg.__file__).parents[1]

# The program says when it is in the command line's hands: what comes before is Python's own.
PROGRAM = """
import sys
from arrowimg._cli import main
print("ready", flush=True)
sys.exit(main.main())
"""
COMMANDS = {
    "write": ["write", "images.parquet", "out", "--images-per-tar", "40"],
    "encode": ["write", "images.parquet", "out", "--images-per-tar", "40", "--reencode"],
    "reshard": ["reshard", "whole", "out", "--images-per-tar", "40"],
    "verify": ["verify", "whole", "--decode"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table of images, and a dataset of these."""
    folder = tmp_path_factory.mktemp("interrupts")
    columns = {
        "image_id": [f"i{row}" for row in range(400)],
        "image_data": [save(SMALL, "JPEG")] * 400,
    }
    pq.write_table(pa.table(columns), folder / "images.parquet")
    arrowimg.write_shards(folder / "images.parquet", folder / "whole", 100, progress=False)
    return folder


def interrupted(command: list[str], place: Path, after: float) -> tuple[int, str, bool]:
    """Run a command and interrupt it; return its status, what it said, and whether it was done."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after)  # the moment itself is what is tried
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=120)
    return process.returncode, error, bool(said)


def check(name: str, place: Path, seed: int) -> None:
    command = COMMANDS[name]
    after = float(np.random.default_rng(seed).uniform(0, 1.5))
    status, error, is_done = interrupted(command, place, after)

    hint = "; --if-exists skip encodes nothing twice" if command[0] == "write" else ""
    expected = f"arrowimg: interrupted; the same command again goes on{hint}\n"
    assert (status, error) == ((0, "") if is_done else (130, expected)), (name, seed, after)
    if name == "verify":
        return
    again = subprocess.run(
        [sys.executable, "-m", "arrowimg", *command],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert arrowimg.verify(place / "out").is_sound
    assert not list((place / "out").glob(".*")), "temporary files are left"
    for path in (place / "out").iterdir():
        path.unlink()


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_is_one_line_and_the_same_command_goes_on(name: str, place: Path) -> None:
    check(name, place, seed=len(name))


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(200))
def test_an_interrupt_at_any_time_is_one_line(seed: int, place: Path) -> None:
    check(list(COMMANDS)[seed % len(COMMANDS)], place, seed)

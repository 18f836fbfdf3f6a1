"""Workers of one call are killed at any time, and so is who called them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG
from folders import content

import arrowimg

PACKAGE = Path(arrowimg.__file__).parents[1]
ROWS = 3000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table of images, and a dataset of these by one process."""
    folder = tmp_path_factory.mktemp("workers")
    columns = {"image_id": [f"i{row}" for row in range(ROWS)], "image_data": [JPEG] * ROWS}
    pq.write_table(pa.table(columns), folder / "images.parquet", row_group_size=50)
    source = folder / "images.parquet"
    arrowimg.write_shards(source, folder / "one", 70, reencode=True, progress=False)
    return folder


def command(place: Path, name: str, *more: str) -> subprocess.Popen[str]:
    given = ["write", "images.parquet", name, "--images-per-tar", "70", "--reencode", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "arrowimg", *given],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.faults
@pytest.mark.parametrize("whom", ["a worker", "the caller"])
@pytest.mark.parametrize("seed", range(20))
def test_a_kill_at_any_time_loses_nothing(whom: str, seed: int, place: Path) -> None:
    name = f"{whom} {seed}"
    random = np.random.default_rng(seed)
    process = command(place, name, "--workers", "2")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = list[str]()
    while len(workers) < 2 and process.poll() is None:
        with suppress(OSError):
            workers = children.read_text().split()
    time.sleep(random.uniform(0, 3))  # the moment itself is what is tried
    killed = int(random.choice(workers)) if whom == "a worker" else process.pid
    with suppress(ProcessLookupError):
        os.kill(killed, signal.SIGKILL)
    _, error = process.communicate(timeout=120)

    assert process.returncode == 0 or whom == "the caller" or "was killed by SIGKILL" in error
    until = time.monotonic() + 60
    while any(Path(f"/proc/{it}").exists() for it in workers) and time.monotonic() < until:
        time.sleep(0.01)  # they end by themselves
    assert not any(Path(f"/proc/{it}").exists() for it in workers)
    again = command(place, name, "--if-exists", "skip")
    assert (again.wait(120), again.stderr.read() if again.stderr else "") == (0, "")
    assert content(place / name) == content(place / "one")
    if again.stderr:
        again.stderr.close()

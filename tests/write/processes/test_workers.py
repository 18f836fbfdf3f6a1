"""Real processes: few, since each costs half a second."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import FILES, JPEG
from folders import content

import arrowimg
from arrowimg import ShardWriter, write_shards
from arrowimg.errors import OptionError, WorkerError

if TYPE_CHECKING:
    from arrowimg._core.processes.pool import WorkerPool

PACKAGE = Path(arrowimg.__file__).parents[1]

UNGUARDED = """
import sys, pathlib, arrowimg
path = pathlib.Path(sys.argv[1])
print("once", flush=True)
arrowimg.write_shards(path / "images.parquet", path / sys.argv[2], 30, workers=2, progress=False)
"""


def table(rows: int = 400) -> pa.Table:
    data = [FILES[row % len(FILES)] if row % 40 < 2 else JPEG for row in range(rows)]
    return pa.table({"image_id": [f"i{row}" for row in range(rows)], "image_data": data})


def test_processes_write_the_bytes_of_one(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "images.parquet", row_group_size=50)
    one, two = (
        write_shards(
            tmp_path / "images.parquet",
            tmp_path / f"of-{workers}",
            70,
            workers=workers,
            on_error="quarantine",
            keep_quarantined=True,
            progress=False,
        )
        for workers in (1, 2)
    )

    assert content(tmp_path / "of-2") == content(tmp_path / "of-1")
    assert two.data.drop_columns(["path"]) == one.data.drop_columns(["path"])
    assert arrowimg.verify(tmp_path / "of-2").is_sound


@pytest.mark.parametrize("how", ["-", "script"])
def test_a_program_needs_no_guard_and_none_that_can_be_imported(how: str, tmp_path: Path) -> None:
    good = table().filter(pa.array([row % 40 >= 2 for row in range(400)]))
    pq.write_table(good, tmp_path / "images.parquet", row_group_size=50)
    (tmp_path / "program.py").write_text(UNGUARDED)
    given = {"-": ["-"], "script": [str(tmp_path / "program.py")]}

    ran = subprocess.run(
        [sys.executable, *given[how], str(tmp_path), "out"],
        input=UNGUARDED,
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "once\n", "")
    assert arrowimg.verify(tmp_path / "out").num_images == good.num_rows


def test_a_worker_that_is_killed_is_an_error_and_the_same_again_goes_on(tmp_path: Path) -> None:
    good = table().filter(pa.array([row % 40 >= 2 for row in range(400)]))

    def write() -> None:
        with ShardWriter(tmp_path, 30, workers=2, if_exists="skip") as writer:
            assert writer._line is not None
            pool: WorkerPool = writer._line._line._pool
            for start in range(0, good.num_rows, 40):
                writer.write(good.slice(start, 40))
                if start == 200:
                    os.kill(pool._processes[1].pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match="was killed by SIGKILL"):
        write()
    assert not (tmp_path / "manifest.json").exists()
    group = write_shards(good, tmp_path, 30, if_exists="skip", progress=False)

    assert (group.num_images, arrowimg.verify(tmp_path).is_sound) == (good.num_rows, True)


def test_an_interrupt_ends_all_processes(tmp_path: Path) -> None:
    big = pa.concat_tables([table(4000).set_column(0, "image_id", [pa.nulls(4000, pa.string())])])
    pq.write_table(big, tmp_path / "images.parquet", row_group_size=50)
    command = ["write", "images.parquet", "out", "--workers", "2", "--reencode"]
    command += ["--on-error", "quarantine", "--images-per-tar", "20"]
    process = subprocess.Popen(
        [sys.executable, "-m", "arrowimg", *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (tmp_path / "out").is_dir() or len(list((tmp_path / "out").iterdir())) < 4:
        assert process.poll() is None
        time.sleep(0.01)  # until it is at work
    workers = children.read_text().split()
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)

    assert len(workers) == 2
    said = "arrowimg: interrupted; the same command again goes on"
    assert process.returncode == 130
    assert error == f"{said}; --if-exists skip encodes nothing twice\n"
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not list((tmp_path / "out").glob(".*")), "temporary files are left"


def test_one_process_does_it_where_there_can_be_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)

    with caplog.at_level(logging.WARNING):
        write_shards(table(20), tmp_path, workers=3, on_error="quarantine", progress=False)

    assert caplog.messages == [
        "workers: 1 in place of 3, since this program brings its own interpreter"
    ]


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_processes_is_refused(workers: object, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="workers: expected an int of at least 1, or None"):
        write_shards(table(1), tmp_path, workers=workers)  # type: ignore[arg-type]

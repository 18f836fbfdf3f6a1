"""Workers of a Ray cluster die, before, inside and after a commit: each sample is there once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_tools import say
from writer_data import dataset, in_batches

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

pytestmark = [
    pytest.mark.ray_faults,
    pytest.mark.usefixtures("cluster"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def tools() -> ModuleType:
    import ray_tools

    return ray_tools


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "out-marks"
    folder.mkdir()
    return folder


def blocks(num_blocks: int, rows: int = 25) -> Any:  # noqa: ANN401  # Ray's dataset
    import ray.data

    return ray.data.from_arrow(list(in_batches(dataset(num_blocks * rows), rows)))


def check(
    capsys: pytest.CaptureFixture[str], what: str, out: Path, num_rows: int, num_deaths: int
) -> None:
    """Hold a folder against the rows that went in, and print the figures."""
    ids = [
        image_id
        for path in out.glob("*.parquet")
        for image_id in pq.read_table(path, columns=["image_id"])["image_id"].to_pylist()
    ]
    missing = {f"id{row:03d}" for row in range(num_rows)} - set(ids)
    report = arrowimg.verify(out)
    say(
        capsys,
        f"{what}: {num_deaths} worker deaths, rows in {num_rows}, rows out {len(ids)}, "
        f"duplicates {len(ids) - len(set(ids))}, missing {len(missing)}, "
        f"damages {len(report.damages)}, notices {len(report.notices)}",
    )
    assert (len(ids), len(set(ids)), missing) == (num_rows, num_rows, set())
    assert (report.is_sound, report.notices) == (True, [])


def test_tasks_that_exit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tools: ModuleType, marks: Path
) -> None:
    files = blocks(10).map_batches(
        tools.write_and_die,
        batch_format="pyarrow",
        fn_kwargs={"output_dir": tmp_path / "out", "marks": marks, "death": "exit"},
    )

    arrowimg.ray.publish_manifest(files, tmp_path / "out", 10, num_rows=250)

    check(capsys, "tasks, os._exit", tmp_path / "out", 250, len(list(marks.iterdir())))
    assert len(list(marks.iterdir())) == 3 * 10


def test_tasks_that_are_killed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tools: ModuleType, marks: Path
) -> None:
    with tools.killer(tmp_path / "pipe") as killed:
        files = blocks(6).map_batches(
            tools.write_and_die,
            batch_format="pyarrow",
            fn_kwargs={"output_dir": tmp_path / "out", "marks": marks, "death": "kill"},
        )
        arrowimg.ray.publish_manifest(files, tmp_path / "out", 10, num_rows=150)

    check(capsys, "tasks, SIGKILL from outside", tmp_path / "out", 150, len(killed))
    assert len(killed) == len(set(killed)) == 3 * 6


def test_actors_that_exit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tools: ModuleType, marks: Path
) -> None:
    import ray.data

    files = blocks(6).map_batches(
        tools.DyingActor,
        batch_format="pyarrow",
        fn_constructor_args=(tmp_path / "out", marks),
        compute=ray.data.ActorPoolStrategy(size=1),
    )

    arrowimg.ray.publish_manifest(files, tmp_path / "out", 10, num_rows=150)

    check(capsys, "actors, os._exit", tmp_path / "out", 150, len(list(marks.iterdir())))
    assert len(list(marks.iterdir())) == 3 * 6


def test_tasks_of_a_sink_that_exit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tools: ModuleType, marks: Path
) -> None:
    sink = tools.DyingSink(tmp_path / "out", 10)
    sink.marks = marks

    blocks(6).write_datasink(sink)

    check(capsys, "sink, os._exit", tmp_path / "out", 150, len(list(marks.iterdir())))
    assert len(list(marks.iterdir())) == 3 * 6


def test_tasks_that_encode_and_join_full_shards(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tools: ModuleType,
    marks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from arrowimg.ray import _full_shards

    arrowimg.write_shards(dataset(100), tmp_path / "library", 30)
    monkeypatch.setattr(_full_shards, "ROWS_PER_SPOOL", 25)
    monkeypatch.setattr(_full_shards, "_encode", tools.encode_and_die)
    monkeypatch.setattr(_full_shards, "_join_shards", tools.join_and_die)

    arrowimg.ray.write_shards(blocks(4), tmp_path / "out", 30)

    check(capsys, "full shards, os._exit", tmp_path / "out", 100, len(list(marks.iterdir())))
    assert len(list(marks.iterdir())) == 3 * 4 + 3 * 4
    for path in (tmp_path / "library").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_a_writer_with_random_names_writes_duplicates(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tools: ModuleType, marks: Path
) -> None:
    """The control: these deaths are seen by a writer that does not care."""
    files = blocks(4).map_batches(
        tools.write_anew_and_die,
        batch_format="pyarrow",
        fn_kwargs={"output_dir": tmp_path / "out", "marks": marks},
    )
    files.materialize()

    ids = pa.concat_tables(
        pq.read_table(path, columns=["image_id"]) for path in (tmp_path / "out").glob("*.parquet")
    )["image_id"].to_pylist()
    say(capsys, f"control: 4 worker deaths, rows in 100, duplicates {len(ids) - len(set(ids))}")
    assert len(ids) - len(set(ids)) == 100
    assert not arrowimg.verify(tmp_path / "out").is_sound

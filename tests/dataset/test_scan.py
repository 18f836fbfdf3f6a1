from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from verify_data import rewrite, with_value
from writer_data import IDS, dataset, windows

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage
from arrowimg._dataset.inspect import inspect_dataset
from arrowimg.errors import ManifestError, SchemaError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    scores = [row / 10 for row in range(100)]
    arrowimg.write_shards(dataset(100, score=scores), tmp_path / "out", 30)
    return tmp_path / "out"


def test_rows_are_those_of_the_dataset_in_order(out: Path) -> None:
    frame = arrowimg.scan(out).collect()

    assert frame["image_id"].to_list() == IDS[:100]
    assert frame["score"].to_list() == [row / 10 for row in range(100)]
    assert frame["tar_path"].to_list() == [f"{out}/{name}" for name in frame["tar_file"]]
    assert all(Path(path).is_file() for path in frame["tar_path"].unique())


def test_a_query_reads_no_more_than_it_asks_for(out: Path) -> None:
    query = arrowimg.scan(out).filter(pl.col("score") > 9.5).select("image_id")
    plan = query.explain()

    assert query.collect()["image_id"].to_list() == IDS[96:100]
    assert "SELECTION" in plan
    assert "PROJECT 2/" in plan


def test_only_what_the_manifest_lists_is_there(out: Path) -> None:
    shutil.copy(out / "images-000000.parquet", out / "images-000009.parquet")

    assert len(arrowimg.scan(out).collect()) == 100


def test_without_a_manifest_the_sidecars_say_what_is_there(tmp_path: Path) -> None:
    stage = ImageWriterStage(tmp_path, 4)
    for start in (0, 9):
        stage.process(ImageBatch.from_arrays(windows(9), IDS[start : start + 9]))
    (tmp_path / "images-without-a-sidecar.tar").write_bytes(b"")

    assert sorted(arrowimg.scan(tmp_path).collect()["image_id"]) == IDS[:18]


def test_pictures_in_the_sidecar_are_scanned_too(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path, remove_image_data=False)
    frame = arrowimg.scan(tmp_path).collect()

    assert [row["bytes"][:2] for row in frame["image_data"]] == [b"\xff\xd8"] * 5


@pytest.mark.parametrize("folder", ["", "nothing"])
def test_a_folder_without_shards_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ManifestError, match="neither"):
        arrowimg.scan(tmp_path / folder)


def test_a_sidecar_that_is_gone_is_an_error(out: Path) -> None:
    (out / "images-000001.parquet").unlink()

    with pytest.raises(ManifestError, match=r"images-000001\.parquet: .* none"):
        arrowimg.scan(out)


def test_duckdb_asks_the_frame(out: Path) -> None:
    frame = arrowimg.scan(out).collect()
    found = duckdb.execute("select image_id from frame where score > 9.5 order by 1").fetchall()

    assert len(frame) == 100
    assert [image_id for (image_id,) in found] == IDS[96:100]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_tar_is_opened_and_few_sidecars_twice(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(120), tmp_path / "out", 2)
    log = tmp_path / "log"
    program = f"import arrowimg; print(len(arrowimg.scan({str(tmp_path / 'out')!r}).collect()))"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=open,openat",
        "-o",
        str(log),
        sys.executable,
        "-c",
        program,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    opened = [line for line in log.read_text().splitlines() if "ENOENT" not in line]
    sidecars = [line for line in opened if "/out/images-" in line and ".parquet" in line]
    assert done.stdout == "120\n"
    assert not [line for line in opened if ".tar" in line]
    # The footers of 16 are checked before Polars sees them; Polars looks at the schema of the
    # first, and estimates the number of rows from 16 of them.
    assert 60 <= len(sidecars) <= 60 + 16 + 17


def test_columns_of_many_types_are_scanned(tmp_path: Path) -> None:
    columns = {
        "kind": pa.array(["x", "y", None] * 3).dictionary_encode(),
        "box": pa.array([{"x": 1, "y": [1.5]}, None, None] * 3),
        "vector": pa.array([[1.0, 2.0]] * 9, pa.list_(pa.float32(), 2)),
    }
    arrowimg.write_shards(dataset(9, **columns), tmp_path, 4)
    frame = arrowimg.scan(tmp_path).collect()

    assert frame["kind"].cast(pl.String).to_list() == ["x", "y", None] * 3
    assert frame["box"].to_list()[0] == {"x": 1, "y": [1.5]}
    assert frame["vector"].to_list() == [[1.0, 2.0]] * 9


def test_an_empty_dataset_has_no_rows_but_columns(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path / "some")
    arrowimg.write_shards(dataset(5).slice(0, 0), tmp_path / "none")
    some, none = (arrowimg.scan(tmp_path / name).collect() for name in ("some", "none"))

    assert len(none) == 0
    assert none.schema == some.schema


@pytest.mark.parametrize("folder", ["a=1", "b*", "c[d]", "{e}", "f g", "é"])
def test_a_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    arrowimg.write_shards(dataset(5), tmp_path / folder)
    frame = arrowimg.scan(tmp_path / folder).collect()

    assert frame.columns[-1] == "tar_path"
    assert frame["tar_path"].to_list() == [str(tmp_path / folder / "images-000000.tar")] * 5


def test_shards_may_have_their_columns_in_any_order(tmp_path: Path) -> None:
    stage, table = ImageWriterStage(tmp_path), dataset(7, first=range(7), second=range(7))
    stage.process(ImageBatch(table.slice(0, 3)))
    columns = ["image_id", "second", "first", "image_data"]
    stage.process(ImageBatch(table.slice(3).select(columns)))
    frame = arrowimg.scan(tmp_path).collect()

    assert frame["first"].equals(frame["second"])
    assert frame["first"].sort().to_list() == list(range(7))


def test_shards_whose_types_clash_are_an_error_that_names_the_column(tmp_path: Path) -> None:
    stage, table = ImageWriterStage(tmp_path), dataset(7, score=range(7))
    stage.process(ImageBatch(table.slice(0, 3)))
    other = table.slice(3).drop_columns("score").append_column("score", pa.array(["x"] * 4))
    stage.process(ImageBatch(other))

    with pytest.raises(SchemaError, match="score"):
        arrowimg.scan(tmp_path)


def test_shards_of_other_columns_have_the_wider_types_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, table = ImageWriterStage(tmp_path), dataset(9, score=range(9))
    boxes = [{"x": row, "y": 0.5} for row in range(3)]
    floats = table.slice(6).drop_columns("score").append_column("score", pa.array([0.5] * 3))
    batches = [table.slice(0, 3), table.slice(3, 3).drop_columns("score"), floats]
    for batch, extra in zip(batches, (pa.array([{"x": None}] * 3), None, boxes), strict=True):
        columns = batch if extra is None else batch.append_column("box", pa.array(extra))
        stage.process(ImageBatch(columns))
    monkeypatch.setattr("arrowimg._dataset.scan._CHECKED_AT_MOST", 1)

    frame = arrowimg.scan(tmp_path).sort("image_id")
    found = frame.filter(pl.col("score") < 2).select("score", "box").collect()

    assert frame.collect()["score"].to_list() == [0, 1, 2, None, None, None, 0.5, 0.5, 0.5]
    assert found.rows() == [
        (0.0, {"x": None, "y": None}),
        (1.0, {"x": None, "y": None}),
        (0.5, {"x": 0, "y": 0.5}),
        (0.5, {"x": 1, "y": 0.5}),
        (0.5, {"x": 2, "y": 0.5}),
    ]
    assert len(arrowimg.fetch_images(frame)) == 9
    (batch,) = arrowimg.read_batches(tmp_path)
    assert batch.data.schema.field("score").type == pa.float64()
    assert inspect_dataset(tmp_path).columns["score"] == "double"


def test_a_manifest_says_that_types_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = dataset(6, score=range(6))
    rest = table.slice(4).drop_columns("score").append_column("score", pa.array([0.5, 1.5]))
    arrowimg.write_shards(iter([table.slice(0, 4), rest]), tmp_path, 2)
    monkeypatch.setattr("arrowimg._dataset.scan._CHECKED_AT_MOST", 1)

    assert arrowimg.scan(tmp_path).collect()["score"].to_list() == [0, 1, 2, 3, 0.5, 1.5]


@pytest.mark.parametrize("name", ["../elsewhere.parquet", "/etc/passwd", ".."])
def test_a_manifest_never_leads_outside_its_folder(out: Path, name: str) -> None:
    manifest = (out / "manifest.json").read_text()
    (out / "manifest.json").write_text(manifest.replace("images-000001.parquet", name))

    with pytest.raises(ManifestError, match="instead of the name of a sidecar in the folder"):
        arrowimg.scan(out)


def test_a_tar_elsewhere_has_no_path(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(3), tmp_path)
    rows = pq.read_table(tmp_path / "images-000000.parquet")
    rewrite(tmp_path, with_value(rows, "tar_file", 1, "../out/images-000000.tar"))

    paths = arrowimg.scan(tmp_path).collect()["tar_path"].to_list()
    assert [path is None for path in paths] == [False, True, False]

"""With Ray: bad pictures, blocks that do not add up, jobs that end and go on."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from folders import content
from writer_data import dataset, in_batches, windows

import arrowimg
from arrowimg import ImageBatch, PixelOptions, errors

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from arrowimg._storage.local import LocalStorage

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


@pytest.fixture
def tools() -> ModuleType:
    import ray_tools

    return ray_tools


def blocks(table: pa.Table, rows: int) -> Any:  # noqa: ANN401  # Ray's dataset
    import ray.data

    return ray.data.from_arrow(list(in_batches(table, rows)))


def bomb() -> bytes:
    """Return a PNG of 64 bytes that declares 12.7 gigabytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def poisoned() -> dict[str, tuple[pa.Table, dict[str, Any], dict[str, str]]]:
    """Return a thousand files and a thousand arrays, options, and the code of each bad row."""
    stage = arrowimg.ImageWriterStage(".")
    jpeg = stage._encode_image_to_bytes(windows(1)[0])[0]
    files = [jpeg] * 1000
    files[333], files[777] = bomb(), jpeg[:-100]
    floats = [np.full((12, 16, 3), row / 1000, np.float32) for row in range(1000)]
    floats[250] = np.full((12, 16, 3), np.nan, np.float32)
    floats[900] = np.full((3, 12, 16), 0.5, np.float32)
    ids = [f"row{row:03d}" for row in range(1000)]
    return {
        "files": (
            pa.table({"image_id": ids, "image_data": files}),
            {},
            {"row333": "too_many_pixels", "row777": "truncated"},
        ),
        "arrays": (
            ImageBatch.from_arrays(floats, ids).data,
            {"pixels": PixelOptions(float_range=(0, 1))},
            {"row250": "not_finite", "row900": "layout"},
        ),
    }


@pytest.mark.parametrize("kind", ["files", "arrays"])
@pytest.mark.parametrize("way", ["batches", "actors", "sink", "full"])
def test_poison_is_in_the_sidecar_and_kills_nobody(
    tmp_path: Path, tools: ModuleType, kind: str, way: str
) -> None:
    import ray.data

    table, options, codes = poisoned()[kind]
    out, log = tmp_path / "out", tmp_path / "log"
    log.mkdir()
    images = blocks(table, 125).map_batches(tools.logged(str(log)), batch_format="pyarrow")
    if way == "sink":
        images.write_datasink(arrowimg.ray.ShardSink(out, **options))
    elif way == "full":
        arrowimg.ray.write_shards(images, out, **options)
    elif way == "batches":
        files = images.map_batches(
            arrowimg.ray.write_batch,
            fn_kwargs={"output_dir": out, **options},
            batch_format="pyarrow",
        )
        arrowimg.ray.publish_manifest(files, out, num_rows=1000, **options)
    else:
        files = images.map_batches(
            arrowimg.ray.BatchWriter,
            fn_constructor_kwargs={"output_dir": out, **options},
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        arrowimg.ray.publish_manifest(files, out, num_rows=1000, **options)

    frame = pl.read_parquet(out / "*.parquet")
    bad = frame.filter(pl.col("error").is_not_null())
    assert dict(zip(bad["image_id"], bad["error"], strict=True)) == codes
    assert (len(frame), frame["image_id"].n_unique()) == (1000, 1000)
    assert arrowimg.verify(out).is_sound
    # Had a worker died, its blocks would have been given to another.
    assert len(list(log.iterdir())) == 8


def write_full(images: Any, out: Path, **options: Any) -> None:  # noqa: ANN401
    arrowimg.ray.write_shards(images, out, **options)


def write_by_sink(images: Any, out: Path, **options: Any) -> None:  # noqa: ANN401
    images.write_datasink(arrowimg.ray.ShardSink(out, **options))


def write_by_batches(images: Any, out: Path, **options: Any) -> None:  # noqa: ANN401
    files = images.map_batches(
        arrowimg.ray.write_batch,
        fn_kwargs={"output_dir": out, **options},
        batch_format="pyarrow",
    )
    arrowimg.ray.publish_manifest(files, out, **options)


WAYS = pytest.mark.parametrize("write", [write_full, write_by_sink, write_by_batches])


def some_bad(num_bad: int) -> pa.Table:
    jpeg = arrowimg.ImageWriterStage(".")._encode_image_to_bytes(windows(1)[0])[0]
    files = [jpeg[:40]] * num_bad + [jpeg] * (100 - num_bad)
    return pa.table({"image_id": [f"{row}" for row in range(100)], "image_data": files})


@WAYS
def test_bad_rows_are_judged_over_all_blocks(tmp_path: Path, write: Any) -> None:  # noqa: ANN401
    write(blocks(some_bad(1), 10), tmp_path / "one")  # a tenth of its block
    with pytest.raises(errors.ErrorFractionError) as failure:
        write(blocks(some_bad(2), 10), tmp_path / "two")
    write(blocks(some_bad(2), 10), tmp_path / "allowed", max_error_fraction=0.02)

    assert arrowimg.verify(tmp_path / "one").is_sound
    assert arrowimg.verify(tmp_path / "allowed").is_sound
    error = failure.value
    assert (error.num_errors, error.num_rows, error.codes) == (2, 100, {"truncated": 2})
    assert not (tmp_path / "two" / "manifest.json").exists()


@WAYS
def test_a_bad_row_ends_the_job_where_that_is_asked_for(tmp_path: Path, write: Any) -> None:  # noqa: ANN401
    with pytest.raises(Exception, match=r"row 0 \(image_id '0'\): truncated"):
        write(blocks(some_bad(1), 10), tmp_path / "out", on_error="raise")

    assert not (tmp_path / "out" / "manifest.json").exists()


@WAYS
def test_an_id_in_two_blocks_is_refused(
    tmp_path: Path,
    write: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray.data

    from arrowimg.ray import _full_shards

    table = dataset(40)
    # Far apart, so that neither a spool nor a shard has both.
    monkeypatch.setattr(_full_shards, "ROWS_PER_SPOOL", 20)
    again = pa.concat_tables([table.slice(20, 19), table.slice(3, 1)])
    images = ray.data.from_arrow([table.slice(0, 20), again])

    with pytest.raises(errors.DuplicateIdError, match="'id003'"):
        write(images, tmp_path / "out", images_per_tar=8)

    assert not (tmp_path / "out" / "manifest.json").exists()


def test_blocks_that_became_one_shard_are_refused(tmp_path: Path) -> None:
    import ray.data

    images = ray.data.from_arrow([dataset(5).drop_columns(["image_id"])] * 3)

    with pytest.raises(errors.IncompleteError, match="image_id"):
        write_by_sink(images, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_rows_that_were_lost_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = arrowimg.ray.ShardSink(tmp_path / "out")
    complete = sink.on_write_complete

    def lose_a_task(result: Any) -> None:  # noqa: ANN401  # Ray's
        result.write_returns.pop()
        complete(result)

    monkeypatch.setattr(sink, "on_write_complete", lose_a_task)

    with pytest.raises(errors.IncompleteError) as failure:
        blocks(dataset(40), 10).write_datasink(sink)

    assert (failure.value.expected, failure.value.found) == (40, 30)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_job_that_failed_says_how_to_go_on_and_does(tmp_path: Path) -> None:
    table = some_bad(0).append_column("score", pa.array(range(100)))
    failing = table.slice(90).set_column(
        2, "score", pa.array([{1, 2}] * 10, pa.list_(pa.int8(), 0))
    )
    first = list(in_batches(table.slice(0, 90), 10))
    import ray.data

    with pytest.raises(errors.SchemaError) as failure:
        write_by_sink(ray.data.from_arrow([*first, failing]), tmp_path / "out")
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("images-*")}
    again = ray.data.from_arrow([*first, *in_batches(table.slice(90), 10)])
    write_by_sink(again, tmp_path / "out", if_exists="skip")

    (note,) = failure.value.__notes__
    assert str(tmp_path / "out") in note
    assert 'if_exists="skip"' in note
    after = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("images-*")}
    assert before.items() <= after.items()
    report = arrowimg.verify(tmp_path / "out")
    assert (report.is_sound, report.num_images, report.notices) == (True, 100, [])


def test_full_shards_go_on_from_their_spools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arrowimg.ray import _full_shards

    arrowimg.write_shards(dataset(90), tmp_path / "library", 40)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_full_shards, "_join", die)
        with pytest.raises(KeyboardInterrupt):
            write_full(blocks(dataset(90), 30), tmp_path / "out", images_per_tar=40)
    spools = {path: path.stat().st_ino for path in tmp_path.glob("out/.arrowimg-spools/*")}
    written: dict[Path, int] = {}
    from arrowimg._write.distributed.spools import discard_spools

    def look_first(place: LocalStorage) -> None:
        written.update({path: path.stat().st_ino for path in spools})
        discard_spools(place)

    monkeypatch.setattr(_full_shards, "discard_spools", look_first)
    write_full(blocks(dataset(90), 30), tmp_path / "out", images_per_tar=40, if_exists="skip")

    assert spools
    assert written == spools
    assert content(tmp_path / "out") == content(tmp_path / "library")


def test_a_dataset_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_full(blocks(dataset(90), 30), out, images_per_tar=40)
    before = content(out)

    write_full(blocks(dataset(90), 45), out, images_per_tar=40)
    for options in ({"images_per_tar": 30}, {"if_exists": "error", "images_per_tar": 40}):
        with pytest.raises(errors.DatasetConflictError):
            write_full(blocks(dataset(90), 30), out, **options)
    with pytest.raises(errors.DatasetConflictError, match="3 there, more here"):
        write_full(blocks(dataset(150), 30), out, images_per_tar=40)
    with pytest.raises(errors.ShardConflictError):
        write_full(blocks(dataset(40), 30), out, images_per_tar=40)

    assert {name: data for name, data in content_of(out).items() if name in before} == before
    write_full(blocks(dataset(40), 30), out, images_per_tar=40, if_exists="overwrite")
    report = arrowimg.verify(out)
    assert (report.is_sound, report.num_images, report.notices) == (True, 40, [])


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "options",
    [{"output_dir": "relative"}, {"if_exists": "error"}, {"images_per_tar": 0}],
)
def test_options_that_no_task_can_have_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(errors.OptionError, match=next(iter(options))):
        arrowimg.ray.write_batch(dataset(3), **{"output_dir": tmp_path, **options})


def test_nothing_is_a_dataset_too(tmp_path: Path) -> None:
    import ray.data

    empty = ray.data.from_arrow(dataset(3).slice(0, 0))

    write_full(empty, tmp_path / "full")
    write_by_sink(empty, tmp_path / "sink")

    for name in ("full", "sink"):
        assert arrowimg.verify(tmp_path / name).num_rows == 0

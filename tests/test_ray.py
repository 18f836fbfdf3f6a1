"""Ray Data writes what the library writes without it, whatever the blocks."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from folders import content
from segmentation_data import LABELS, MASKS, PHOTOGRAPHS, values_of
from writer_data import IDS, dataset, in_batches, windows

import arrowimg
from arrowimg import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

Way: TypeAlias = "Callable[..., None]"

CAPTIONS = pl.DataFrame({"image_id": IDS[::-1], "caption": [f"of {it}" for it in IDS[::-1]]})


@pytest.fixture
def ray() -> ModuleType:
    return importlib.import_module("ray")


@pytest.fixture
def tools() -> ModuleType:
    import ray_tools

    return ray_tools


def blocks(table: pa.Table, rows: int) -> Any:  # noqa: ANN401  # Ray's dataset
    import ray.data

    return ray.data.from_arrow(list(in_batches(table, rows)))


def write_by_batches(images: Any, out: Path, **options: Any) -> None:  # noqa: ANN401
    files = images.map_batches(
        arrowimg.ray.write_batch,
        fn_kwargs={"output_dir": out, **options},
        batch_format="pyarrow",
    )
    arrowimg.ray.publish_manifest(files, out, **options)


def write_by_actors(images: Any, out: Path, **options: Any) -> None:  # noqa: ANN401
    import ray.data

    files = images.map_batches(
        arrowimg.ray.BatchWriter,
        fn_constructor_kwargs={"output_dir": out, **options},
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    arrowimg.ray.publish_manifest(files, out, **options)


def write_by_sink(images: Any, out: Path, **options: Any) -> None:  # noqa: ANN401
    images.write_datasink(arrowimg.ray.ShardSink(out, **options))


def write_full(images: Any, out: Path, **options: Any) -> None:  # noqa: ANN401
    arrowimg.ray.write_shards(images, out, **options)


WAYS = [write_by_batches, write_by_actors, write_by_sink, write_full]


@pytest.mark.parametrize("write", WAYS)
def test_options_as_a_whole_write_what_the_keywords_write(
    tmp_path: Path, ray: ModuleType, write: Way
) -> None:
    del ray  # its cluster is what is asked for
    images = blocks(dataset(60), 20)
    options = arrowimg.WriteOptions(
        images_per_tar=7, remove_image_data=True, on_error="quarantine", checksum="sha256"
    )

    write(images, tmp_path / "once", options=options)
    write(images, tmp_path / "named", images_per_tar=7, checksum="sha256")

    once, named = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.is_file()}
        for name in ("once", "named")
    )
    assert once == named
    assert len(once) > 2


@pytest.mark.parametrize("write", WAYS)
def test_read_images_gives_the_samples_of_the_library(
    tmp_path: Path, ray: ModuleType, tools: ModuleType, write: Way
) -> None:
    folder = tools.picture_files(tmp_path / "pictures")
    images = ray.data.read_images(folder, include_paths=True, mode="RGB").map_batches(
        tools.named, batch_format="pyarrow"
    )
    in_memory = pa.concat_tables(
        images.iter_batches(batch_size=None, batch_format="pyarrow"), promote_options="none"
    )

    write(images, tmp_path / "ray", images_per_tar=7)

    arrowimg.write_shards(in_memory, tmp_path / "library", images_per_tar=7)
    assert tools.samples_in(tmp_path / "ray") == tools.samples_in(tmp_path / "library")
    assert len(tools.samples_in(tmp_path / "ray")) == 40
    assert arrowimg.verify(tmp_path / "ray", depth="decode") == arrowimg.Report(
        str(tmp_path / "ray"),
        "decode",
        len(list((tmp_path / "ray").glob("*.tar"))),
        40,
        40,
        [],
        [],
    )


@pytest.mark.parametrize("write", WAYS)
def test_files_are_copied(tmp_path: Path, ray: ModuleType, tools: ModuleType, write: Way) -> None:
    folder = tools.picture_files(tmp_path / "pictures", 9)
    binary = ray.data.read_binary_files(folder, include_paths=True)
    images = binary.rename_columns({"bytes": "image", "path": "path"}).map_batches(
        tools.named, batch_format="pyarrow"
    )

    write(images, tmp_path / "ray")

    found = tools.samples_in(tmp_path / "ray")
    assert {image_id: picture for image_id, (picture, _) in found.items()} == {
        path.stem: path.read_bytes() for path in folder.iterdir()
    }
    assert {rest["action"] for _, rest in found.values()} == {"copied"}


@pytest.mark.parametrize(
    "options",
    [
        {"images_per_tar": 50},
        {"images_per_tar": 50, "encode_threads": 2, "checksum": "sha256"},
        {"max_bytes_per_tar": 60_000, "remove_image_data": False},
    ],
    ids=str,
)
def test_blocks_and_workers_do_not_show_in_the_bytes(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    table = dataset(score=np.arange(320) / 7)
    arrowimg.write_shards(table, tmp_path / "library", **{"remove_image_data": True, **options})

    for rows, concurrency in ((37, 1), (100, None), (320, 2)):
        out = tmp_path / str(rows)
        group = arrowimg.ray.write_shards(
            blocks(table, rows), out, concurrency=concurrency, **options
        )

        assert content(out) == content(tmp_path / "library")
        assert group.tar_paths == [str(path) for path in sorted(out.glob("*.tar"))]
        assert (group.num_images, group.metadata["num_rows"]) == (320, 320)


def test_rows_keep_their_order_whichever_block_is_done_first(
    tmp_path: Path, tools: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arrowimg.ray import _full_shards

    os.mkfifo(tmp_path / "out-pipe")
    monkeypatch.setattr(_full_shards, "ROWS_PER_SPOOL", 120)
    monkeypatch.setattr(_full_shards, "_encode", tools.encode_last_first)

    group = arrowimg.ray.write_shards(blocks(dataset(240), 120), tmp_path / "out", 50)

    frames = [pl.read_parquet(path) for path in group.parquet_paths]
    assert pl.concat(frames)["image_id"].to_list() == IDS[:240]


def test_bad_rows_take_no_room_in_a_full_tar(tmp_path: Path) -> None:
    stage = arrowimg.ImageWriterStage(tmp_path)
    jpegs = [stage._encode_image_to_bytes(window)[0] for window in windows(120)]
    data = [jpeg[:50] if row % 11 == 3 else jpeg for row, jpeg in enumerate(jpegs)]
    table = pa.table({"image_id": IDS[:120], "image_data": data})
    options: dict[str, Any] = {
        "images_per_tar": 25,
        "max_error_fraction": 0.1,
        "keep_quarantined": True,
    }
    arrowimg.write_shards(table, tmp_path / "library", on_error="quarantine", **options)

    for rows in (17, 60):
        arrowimg.ray.write_shards(blocks(table, rows), tmp_path / str(rows), **options)

        assert content(tmp_path / str(rows)) == content(tmp_path / "library")
    manifest = pl.read_json(tmp_path / "17" / "manifest.json")["shards"].explode()
    assert manifest.struct["num_images"].to_list() == [25, 25, 25, 25, 9]


def test_rows_without_ids_that_are_all_the_same_are_all_kept(
    tmp_path: Path, ray: ModuleType
) -> None:
    images = ray.data.from_arrow([dataset(5).drop_columns(["image_id"])] * 4)

    group = arrowimg.ray.write_shards(images, tmp_path / "out")

    assert group.num_images == 20
    assert arrowimg.verify(tmp_path / "out").is_sound


def tensors() -> dict[str, Any]:
    import ray.data

    pictures = windows(20)
    ragged = [picture[: 5 + at % 3] for at, picture in enumerate(pictures)]
    rows = [
        {"image_id": IDS[at], "image_data": ragged[at], "box": np.arange(2.0)} for at in range(20)
    ]
    stacked = ray.data.from_numpy(pictures).rename_columns({"data": "image_data"})
    return {
        "stacked": (stacked, list(pictures)),
        "gray": (
            ray.data.from_items([{"image_data": it[..., 0]} for it in pictures]),
            [it[..., 0] for it in pictures],
        ),
        "ragged": (ray.data.from_items(rows), ragged),
        "ragged_and_gray": (
            ray.data.from_items(
                [{"image_data": it if at % 2 else it[..., 1]} for at, it in enumerate(ragged)]
            ),
            [it if at % 2 else it[..., 1] for at, it in enumerate(ragged)],
        ),
        "arrow": (ray.data.from_arrow(dataset(20)), list(pictures)),
    }


@pytest.mark.parametrize("kind", ["stacked", "gray", "ragged", "ragged_and_gray", "arrow"])
@pytest.mark.parametrize("write", [write_by_batches, write_by_sink, write_full])
def test_pixels_are_read_as_ray_gives_them(tmp_path: Path, kind: str, write: Way) -> None:
    images, pictures = tensors()[kind]
    stage = arrowimg.ImageWriterStage(tmp_path)

    write(images, tmp_path / "out", remove_image_data=False)

    stored = pl.read_parquet(tmp_path / "out" / "*.parquet")["image_data"]
    assert sorted(stored.struct["bytes"].to_list()) == sorted(
        stage._encode_image_to_bytes(picture)[0] for picture in pictures
    )


def test_a_column_of_pickled_objects_is_refused(tmp_path: Path, ray: ModuleType) -> None:
    images = ray.data.from_items([{"image_data": b"", "tags": complex(1, at)} for at in range(3)])

    with pytest.raises(errors.SchemaError, match=r"'tags'.*pickled Python objects"):
        arrowimg.ray.write_shards(images, tmp_path / "out")


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize("kind", ["frame", "path"])
def test_metadata_is_joined_by_id(tmp_path: Path, write: Way, kind: str) -> None:
    table = dataset(60)
    metadata: Any = CAPTIONS.filter(pl.col("image_id") < IDS[60])
    arrowimg.write_shards(table, tmp_path / "library", metadata=metadata)
    expected = pl.read_parquet(tmp_path / "library" / "*.parquet")
    if kind == "path":
        metadata.write_parquet(tmp_path / "captions.parquet")
        metadata = tmp_path / "captions.parquet"
    if write in (write_by_batches, write_by_actors):
        # The manifest is published apart, and does not know of it.
        options = {"output_dir": tmp_path / "out", "metadata": metadata}
        keyword = "fn_kwargs" if write is write_by_batches else "fn_constructor_kwargs"
        work = arrowimg.ray.write_batch if write is write_by_batches else arrowimg.ray.BatchWriter
        concurrency = None if write is write_by_batches else 1
        files = blocks(table, 25).map_batches(
            work, batch_format="pyarrow", concurrency=concurrency, **{keyword: options}
        )
        arrowimg.ray.publish_manifest(files, tmp_path / "out", num_rows=60)
    else:
        write(blocks(table, 25), tmp_path / "out", metadata=metadata)

    found = pl.read_parquet(tmp_path / "out" / "*.parquet").sort("image_id")
    assert found.select("image_id", "caption", "checksum").equals(
        expected.select("image_id", "caption", "checksum")
    )


@pytest.mark.parametrize("kind", ["arrow", "ragged"])
def test_a_dataset_of_metadata_is_joined_by_ray(tmp_path: Path, ray: ModuleType, kind: str) -> None:
    images = blocks(dataset(20), 7) if kind == "arrow" else tensors()["ragged"][0]
    captions = CAPTIONS.filter(pl.col("image_id") < IDS[20])
    metadata = ray.data.from_arrow(captions.to_arrow())

    group = arrowimg.ray.write_shards(images, tmp_path / "out", 8, metadata=metadata)

    found = pl.read_parquet(tmp_path / "out" / "*.parquet").sort("image_id")
    assert found["image_id"].to_list() == IDS[:20]
    assert found["caption"].to_list() == [f"of {image_id}" for image_id in IDS[:20]]
    assert "arrowimg_joined" not in found.columns
    assert [len(pl.read_parquet(path)) for path in group.parquet_paths] == [8, 8, 4]


class TestMetadataThatDoesNotMatch:
    @pytest.mark.parametrize("write", [write_by_sink, write_full])
    @pytest.mark.parametrize("kind", ["frame", "path"])
    def test_an_image_without_metadata(self, tmp_path: Path, write: Way, kind: str) -> None:
        metadata: Any = CAPTIONS.filter(pl.col("image_id") != "id007")
        if kind == "path":
            metadata.write_parquet(tmp_path / "captions.parquet")
            metadata = tmp_path / "captions.parquet"

        with pytest.raises(errors.MetadataJoinError, match="'id007'"):
            write(blocks(dataset(20), 7), tmp_path / "out", metadata=metadata)

        assert not (tmp_path / "out" / "manifest.json").exists()

    @pytest.mark.parametrize("write", [write_by_sink, write_full])
    def test_metadata_without_an_image(self, tmp_path: Path, write: Way) -> None:
        with pytest.raises(errors.IncompleteError) as failure:
            write(blocks(dataset(20), 7), tmp_path / "out", metadata=CAPTIONS)

        assert (failure.value.expected, failure.value.found) == (320, 20)
        assert not (tmp_path / "out" / "manifest.json").exists()

    def test_a_dataset_without_metadata_for_an_image(self, tmp_path: Path, ray: ModuleType) -> None:
        metadata = ray.data.from_arrow(CAPTIONS.filter(pl.col("image_id") != "id007").to_arrow())

        with pytest.raises(errors.MetadataJoinError, match="'id007'"):
            arrowimg.ray.write_shards(blocks(dataset(20), 7), tmp_path / "out", metadata=metadata)

    def test_metadata_with_an_id_twice(self, tmp_path: Path) -> None:
        metadata = pl.concat([CAPTIONS, CAPTIONS.head(1)])

        with pytest.raises(errors.MetadataJoinError, match="'id319'"):
            arrowimg.ray.ShardSink(tmp_path / "out", metadata=metadata)

    def test_a_dataset_in_a_sink(self, tmp_path: Path, ray: ModuleType) -> None:
        with pytest.raises(errors.OptionError, match="join datasets before"):
            arrowimg.ray.ShardSink(tmp_path / "out", metadata=ray.data.range(3))


def test_the_driver_gets_paths_and_the_object_store_keeps_no_pictures(
    tmp_path: Path, ray: ModuleType, tools: ModuleType
) -> None:
    def references() -> int:
        gc.collect()
        # Whoever writes a dataset owns its blocks: what it refers to no more is freed.
        return len(ray._private.worker.global_worker.core_worker.get_all_reference_counts())

    pictures = tools.noise(200, 256, 256)  # 39 MB
    images = ray.data.range(200, override_num_blocks=8).map_batches(
        lambda batch: {"image_data": pictures[batch["id"]], "image_id": batch["id"]}
    )
    before = references()

    files = images.map_batches(
        arrowimg.ray.write_batch,
        fn_kwargs={"output_dir": tmp_path / "batches"},
        batch_format="pyarrow",
    ).materialize()
    arrowimg.ray.publish_manifest(files, tmp_path / "batches", num_rows=200)
    images.write_datasink(arrowimg.ray.ShardSink(tmp_path / "sink"))
    arrowimg.ray.write_shards(images, tmp_path / "full")

    assert files.size_bytes() < 10_000
    assert files.schema().names == arrowimg.FileGroupTask.from_files([]).data.column_names
    del files, images
    assert references() <= before


def test_importing_arrowimg_does_not_import_ray() -> None:
    code = "import sys, arrowimg; print('ray' in sys.modules)"

    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert fresh.stdout == "False\n"


@pytest.mark.parametrize("kind", ["ragged", "files"])
def test_further_pictures_are_written(tmp_path: Path, ray: ModuleType, kind: str) -> None:
    masks = [LABELS[: 9 + row % 3] if kind == "ragged" else MASKS[row] for row in range(7)]
    rows = [
        {"image_id": f"id{row}", "image": PHOTOGRAPHS[row], "mask": masks[row]} for row in range(7)
    ]

    arrowimg.ray.write_shards(
        ray.data.from_items(rows), tmp_path, 3, images={"jpg": "image", "mask.png": "mask"}
    )

    found = arrowimg.fetch_images(arrowimg.scan(tmp_path), images=["mask", "image_data"])
    assert found["image_data"].to_list() == PHOTOGRAPHS
    for mask, data in zip(masks, found["mask"], strict=True):
        assert data == mask if kind == "files" else np.array_equal(values_of(data), mask)
    assert arrowimg.verify(tmp_path, "decode").is_sound

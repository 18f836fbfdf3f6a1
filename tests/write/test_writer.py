from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import content
from writer_data import (
    IDS,
    ROWS,
    dataset,
    in_batches,
    names_in,
    rows_in,
    windows,
    write_all,
)

from arrowimg import ImageBatch, ShardWriter, write_shards
from arrowimg._format import parquet as _parquet
from arrowimg._format.manifest import Manifest
from arrowimg.errors import (
    ArrowimgError,
    ImageError,
    NotFinishedError,
    NotOpenError,
    ShardConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class TestPacking:
    def test_shards_are_full_across_batches(self, tmp_path: Path) -> None:
        group = write_all(in_batches(dataset(), 32), tmp_path, images_per_tar=100)

        assert [len(names_in(path)) for path in group.tar_paths] == [100, 100, 100, 20]
        assert group.num_images == group.metadata["num_rows"] == 320
        assert [Path(path).name for path in group.tar_paths] == [
            f"images-{number:06d}.tar" for number in range(4)
        ]
        assert [row["image_id"] for row in rows_in(tmp_path)] == IDS

    @pytest.mark.parametrize(
        "make_column",
        [
            lambda: pa.array(range(ROWS)),
            lambda: pa.array([f"caption {row}" for row in range(ROWS)]),
            lambda: pa.array([f"{row}" * 6000 for row in range(ROWS)]),
            lambda: pa.array([f"kind {row % 9}" for row in range(ROWS)]).dictionary_encode(),
            lambda: pa.array([[row] * (row % 5) for row in range(ROWS)]),
            lambda: pa.array([{"a": None if row % 7 else row} for row in range(ROWS)]),
            lambda: pa.array([[row / 7] * 9 for row in range(ROWS)], pa.list_(pa.float32(), 9)),
            lambda: pa.nulls(ROWS),
        ],
        ids=["ints", "text", "long text", "category", "lists", "structs", "embeddings", "nulls"],
    )
    @pytest.mark.parametrize("keep", [True, False])
    def test_files_do_not_depend_on_how_the_rows_are_batched(
        self,
        tmp_path: Path,
        make_column: Callable[[], pa.Array],
        keep: bool,  # noqa: FBT001
    ) -> None:
        table = dataset(value=make_column())
        written = []
        for rows in (ROWS, 100, 32, 7):
            folder = tmp_path / str(rows)
            write_all(
                in_batches(table, rows), folder, images_per_tar=100, remove_image_data=not keep
            )
            written.append(content(folder))

        names = [
            {name for name in written[0] if other[name] != written[0][name]} for other in written
        ]
        assert names == [set()] * 4

    @pytest.mark.parametrize("most", [2000, 4000])
    def test_row_groups_do_not_depend_on_how_the_rows_are_batched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
    ) -> None:
        monkeypatch.setattr(_parquet, "_ROW_GROUP_NBYTES", most)
        counts = []
        for rows in (ROWS, 32, 7):
            write_all(in_batches(dataset(), rows), tmp_path / str(rows), images_per_tar=100)
            footer = pq.read_metadata(tmp_path / str(rows) / "images-000001.parquet")
            counts.append([footer.row_group(at).num_rows for at in range(footer.num_row_groups)])

        assert len(counts[0]) > 2
        assert counts == [counts[0]] * 3

    @pytest.mark.parametrize("most", [8192, 20_000])
    def test_no_tar_exceeds_the_bytes_that_were_allowed(self, tmp_path: Path, most: int) -> None:
        group = write_all(in_batches(dataset(90), 32), tmp_path, max_bytes_per_tar=most)

        sizes = [Path(path).stat().st_size for path in group.tar_paths]
        assert len(sizes) > 3
        assert max(sizes) <= most
        assert group.num_images == 90

    def test_pictures_without_id_are_numbered_through(self, tmp_path: Path) -> None:
        table = dataset(9).drop_columns(["image_id"])

        write_all(in_batches(table, 4), tmp_path, images_per_tar=5)

        assert [row["member_name"] for row in rows_in(tmp_path)] == [
            f"row-{row:09d}.jpg" for row in range(9)
        ]

    def test_one_call_is_the_same_as_a_writer(self, tmp_path: Path) -> None:
        write_all(in_batches(dataset(), 50), tmp_path / "a", images_per_tar=100)

        group = write_shards(dataset(), tmp_path / "b", 100)

        assert content(tmp_path / "a") == content(tmp_path / "b")
        assert sorted(group.paths) == sorted(
            str(path) for path in (tmp_path / "b").iterdir() if path.name != "manifest.json"
        )

    def test_an_empty_source_is_a_dataset_without_shards(self, tmp_path: Path) -> None:
        group = write_shards(dataset(3)[:0], tmp_path)

        assert group.paths == []
        assert json.loads((tmp_path / "manifest.json").read_bytes())["num_shards"] == 0


class TestManifest:
    def test_it_lists_every_shard_as_it_is(self, tmp_path: Path) -> None:
        group = write_shards(dataset(), tmp_path, 100)

        manifest = Manifest.from_json((tmp_path / "manifest.json").read_bytes(), "manifest.json")
        assert (manifest.num_shards, manifest.num_images, manifest.num_rows) == (4, 320, 320)
        assert manifest.options["images_per_tar"] == 100
        listed = [
            (entry.tar, entry.tar_nbytes, entry.tar_checksum) for entry in manifest.shards
        ] + [
            (entry.parquet, entry.parquet_nbytes, entry.parquet_checksum)
            for entry in manifest.shards
        ]
        assert sorted(listed) == sorted(
            (Path(row["path"]).name, row["nbytes"], row["checksum"])
            for row in group.data.to_pylist()
        )

    def test_it_is_linked_last(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        linked: list[str] = []
        link = os.link

        def recording(source: str, target: str, **options: Any) -> None:  # noqa: ANN401  # passed on
            linked.append(target)
            link(source, target, **options)

        monkeypatch.setattr(os, "link", recording)

        write_shards(dataset(3), tmp_path, 2)

        assert linked == [
            "images-000000.tar",
            "images-000000.parquet",
            "images-000001.tar",
            "images-000001.parquet",
            "manifest.json",
        ]

    def test_nothing_is_taken_outside_of_the_block(self, tmp_path: Path) -> None:
        writer = ShardWriter(tmp_path)
        with pytest.raises(NotOpenError, match="inside its with-block"):
            writer.write(dataset(3))
        with writer:
            writer.write(dataset(3))
        with pytest.raises(NotOpenError):
            writer.write(dataset(3))

        assert writer.file_group.num_images == 3

    def test_the_file_group_is_not_known_before_the_end(self, tmp_path: Path) -> None:
        with ShardWriter(tmp_path) as writer:
            writer.write(dataset(3))
            with pytest.raises(NotFinishedError, match="with-block"):
                _ = writer.file_group

        assert writer.file_group.num_images == 3


class TestInterruption:
    def test_an_exception_leaves_whole_shards_only_and_running_again_completes(
        self, tmp_path: Path
    ) -> None:
        table = dataset()

        def interrupted() -> None:
            with ShardWriter(tmp_path / "a", 100) as writer:
                writer.write(table[:250])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            interrupted()
        left = sorted(content(tmp_path / "a"))
        write_shards(table, tmp_path / "a", 100)
        write_shards(table, tmp_path / "b", 100)

        assert left == [
            f"images-{number:06d}.{kind}" for number in range(2) for kind in ("parquet", "tar")
        ]
        assert content(tmp_path / "a") == content(tmp_path / "b")

    def test_a_bad_batch_can_be_mended_and_written_again(self, tmp_path: Path) -> None:
        with ShardWriter(
            tmp_path, metadata=pl.DataFrame({"image_id": IDS[:2], "n": [0, 1]})
        ) as writer:
            with pytest.raises(ImageError):
                writer.write(ImageBatch.from_arrays([windows(1)[0], None], IDS[:2]))
            writer.write(dataset(2))

        assert [row["n"] for row in rows_in(tmp_path)] == [0, 1]

    def test_no_row_is_written_twice_after_a_failure_that_was_swallowed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = os.link

        def failing(source: str, target: str, **options: Any) -> None:  # noqa: ANN401  # passed on
            if target == "images-000001.tar":
                raise OSError(errno.ENOSPC, "No space left on device")
            link(source, target, **options)

        monkeypatch.setattr(os, "link", failing)
        with suppress(ArrowimgError, OSError), ShardWriter(tmp_path, 4) as writer:
            writer.write(dataset(9)[:3])
            with pytest.raises(OSError, match="No space"):
                writer.write(dataset(9)[3:])
            monkeypatch.undo()

        written = [row["image_id"] for row in rows_in(tmp_path)]
        assert len(written) == len(set(written))
        assert written == IDS[:9] or not (tmp_path / "manifest.json").exists()

    def test_another_dataset_in_the_folder_is_left_alone(self, tmp_path: Path) -> None:
        write_shards(dataset(30), tmp_path, 10)
        before = content(tmp_path)

        with pytest.raises(ShardConflictError):
            write_shards(dataset(60)[30:], tmp_path, 10)
        with pytest.raises(ShardConflictError, match=r"manifest\.json|images-"):
            write_shards(dataset(10), tmp_path, 10)

        assert content(tmp_path) == before

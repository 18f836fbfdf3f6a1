"""What workers return is held against what went in, before anybody is told that it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from msgspec import structs
from writer_data import dataset, in_batches

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage, WriteOptions
from arrowimg._dataset.duplicates import check_ids, hashes_of_ids, rows_of_hashes
from arrowimg._write.distributed.collect import (
    check_counts,
    check_metadata_used,
    pair_files,
    publish_manifest,
)
from arrowimg._write.publish import Dataset
from arrowimg.errors import (
    DatasetConflictError,
    DuplicateIdError,
    ErrorFractionError,
    IncompleteError,
    ShardConflictError,
)

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = WriteOptions(images_per_tar=20, remove_image_data=True, on_error="quarantine")


def write(folder: Path, *tables: pa.Table, options: WriteOptions = OPTIONS) -> list[pa.Table]:
    """Return what workers return that write a batch each."""
    stage = ImageWriterStage(
        folder, options.images_per_tar, remove_image_data=True, on_error="quarantine"
    )
    return [stage.process(ImageBatch(table)).data for table in tables]


def test_shards_are_those_of_the_rows_sorted_by_name(tmp_path: Path) -> None:
    files = write(tmp_path, *in_batches(dataset(70), 35))

    shards = pair_files(reversed(files), OPTIONS)

    paths = [shard.tar.path for shard in shards]
    assert paths == sorted(map(str, tmp_path.glob("*.tar")))
    assert [shard.parquet.path for shard in shards] == sorted(map(str, tmp_path.glob("*.parquet")))
    assert sum(shard.tar.num_images for shard in shards) == 70


def test_a_shard_that_two_tasks_wrote_is_refused(tmp_path: Path) -> None:
    table = dataset(10).drop_columns(["image_id"])

    with pytest.raises(IncompleteError, match="image_id"):
        pair_files(write(tmp_path, table, table), OPTIONS)


@pytest.mark.parametrize("cut", [slice(1, None), slice(0, 1)])
def test_a_tar_without_its_sidecar_is_refused(tmp_path: Path, cut: slice) -> None:
    (files,) = write(tmp_path, dataset(10))

    with pytest.raises(IncompleteError):
        pair_files([files.slice(cut.start, (cut.stop or 2) - cut.start)], OPTIONS)


def test_counts_that_add_up_pass(tmp_path: Path) -> None:
    shards = pair_files(write(tmp_path, dataset(50)), OPTIONS)

    check_counts(Dataset.at(tmp_path, OPTIONS), shards, 50)
    check_counts(Dataset.at(tmp_path, OPTIONS), shards, None)


@pytest.mark.parametrize("num_rows", [49, 51])
def test_other_counts_are_refused(tmp_path: Path, num_rows: int) -> None:
    shards = pair_files(write(tmp_path, dataset(50)), OPTIONS)

    with pytest.raises(IncompleteError) as failure:
        check_counts(Dataset.at(tmp_path, OPTIONS), shards, num_rows)
    assert (failure.value.expected, failure.value.found) == (num_rows, 50)


def test_shards_of_other_options_are_refused(tmp_path: Path) -> None:
    shards = pair_files(write(tmp_path, dataset(50)), OPTIONS)
    others = WriteOptions(images_per_tar=21, remove_image_data=True)

    with pytest.raises(DatasetConflictError, match="images_per_tar"):
        check_counts(Dataset.at(tmp_path, others), shards, 50)


def test_too_many_bad_rows_are_refused_with_their_codes(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image_id": [f"{at}" for at in range(30)],
            "image_data": pa.array([None] * 30, pa.binary()),
        }
    )
    shards = pair_files(write(tmp_path, dataset(70), table), OPTIONS)
    allowed = structs.replace(OPTIONS, max_error_fraction=0.3)
    refused = structs.replace(OPTIONS, max_error_fraction=0.29)

    check_counts(Dataset.at(tmp_path, allowed), shards, 100)
    with pytest.raises(ErrorFractionError) as failure:
        check_counts(Dataset.at(tmp_path, refused), shards, 100)
    assert failure.value.codes == {"missing": 30}
    assert (failure.value.num_errors, failure.value.num_rows) == (30, 100)


def test_metadata_must_be_used_up() -> None:
    check_metadata_used(None, 7)
    check_metadata_used(7, 7)
    with pytest.raises(IncompleteError, match="expected 8, found 7"):
        check_metadata_used(8, 7)


def hashes_of(sidecars: list[str]) -> Any:  # noqa: ANN401
    return hashes_of_ids(sidecars)


def test_an_id_in_two_sidecars_is_named_with_both(tmp_path: Path) -> None:
    table = dataset(60)
    shards = pair_files(write(tmp_path, table.slice(0, 20), table.slice(19, 20)), OPTIONS)
    sidecars = [shard.parquet.path for shard in shards]

    with pytest.raises(DuplicateIdError) as failure:
        check_ids(sidecars, hashes_of, rows_of_hashes)

    names = ", ".join(sorted(path.name for path in tmp_path.glob("*.parquet")))
    assert failure.value.offenders == (f"'id019' in {names}",)


def test_ids_that_share_a_hash_are_not_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xxhash, "xxh3_64_intdigest", lambda text: len(text) + 2**60)
    shards = pair_files(write(tmp_path, *in_batches(dataset(60), 20)), OPTIONS)

    check_ids([shard.parquet.path for shard in shards], hashes_of, rows_of_hashes)


def test_rows_without_ids_are_no_duplicates(tmp_path: Path) -> None:
    table = dataset(40).drop_columns(["image_id"])
    shards = pair_files(write(tmp_path, table.slice(0, 20), table.slice(20)), OPTIONS)

    check_ids([shard.parquet.path for shard in shards], hashes_of, rows_of_hashes)


class TestPublishManifest:
    def test_file_groups_of_any_processes_become_a_dataset(self, tmp_path: Path) -> None:
        stage = ImageWriterStage(tmp_path, 20, remove_image_data=True, on_error="quarantine")
        groups = [stage.process(ImageBatch(table)) for table in in_batches(dataset(70), 35)]

        group = publish_manifest(tmp_path, reversed(groups), options=stage.options, num_rows=70)

        report = arrowimg.verify(tmp_path)
        assert (report.is_sound, report.num_images, report.notices) == (True, 70, [])
        assert group.tar_paths == sorted(path for each in groups for path in each.tar_paths)
        assert group.metadata["output_dir"] == str(tmp_path)

    @pytest.mark.parametrize("num_rows", [49, 51])
    def test_rows_that_do_not_add_up_make_none(self, tmp_path: Path, num_rows: int) -> None:
        files = write(tmp_path, dataset(50))

        with pytest.raises(IncompleteError):
            publish_manifest(tmp_path, files, options=OPTIONS, num_rows=num_rows)

        assert not (tmp_path / "manifest.json").exists()

    def test_ids_that_two_processes_wrote_make_none(self, tmp_path: Path) -> None:
        table = dataset(60)
        files = write(tmp_path, table.slice(0, 20), table.slice(19, 20))

        with pytest.raises(DuplicateIdError, match="id019"):
            publish_manifest(tmp_path, files, options=OPTIONS)

        assert not (tmp_path / "manifest.json").exists()


class TestFolders:
    def commit(self, folder: Path, table: pa.Table, **options: Any) -> None:  # noqa: ANN401
        chosen = WriteOptions(images_per_tar=20, remove_image_data=True, **options)
        begun = Dataset.at(folder, chosen).begin()
        shards = pair_files(write(folder, table, options=chosen), chosen)
        begun.publish(shards)

    def test_the_manifest_makes_it_a_dataset(self, tmp_path: Path) -> None:
        self.commit(tmp_path, dataset(50))

        report = arrowimg.verify(tmp_path)
        assert (report.is_sound, report.num_images, report.notices) == (True, 50, [])

    def test_the_same_again_changes_nothing(self, tmp_path: Path) -> None:
        self.commit(tmp_path, dataset(50))
        before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}

        self.commit(tmp_path, dataset(50))

        assert {path.name: path.stat().st_ino for path in tmp_path.iterdir()} == before

    def test_another_dataset_is_left_as_it_is(self, tmp_path: Path) -> None:
        self.commit(tmp_path, dataset(50))
        manifest = (tmp_path / "manifest.json").read_bytes()

        with pytest.raises(ShardConflictError):
            self.commit(tmp_path, dataset(60))
        with pytest.raises(DatasetConflictError):
            self.commit(tmp_path, dataset(50), reencode=True)

        assert (tmp_path / "manifest.json").read_bytes() == manifest

    def test_another_dataset_is_replaced_where_that_is_asked_for(self, tmp_path: Path) -> None:
        self.commit(tmp_path, dataset(50))

        self.commit(tmp_path, dataset(60).slice(0, 20), if_exists="overwrite")

        report = arrowimg.verify(tmp_path)
        assert (report.is_sound, report.num_images, report.notices) == (True, 20, [])

    def test_a_numbered_dataset_is_replaced_too(self, tmp_path: Path) -> None:
        arrowimg.write_shards(dataset(50), tmp_path, 20)

        self.commit(tmp_path, dataset(30), if_exists="overwrite")

        report = arrowimg.verify(tmp_path)
        assert (report.is_sound, report.num_images, report.notices) == (True, 30, [])

    @pytest.mark.parametrize("name", ["images-000000.tar", "images-12ab-000000.parquet"])
    def test_shards_are_in_the_way_where_that_is_an_error(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()

        with pytest.raises(DatasetConflictError, match=name):
            Dataset.at(tmp_path, WriteOptions(if_exists="error")).check_no_shards()

    def test_other_files_are_not_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()

        dataset = Dataset.at(tmp_path, WriteOptions(if_exists="error"))
        dataset.check_no_shards()
        begun = dataset.begin()

        assert (begun.replaced, begun.complete_shards) == (frozenset(), None)


def test_hashes_of_sidecars_are_numbers_of_64_bits(tmp_path: Path) -> None:
    (files,) = write(tmp_path, dataset(5))

    (hashes,) = hashes_of([path for path in files["path"].to_pylist() if path.endswith("parquet")])

    assert hashes.dtype == np.uint64
    assert len(hashes) == 5

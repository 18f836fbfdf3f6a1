"""One manifest of what stages wrote in processes of their own."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from process_data import write_rows
from writer_data import IDS, dataset

import arrowimg
from arrowimg import FileGroupTask, ImageBatch, ImageWriterStage
from arrowimg.errors import (
    DatasetConflictError,
    DuplicateIdError,
    ErrorFractionError,
    IncompleteError,
    KeywordError,
    ManifestError,
    SchemaError,
    SourceError,
)

if TYPE_CHECKING:
    from pathlib import Path


def some_bad(count: int = 3) -> ImageBatch:
    data = [b"no picture"] * count
    return ImageBatch(
        pa.table({"image_id": [f"bad{at}" for at in range(count)], "image_data": data})
    )


@pytest.fixture
def stage(tmp_path: Path) -> ImageWriterStage:
    return ImageWriterStage(tmp_path / "out", 8, remove_image_data=True)


@pytest.fixture
def groups(stage: ImageWriterStage) -> list[FileGroupTask]:
    return [write_rows(stage, start, start + 20) for start in range(0, 60, 20)]


def test_processes_of_ones_own_write_one_dataset(stage: ImageWriterStage, tmp_path: Path) -> None:
    tasks = [(stage, start, start + 20) for start in range(0, 60, 20)]

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        files = pool.starmap(write_rows, tasks)
    group = arrowimg.publish_manifest(stage.output_dir, files, options=stage.options, num_rows=60)

    out = tmp_path / "out"
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    listed = [entry[kind] for entry in manifest["shards"] for kind in ("tar", "parquet")]
    assert [str(out / name) for name in listed] == group.paths
    assert sorted(group.paths) == sorted(path for it in files for path in it.paths)
    assert (group.num_images, group.metadata["num_rows"]) == (60, 60)
    assert arrowimg.verify(out).is_sound
    assert sorted(arrowimg.scan(out).collect()["image_id"].to_list()) == IDS[:60]


@pytest.mark.parametrize(
    "form",
    [
        lambda groups: groups,
        lambda groups: (group.data for group in groups),
        lambda groups: [groups[0], groups[1].data, groups[2]],
        lambda groups: pa.concat_tables([group.data for group in groups]),
    ],
    ids=["groups", "tables", "both", "one table"],
)
def test_files_are_taken_as_they_come(
    form: Any,  # noqa: ANN401
    stage: ImageWriterStage,
    groups: list[FileGroupTask],
) -> None:
    group = arrowimg.publish_manifest(stage.output_dir, form(groups), 8, True)  # noqa: FBT003

    assert group.num_images == 60


def test_a_single_group_is_a_dataset_too(stage: ImageWriterStage) -> None:
    group = arrowimg.publish_manifest(
        stage.output_dir, write_rows(stage, 0, 60), options=stage.options
    )

    assert (group.num_images, len(group.tar_paths)) == (60, 8)


def test_published_again_it_is_unchanged(
    stage: ImageWriterStage, groups: list[FileGroupTask], tmp_path: Path
) -> None:
    manifest = tmp_path / "out" / "manifest.json"
    arrowimg.publish_manifest(stage.output_dir, groups, options=stage.options)
    before = manifest.stat().st_ino

    arrowimg.publish_manifest(stage.output_dir, groups, options=stage.options)

    assert manifest.stat().st_ino == before


def test_a_dataset_that_is_replaced_loses_its_other_shards(
    stage: ImageWriterStage, groups: list[FileGroupTask], tmp_path: Path
) -> None:
    arrowimg.publish_manifest(stage.output_dir, groups, options=stage.options)
    replacing = stage.options.replaced({"if_exists": "overwrite"})

    arrowimg.publish_manifest(stage.output_dir, groups[:1], options=replacing)

    assert arrowimg.verify(tmp_path / "out").notices == []
    assert arrowimg.scan(tmp_path / "out").collect().height == 20


class TestRefused:
    """No manifest is there after any of these."""

    @pytest.fixture(autouse=True)
    def no_manifest(self, tmp_path: Path) -> Any:  # noqa: ANN401
        yield
        assert not (tmp_path / "out" / "manifest.json").exists()

    def test_other_counts(self, stage: ImageWriterStage, groups: list[FileGroupTask]) -> None:
        with pytest.raises(IncompleteError, match="rows in the shards: expected 61, found 60"):
            arrowimg.publish_manifest(stage.output_dir, groups, options=stage.options, num_rows=61)

    def test_an_id_in_two_batches(self, stage: ImageWriterStage) -> None:
        files = [write_rows(stage, 0, 20), write_rows(stage, 19, 40)]

        with pytest.raises(DuplicateIdError, match="id019"):
            arrowimg.publish_manifest(stage.output_dir, files, options=stage.options)

    def test_too_many_bad_rows(self, stage: ImageWriterStage) -> None:
        quarantine = ImageWriterStage(stage.output_dir, 8, on_error="quarantine")
        files = [quarantine.process(it) for it in (ImageBatch(dataset(7)), some_bad())]
        limits = {"on_error": "quarantine", "max_error_fraction": 0.2}

        with pytest.raises(ErrorFractionError) as caught:
            arrowimg.publish_manifest(
                stage.output_dir, files, options=quarantine.options.replaced(limits)
            )

        assert (caught.value.num_errors, caught.value.num_rows) == (3, 10)

    def test_a_shard_of_other_options(
        self, stage: ImageWriterStage, groups: list[FileGroupTask]
    ) -> None:
        other = ImageWriterStage(stage.output_dir, 8, remove_image_data=True, checksum="sha256")
        files = [*groups, other.process(some_good("other"))]

        with pytest.raises(DatasetConflictError, match="checksum"):
            arrowimg.publish_manifest(stage.output_dir, files, options=stage.options)

    def test_a_file_that_is_not_there(
        self, stage: ImageWriterStage, groups: list[FileGroupTask], tmp_path: Path
    ) -> None:
        for kind in ("tar", "parquet"):
            next((tmp_path / "out").glob(f"*.{kind}")).unlink()

            with pytest.raises(IncompleteError, match="files of these shards in"):
                arrowimg.publish_manifest(stage.output_dir, groups, options=stage.options)

    def test_another_folder(
        self, stage: ImageWriterStage, groups: list[FileGroupTask], tmp_path: Path
    ) -> None:
        with pytest.raises(IncompleteError, match="expected 18, found 0"):
            arrowimg.publish_manifest(tmp_path / "empty", groups, options=stage.options)

        assert not (tmp_path / "empty").exists()

    def test_a_batch_that_was_two(self, stage: ImageWriterStage) -> None:
        batch = ImageBatch(dataset(5).drop_columns(["image_id"]))

        with pytest.raises(IncompleteError, match="image_id"):
            arrowimg.publish_manifest(
                stage.output_dir, [stage.process(batch)] * 2, options=stage.options
            )

    @pytest.mark.parametrize(
        ("files", "kind"),
        [(5, SourceError), (["out"], SourceError), ([pa.table({"path": ["x"]})], SchemaError)],
    )
    def test_what_is_no_file_group(
        self,
        files: Any,  # noqa: ANN401
        kind: type[Exception],
        stage: ImageWriterStage,
    ) -> None:
        with pytest.raises(kind):
            arrowimg.publish_manifest(stage.output_dir, files, options=stage.options)

    def test_a_misspelt_option(self, stage: ImageWriterStage) -> None:
        with pytest.raises(KeywordError, match="did you mean num_rows"):
            arrowimg.publish_manifest(stage.output_dir, [], num_row=3)  # type: ignore[call-arg]

    def test_a_sidecar_that_cannot_be_read(
        self, stage: ImageWriterStage, groups: list[FileGroupTask], tmp_path: Path
    ) -> None:
        next((tmp_path / "out").glob("*.parquet")).write_bytes(b"PAR1")

        with pytest.raises(ManifestError):
            arrowimg.publish_manifest(stage.output_dir, groups, options=stage.options)


def some_good(prefix: str) -> ImageBatch:
    table = dataset(4)
    ids = pa.array([f"{prefix}{at}" for at in range(4)])
    return ImageBatch(table.set_column(table.column_names.index("image_id"), "image_id", ids))

"""Datasets copied into new shards: the same pictures, bytes and types, in other tars."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import cv2
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reshard_data import files, members, sidecar, source, table, typed_columns
from writer_data import IDS, dataset

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage, merge, reshard, verify, write_shards
from arrowimg._write.publish import Dataset
from arrowimg.errors import (
    ChecksumError,
    DatasetConflictError,
    DuplicateIdError,
    ManifestError,
    MetadataJoinError,
    OptionError,
    SchemaError,
    ShardConflictError,
)

_PLACES = ["tar_file", "offset"]


class TestPictures:
    @pytest.mark.parametrize("per_tar", [1, 4, 6, 7, 20, 1000])
    def test_pictures_and_rows_are_those_of_the_source(self, tmp_path: Path, per_tar: int) -> None:
        old, new = source(tmp_path / "old"), tmp_path / "new"

        group = reshard(old, new, images_per_tar=per_tar)

        assert members(new) == members(old)
        assert sidecar(new).drop_columns(_PLACES) == sidecar(old).drop_columns(_PLACES)
        assert len(group.tar_paths) == -(-20 // per_tar)
        assert verify(new, "decode").is_sound

    def test_the_same_number_to_a_tar_gives_the_same_files(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old", members={"txt": "score", "json": ["score"]})

        reshard(old, tmp_path / "new", images_per_tar=6)

        assert files(tmp_path / "new") == files(old)

    def test_nothing_is_decoded_or_encoded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = source(tmp_path / "old")

        def refuse(*_: Any, **__: Any) -> None:  # noqa: ANN401  # anything
            message = "pixels were touched"
            raise AssertionError(message)

        for name in ("imdecode", "imdecodeWithMetadata", "imencode"):
            monkeypatch.setattr(cv2, name, refuse, raising=False)
        reshard(old, tmp_path / "new", images_per_tar=7)

        assert members(tmp_path / "new") == members(old)

    def test_encoded_and_transcoded_rows_keep_their_action(self, tmp_path: Path) -> None:
        old = tmp_path / "old"
        arrowimg.write_shards(dataset(5), old, 3)

        reshard(old, tmp_path / "new")

        assert sidecar(tmp_path / "new")["action"].to_pylist() == ["encoded"] * 5

    def test_other_checksums_are_computed_anew(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        sha = source(tmp_path / "sha", checksum="sha256")

        reshard(old, tmp_path / "new", images_per_tar=6, checksum="sha256")
        reshard(sha, tmp_path / "again", images_per_tar=6)

        assert files(tmp_path / "new") == files(sha) == files(tmp_path / "again")

    def test_several_pieces_of_a_shard_are_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = source(tmp_path / "old")
        monkeypatch.setattr("arrowimg._reshard.copies._READ_NBYTES", 2000)

        reshard(old, tmp_path / "new")

        assert members(tmp_path / "new") == members(old)

    @settings(max_examples=25)
    @given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 12))
    def test_any_numbers_to_a_tar_give_the_same_rows(
        self, tmp_path_factory: pytest.TempPathFactory, before: int, after: int, count: int
    ) -> None:
        folder = tmp_path_factory.mktemp("any")
        options: dict[str, Any] = {"durability": "process", "progress": False}
        write_shards(table(count), folder / "old", before, **options)

        reshard(folder / "old", folder / "new", images_per_tar=after, **options)

        assert members(folder / "new") == members(folder / "old")
        assert [len(members_of) for members_of in _by_tar(folder / "new")[:-1]] == [after] * (
            max(0, -(-count // after) - 1)
        )


class TestColumns:
    def test_types_are_exactly_those_of_the_source(self, tmp_path: Path) -> None:
        write_shards(table(**typed_columns()), tmp_path / "old", 6)

        reshard(tmp_path / "old", tmp_path / "new", images_per_tar=9)
        reshard(tmp_path / "old", tmp_path / "shuffled", images_per_tar=9, shuffle_seed=1)

        old = pq.read_table(tmp_path / "old" / "images-000000.parquet")
        for name in ("new", "shuffled"):
            new = pq.read_table(tmp_path / name / "images-000000.parquet")
            assert new.schema.equals(old.schema, check_metadata=True)
        assert sidecar(tmp_path / "new").drop_columns(_PLACES).to_pylist() == (
            sidecar(tmp_path / "old").drop_columns(_PLACES).to_pylist()
        )

    def test_sidecars_with_pictures_keep_them_unless_told(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old", remove_image_data=False)

        reshard(old, tmp_path / "kept", images_per_tar=6)
        reshard(old, tmp_path / "removed", images_per_tar=6, remove_image_data=True)

        assert files(tmp_path / "kept") == files(old)
        assert files(tmp_path / "removed") == files(source(tmp_path / "without"))

    def test_pictures_in_sidecars_are_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = source(tmp_path / "old", remove_image_data=False)
        asked = list[str]()
        read = pq.ParquetFile.read

        def watch(file: pq.ParquetFile, columns: list[str], **options: Any) -> pa.Table:  # noqa: ANN401
            asked.extend(columns)
            return read(file, columns, **options)

        monkeypatch.setattr(pq.ParquetFile, "read", watch)
        reshard(old, tmp_path / "new")

        assert "score" in asked
        assert "image_data" not in asked

    def test_members_are_copied_or_made_of_other_columns(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old", members={"txt": "score"})

        reshard(old, tmp_path / "kept")
        reshard(old, tmp_path / "other", members={"json": ["score"]})

        assert members(tmp_path / "kept") == members(old)
        assert members(tmp_path / "other")[:2] == [
            members(old)[0],
            ("id000.json", b'{"score":0.0}'),
        ]

    def test_new_columns_are_joined_before_rows_are_chosen(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        quality = pl.DataFrame({"image_id": IDS[19::-1], "quality": range(20)})

        reshard(old, tmp_path / "new", "quality < 3", metadata=quality)

        rows = sidecar(tmp_path / "new")
        assert rows["image_id"].to_pylist() == IDS[17:20]
        assert rows["quality"].to_pylist() == [2, 1, 0]
        assert rows.column_names[-2:] == ["score", "quality"]

    @pytest.mark.parametrize(
        ("ids", "text"),
        [
            (IDS[:19], "metadata for every image_id"),
            (IDS[:21], "an image for every row of metadata"),
            ([*IDS[:20], IDS[0]], "every image_id once in metadata"),
        ],
    )
    def test_new_columns_that_do_not_match_are_refused(
        self, tmp_path: Path, ids: list[str], text: str
    ) -> None:
        old = source(tmp_path / "old")
        quality = pl.DataFrame({"image_id": ids, "quality": range(len(ids))})

        with pytest.raises(MetadataJoinError, match=text):
            reshard(old, tmp_path / "new", metadata=quality)

        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("name", ["score", "width", "image_data"])
    def test_new_columns_of_a_name_that_is_taken_are_refused(
        self, tmp_path: Path, name: str
    ) -> None:
        old = source(tmp_path / "old")

        with pytest.raises(SchemaError, match="rename it"):
            reshard(old, tmp_path / "new", metadata=pl.DataFrame({"image_id": IDS, name: IDS}))

        assert not (tmp_path / "new").exists()


class TestWhere:
    @pytest.mark.parametrize(
        "where", ["score > 0.35 AND score < 1.55", pl.col("score").is_between(0.4, 1.5)]
    )
    def test_rows_are_chosen_by_sql_or_by_an_expression(
        self, tmp_path: Path, where: str | pl.Expr
    ) -> None:
        old = source(tmp_path / "old")

        group = reshard(old, tmp_path / "new", where, 5)

        assert members(tmp_path / "new") == members(old)[4:16]
        assert group.num_images == 12
        assert verify(tmp_path / "new").is_sound

    def test_that_no_row_is_wanted_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        old = source(tmp_path / "old")

        reshard(old, tmp_path / "some", "score > 1")
        assert caplog.messages == []
        group = reshard(old, tmp_path / "new", "score > 100")

        assert caplog.messages == ["where: none of 20 rows is so, and nothing is copied"]
        assert group.num_images == 0

    def test_null_counts_as_false(self, tmp_path: Path) -> None:
        scores = pa.array([None, *range(19)], pa.int64())
        write_shards(table(score=scores), tmp_path / "old", 6)

        reshard(tmp_path / "old", tmp_path / "new", "score < 2")

        assert sidecar(tmp_path / "new")["image_id"].to_pylist() == IDS[1:3]

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (pl.col("score") == pl.col("score").max(), IDS[19:20]),
            (pl.col("score").rank() <= 2, IDS[:2]),
            (pl.all_horizontal(pl.col("^image_.*$").is_not_null()), IDS[:20]),
            (pl.lit(value=True), IDS[:20]),
            (pl.lit(None), []),
        ],
    )
    def test_a_row_may_be_held_against_all_others(
        self, tmp_path: Path, where: pl.Expr, expected: list[str]
    ) -> None:
        old = source(tmp_path / "old")

        reshard(old, tmp_path / "new", where)

        assert [name.removesuffix(".jpg") for name, _ in members(tmp_path / "new")] == expected

    def test_columns_that_polars_lacks_do_not_matter_unless_they_are_named(
        self, tmp_path: Path
    ) -> None:
        write_shards(table(**typed_columns()), tmp_path / "old", 6)

        reshard(tmp_path / "old", tmp_path / "new", "kind = 'k1'")

        assert sidecar(tmp_path / "new")["image_id"].to_pylist() == IDS[1:20:3]

    @pytest.mark.parametrize(
        "where",
        ["score >", "no_such_column = 1", "score + 1", pl.col("score").head(3) > 0, 7],
    )
    def test_what_is_no_condition_is_refused(self, tmp_path: Path, where: Any) -> None:  # noqa: ANN401
        old = source(tmp_path / "old")

        with pytest.raises(OptionError, match=r"^where: expected an expression"):
            reshard(old, tmp_path / "new", where)

        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("where", [None, "score > 5"])
    def test_no_row_is_a_dataset_too(self, tmp_path: Path, where: str | None) -> None:
        old = source(tmp_path / "old", count=20 if where else 0)

        group = reshard(old, tmp_path / "new", where)
        again = reshard(tmp_path / "new", tmp_path / "third", where)

        assert group.paths == again.paths == []
        assert [path.name for path in (tmp_path / "third").iterdir()] == ["manifest.json"]


class TestShuffle:
    def test_every_row_is_there_once_and_the_seed_decides(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")

        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            reshard(old, tmp_path / name, images_per_tar=8, shuffle_seed=seed)

        assert files(tmp_path / "a") == files(tmp_path / "b")
        assert members(tmp_path / "a") != members(tmp_path / "c")
        assert members(tmp_path / "a") != members(old)
        assert sorted(members(tmp_path / "a")) == sorted(members(old))
        assert verify(tmp_path / "a", "decode").is_sound

    def test_only_rows_that_are_wanted_are_shuffled(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")

        reshard(old, tmp_path / "new", "score < 1", 4, shuffle_seed=0)

        assert sorted(members(tmp_path / "new")) == members(old)[:10]

    @pytest.mark.parametrize("seed", [-1, 1.5, True])
    def test_a_seed_that_is_none_is_refused(self, tmp_path: Path, seed: Any) -> None:  # noqa: ANN401
        with pytest.raises(OptionError, match="shuffle_seed"):
            reshard(tmp_path, tmp_path / "new", shuffle_seed=seed)


class TestRowsWithAnError:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        rows = table()
        pictures = rows["image_data"].to_pylist()
        pictures[3] = pictures[3][:200]
        pictures[11] = b"no picture"
        rows = rows.set_column(2, "image_data", pa.array(pictures, pa.binary()))
        options: dict[str, Any] = {"on_error": "quarantine", "keep_quarantined": True}
        write_shards(rows, tmp_path / "old", 6, members={"txt": "score"}, **options)
        return tmp_path / "old"

    @pytest.mark.parametrize("bounds", [{}, {"max_bytes_per_tar": 20480}])
    def test_they_stay_rows_without_a_member(
        self, tmp_path: Path, old: Path, bounds: dict[str, Any]
    ) -> None:
        reshard(old, tmp_path / "new", images_per_tar=9, **bounds)

        assert members(tmp_path / "new") == members(old)
        assert sidecar(tmp_path / "new").drop_columns(_PLACES) == (
            sidecar(old).drop_columns(_PLACES)
        )
        assert verify(tmp_path / "new").is_sound
        assert not list((tmp_path / "new").glob("quarantine-*"))

    def test_they_can_be_left_out(self, tmp_path: Path, old: Path) -> None:
        group = reshard(old, tmp_path / "new", "error is null")

        assert members(tmp_path / "new") == members(old)
        assert group.metadata["num_errors"] == 0
        assert group.metadata["num_rows"] == 18


class TestSources:
    def test_shards_of_a_stage_without_a_manifest(self, tmp_path: Path) -> None:
        stage = ImageWriterStage(tmp_path / "old", 6)
        for batch in (table(9), table(11, first=9)):
            stage.process(ImageBatch(batch))

        reshard(tmp_path / "old", tmp_path / "new")

        assert sorted(members(tmp_path / "new")) == sorted(members(tmp_path / "old"))
        assert verify(tmp_path / "new").is_sound

    def test_shards_whose_columns_stand_in_another_order(self, tmp_path: Path) -> None:
        stage = ImageWriterStage(tmp_path / "old", 6, deterministic_name=False)
        other = table(11, first=9, note=IDS[9:20])
        for batch in (table(9, note=IDS[:9]), other.select(other.column_names[::-1])):
            stage.process(ImageBatch(batch))

        for name, seed in (("new", None), ("shuffled", 1)):
            reshard(tmp_path / "old", tmp_path / name, "note = image_id", shuffle_seed=seed)

            assert sorted(sidecar(tmp_path / name)["note"].to_pylist()) == IDS[:20]

    @pytest.mark.parametrize("content", [b"no Parquet", b""])
    def test_a_sidecar_that_cannot_be_read(self, tmp_path: Path, content: bytes) -> None:
        old = source(tmp_path / "old")
        (old / "images-000001.parquet").write_bytes(content)

        with pytest.raises(ManifestError, match=r"old/images-000001\.parquet"):
            reshard(old, tmp_path / "new")

    def test_a_sidecar_that_is_gone(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        (old / "images-000001.parquet").unlink()

        with pytest.raises(ManifestError, match=r"old/images-000001\.parquet"):
            reshard(old, tmp_path / "new")

    def test_rows_without_an_id_are_numbered_anew(self, tmp_path: Path) -> None:
        rows = table(9).drop_columns(["image_id"])
        write_shards(rows, tmp_path / "old", 4)

        reshard(tmp_path / "old", tmp_path / "new", "score >= 0.5", 3)

        assert [name for name, _ in members(tmp_path / "new")] == [
            f"row-{row:09d}.jpg" for row in range(4)
        ]
        assert [data for _, data in members(tmp_path / "new")] == [
            data for _, data in members(tmp_path / "old")[5:]
        ]

    def test_a_folder_that_is_no_dataset(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError):
            reshard(tmp_path, tmp_path / "new")

    @pytest.mark.parametrize("new", ["old", "old/../old"])
    def test_a_dataset_cannot_be_written_into_itself(self, tmp_path: Path, new: str) -> None:
        old = source(tmp_path / "old")
        before = files(old)

        with pytest.raises(OptionError, match="new_dir"):
            reshard(old, tmp_path / new, if_exists="overwrite")

        assert files(old) == before

    def test_an_id_that_stands_twice_is_refused_unless_one_row_is_chosen(
        self, tmp_path: Path
    ) -> None:
        stage = ImageWriterStage(tmp_path / "old", 6)
        for batch in (table(9), table(11, first=6)):
            stage.process(ImageBatch(batch))

        with pytest.raises(DuplicateIdError, match=r"'id006' in .*images-.*parquet, .*images-"):
            reshard(tmp_path / "old", tmp_path / "new")
        is_there = (tmp_path / "new").exists()
        reshard(tmp_path / "old", tmp_path / "new", pl.col("image_id").is_first_distinct())

        assert not is_there
        assert sorted(sidecar(tmp_path / "new")["image_id"].to_pylist()) == IDS[:17]


class TestOptions:
    def test_what_is_not_given_is_as_it_was(self, tmp_path: Path) -> None:
        jpeg = arrowimg.JpegOptions(quality=81)
        rows = table().rename_columns(["image_id", "image_path", "image_data", "score"])
        write_shards(
            rows,
            tmp_path / "old",
            6,
            members={"txt": "score"},
            checksum="sha256",
            jpeg=jpeg,
            keys="verbatim",
            max_bytes_per_tar=20480,
        )

        reshard(tmp_path / "old", tmp_path / "new", images_per_tar=6)

        assert files(tmp_path / "new") == files(tmp_path / "old")

    @pytest.mark.parametrize(
        "options",
        [{"reencode": True}, {"encode_threads": 2}, {"on_error": "raise"}],
    )
    def test_options_of_no_use_are_refused(self, tmp_path: Path, options: dict[str, Any]) -> None:
        old = source(tmp_path / "old")

        with pytest.raises(OptionError, match="copied as they are"):
            reshard(old, tmp_path / "new", **options)

    def test_a_bound_in_bytes_holds(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old", members={"txt": "score"})

        reshard(old, tmp_path / "new", max_bytes_per_tar=12288)

        sizes = [path.stat().st_size for path in (tmp_path / "new").glob("*.tar")]
        assert max(sizes) <= 12288
        assert len(sizes) > 4
        assert members(tmp_path / "new") == members(old)

    def test_a_bound_that_no_sample_fits_is_refused(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old", members={"txt": "score"})

        with pytest.raises(OptionError, match="max_bytes_per_tar: expected at least 3,584"):
            reshard(old, tmp_path / "new", max_bytes_per_tar=2560)

        assert not (tmp_path / "new").exists()

    def test_members_of_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")

        with pytest.raises(SchemaError, match=r"for \.txt members"):
            reshard(old, tmp_path / "new", members={"txt": "caption"})


class TestDamage:
    @pytest.mark.parametrize("seed", [None, 1])
    @pytest.mark.parametrize("checksum", ["xxh3_128", "sha256"])
    def test_a_picture_that_changed_is_named_and_there_is_no_manifest(
        self,
        tmp_path: Path,
        checksum: Any,  # noqa: ANN401
        seed: int | None,
    ) -> None:
        old = source(tmp_path / "old")
        row = pq.read_table(old / "images-000001.parquet").slice(2, 1).to_pylist()[0]
        tar = old / "images-000001.tar"
        data = bytearray(tar.read_bytes())
        data[row["offset"] + row["size"] // 2] ^= 1
        tar.write_bytes(data)

        with pytest.raises(ChecksumError, match=r"id008.jpg in .*old/images-000001.tar"):
            reshard(old, tmp_path / "new", shuffle_seed=seed, checksum=checksum)

        assert not (tmp_path / "new" / "manifest.json").exists()
        assert not list((tmp_path / "new").glob("*.parquet"))

    @pytest.mark.parametrize("nbytes", [0, 3000])
    def test_a_tar_that_was_cut(self, tmp_path: Path, nbytes: int) -> None:
        old = source(tmp_path / "old")
        tar = old / "images-000001.tar"
        tar.write_bytes(tar.read_bytes()[:nbytes])

        with pytest.raises(ManifestError, match=r"images-000001\.tar"):
            reshard(old, tmp_path / "new")

        assert not (tmp_path / "new" / "manifest.json").exists()

    def test_a_tar_that_is_gone(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        (old / "images-000001.tar").unlink()

        with pytest.raises(ManifestError, match=r"old/images-000001.tar: .* none"):
            reshard(old, tmp_path / "new")


class TestAgain:
    def test_the_same_once_more_changes_nothing(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        reshard(old, tmp_path / "new", images_per_tar=7)
        before = files(tmp_path / "new")

        groups = [
            reshard(old, tmp_path / "new", images_per_tar=7, if_exists=policy)
            for policy in ("verify", "skip")
        ]

        assert [group.metadata["num_unchanged"] for group in groups] == [3, 3]
        assert files(tmp_path / "new") == before

    def test_what_a_crash_left_is_completed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = source(tmp_path / "old")
        reshard(old, tmp_path / "whole", images_per_tar=4)
        reshard(old, tmp_path / "new", images_per_tar=4)
        for name in ("manifest.json", "images-000001.parquet", "images-000003.parquet"):
            (tmp_path / "new" / name).unlink()
        (tmp_path / "new" / "images-000003.tar").unlink()
        written = list[int]()
        write = Dataset.write

        def watch(dataset: Dataset, number: int, *rest: Any) -> Any:  # noqa: ANN401
            written.append(number)
            return write(dataset, number, *rest)

        monkeypatch.setattr(Dataset, "write", watch)
        group = reshard(old, tmp_path / "new", images_per_tar=4, if_exists="skip")

        assert files(tmp_path / "new") == files(tmp_path / "whole")
        assert sorted(written) == [1, 3]
        assert group.metadata["num_unchanged"] == 3

    def test_an_error_in_the_middle_leaves_whole_shards_to_go_on_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = source(tmp_path / "old")
        write = Dataset.write

        def failing(dataset: Dataset, number: int, *rest: Any) -> Any:  # noqa: ANN401
            if number == 2:
                raise MemoryError
            return write(dataset, number, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(Dataset, "write", failing)
            with pytest.raises(MemoryError):
                reshard(old, tmp_path / "new", images_per_tar=4)
        is_there = (tmp_path / "new" / "manifest.json").exists()
        reshard(old, tmp_path / "new", images_per_tar=4, if_exists="skip")

        assert not is_there
        assert members(tmp_path / "new") == members(old)

    def test_other_rows_are_a_conflict(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        reshard(old, tmp_path / "new", "score < 1", 4)
        (tmp_path / "new" / "manifest.json").unlink()

        for policy in ("verify", "skip"):
            with pytest.raises(ShardConflictError):
                reshard(old, tmp_path / "new", "score >= 1", 4, if_exists=policy)
        with pytest.raises(ShardConflictError, match="no more rows"):
            reshard(old, tmp_path / "new", "score < 0.8", 4, if_exists="skip")

    def test_a_dataset_that_is_complete_takes_no_more(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        reshard(old, tmp_path / "new", "score < 1", 5)
        before = files(tmp_path / "new")

        with pytest.raises(DatasetConflictError, match="num_shards"):
            reshard(old, tmp_path / "new", None, 5)
        with pytest.raises(DatasetConflictError, match="images_per_tar"):
            reshard(old, tmp_path / "new", "score < 1", 6)
        with pytest.raises(DatasetConflictError, match="a dataset is there"):
            reshard(old, tmp_path / "new", "score < 1", 5, if_exists="error")

        assert files(tmp_path / "new") == before

    def test_a_dataset_can_be_replaced(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        reshard(old, tmp_path / "new", images_per_tar=4)

        reshard(old, tmp_path / "new", "score < 1", 5, if_exists="overwrite")

        assert members(tmp_path / "new") == members(old)[:10]
        assert verify(tmp_path / "new").notices == []


class TestMerge:
    def test_rows_come_one_dataset_after_the_other(self, tmp_path: Path) -> None:
        write_shards(table(8), tmp_path / "a", 3)
        write_shards(table(12, first=8), tmp_path / "b", 5, remove_image_data=False)
        write_shards(table(20), tmp_path / "whole", 6)

        group = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "new", 6)

        assert files(tmp_path / "new") == files(tmp_path / "whole")
        assert group.num_images == 20

    def test_one_dataset_is_merged_with_none(self, tmp_path: Path) -> None:
        write_shards(table(8), tmp_path / "a", 3)

        merge([tmp_path / "a"], tmp_path / "new", 3)

        assert files(tmp_path / "new") == files(tmp_path / "a")

    def test_columns_may_stand_in_another_order(self, tmp_path: Path) -> None:
        write_shards(table(8, note=IDS[:8]), tmp_path / "a", 3)
        other = table(8, first=8, note=IDS[:8])
        write_shards(other.select(other.column_names[::-1]), tmp_path / "b", 3)

        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "new", 5)

        assert sidecar(tmp_path / "new")["note"].to_pylist() == IDS[:8] * 2

    def test_an_id_in_two_datasets_is_named_with_both_files(self, tmp_path: Path) -> None:
        write_shards(table(8), tmp_path / "a", 3)
        write_shards(table(8, first=7), tmp_path / "b", 3)

        with pytest.raises(DuplicateIdError) as caught:
            merge([tmp_path / "a", tmp_path / "b"], tmp_path / "new")

        paths = [tmp_path / "a" / "images-000002.parquet", tmp_path / "b" / "images-000000.parquet"]
        assert caught.value.offenders == (f"'id007' in {paths[0]}, {paths[1]}",)
        assert not (tmp_path / "new").exists()

    def test_types_that_clash_are_refused(self, tmp_path: Path) -> None:
        write_shards(table(8), tmp_path / "a", 3)
        write_shards(table(4, first=8, score=IDS[8:12]), tmp_path / "b", 3)

        text = r"'score': expected double, as in .*a/images-.*, found string in .*b/"
        with pytest.raises(SchemaError, match=text):
            merge([tmp_path / "a", tmp_path / "b"], tmp_path / "new")

        assert not (tmp_path / "new").exists()

    def test_columns_have_the_types_that_hold_all(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_shards(table(8, n=range(8)), tmp_path / "a", 3)
        floats = pa.array([0.5] * 4, pa.float32())
        write_shards(table(4, first=8, n=floats, note=IDS[8:12]), tmp_path / "b", 3)
        caplog.set_level("WARNING", "arrowimg")

        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "new", 3, members={"txt": "n"})

        rows = sidecar(tmp_path / "new")
        assert rows["n"].to_pylist() == [*range(8), 0.5, 0.5, 0.5, 0.5]
        assert rows["note"].to_pylist() == [None] * 8 + IDS[8:12]
        kinds = {pq.read_schema(it).field("n").type for it in (tmp_path / "new").glob("*.parquet")}
        assert kinds == {pa.float64()}
        assert [it.partition(" is ")[0] for it in caplog.messages] == [
            "column 'n'",
            "column 'note'",
        ]
        manifest = json.loads((tmp_path / "new" / "manifest.json").read_text())
        assert manifest["widened"] == {"n": "double", "note": "string"}
        assert verify(tmp_path / "new").is_sound

    def test_other_options_are_refused_unless_they_are_stated(self, tmp_path: Path) -> None:
        write_shards(table(8), tmp_path / "a", 3, jpeg=arrowimg.JpegOptions(quality=80))
        write_shards(table(8, first=8), tmp_path / "b", 4, checksum="sha256")
        sources = [tmp_path / "a", tmp_path / "b"]

        with pytest.raises(OptionError, match="written alike") as caught:
            merge(sources, tmp_path / "new")
        is_there = (tmp_path / "new").exists()
        merge(sources, tmp_path / "new", checksum="sha256", jpeg=arrowimg.JpegOptions())

        assert re.findall(r"/b, \S+/a: (\w+): ", str(caught.value)) == ["checksum", "jpeg"]
        assert not is_there
        assert members(tmp_path / "new") == members(tmp_path / "a") + members(tmp_path / "b")
        assert verify(tmp_path / "new").is_sound

    @pytest.mark.parametrize("damaged", ["a", "b"])
    def test_checksums_of_two_kinds_are_both_looked_at(self, tmp_path: Path, damaged: str) -> None:
        write_shards(table(8), tmp_path / "a", 8)
        write_shards(table(8, first=8), tmp_path / "b", 8, checksum="sha256")
        tar = tmp_path / damaged / "images-000000.tar"
        data = bytearray(tar.read_bytes())
        data[700] ^= 1
        tar.write_bytes(data)

        with pytest.raises(ChecksumError, match=f"{damaged}/images-000000.tar"):
            merge([tmp_path / "a", tmp_path / "b"], tmp_path / "new", checksum="xxh3_128")

    @pytest.mark.parametrize("sources", [[], "old", Path("old")])
    def test_what_is_no_list_of_folders_is_refused(self, tmp_path: Path, sources: Any) -> None:  # noqa: ANN401
        with pytest.raises(OptionError, match="a list of at least one folder"):
            merge(sources, tmp_path / "new")


def _by_tar(folder: Path) -> list[list[str]]:
    found = []
    for path in sorted(folder.glob("images-*.tar")):
        with tarfile.open(path) as tar:
            found.append(tar.getnames())
    return found

"""Several pictures of a sample, and pictures that are kept as they are."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from file_data import JPEG, SMALL, save
from PIL import Image
from segmentation_data import (
    KINDS,
    LABELS,
    MASKS,
    MEMBERS,
    PHOTOGRAPHS,
    PICTURES,
    segmentation_set,
    values_of,
)
from stage_data import seven_windows

from arrowimg import (
    ImageBatch,
    ImageColumn,
    ImageWriterStage,
    JpegOptions,
    PixelOptions,
    ShardWriter,
    verify,
    write_shards,
)
from arrowimg.errors import ImageError, OptionError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path


def members_of_tar(path: Path | str) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
    with tarfile.open(path) as tar:
        return {name: tar.extractfile(name).read() for name in found}  # type: ignore[union-attr]


def written(source: object, folder: Path, **options: Any) -> dict[str, bytes]:  # noqa: ANN401
    group = write_shards(source, folder, progress=False, **options)
    return {name: data for path in group.tar_paths for name, data in members_of_tar(path).items()}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted(folder.glob("images-*.parquet"))]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return rows


class TestKept:
    def test_files_of_kept_formats_are_copied_untouched(self, tmp_path: Path) -> None:
        files = {"photo": JPEG, **KINDS}
        table = pa.table({"image_id": list(files), "image_data": list(files.values())})

        found = written(table, tmp_path, keep=[*KINDS])

        assert found == {"photo.jpg": JPEG} | {f"{it}.{it}": data for it, data in KINDS.items()}
        rows = {row["image_id"]: row for row in rows_of(tmp_path)}
        assert {row["action"] for row in rows.values()} == {"copied"}
        for name, row in rows.items():
            kind = "jpg" if name == "photo" else name
            tar = (tmp_path / row["tar_file"]).read_bytes()
            assert row["member_name"] == f"{name}.{kind}"
            assert tar[row["offset"] : row["offset"] + row["size"]] == files[name]
            assert row["checksum"] == xxhash.xxh3_128_digest(files[name])
            assert (row["width"], row["height"]) == SMALL.size
            assert row["channels"] == (1 if name == "gif" else 3)

    def test_what_is_not_kept_becomes_jpeg(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": [*KINDS], "image_data": [*KINDS.values()]})

        found = written(table, tmp_path, keep=["png"])

        assert found["png.png"] == KINDS["png"]
        assert all(found[f"{it}.jpg"][:2] == b"\xff\xd8" for it in KINDS if it != "png")

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_a_picture_of_any_mode_is_kept(self, tmp_path: Path, mode: str) -> None:
        image = SMALL.convert("L").convert("I").convert("I;16") if mode == "I;16" else None
        data = save(image or SMALL.convert(mode), "PNG")
        table = pa.table({"image_id": ["a"], "image_data": [data]})

        assert written(table, tmp_path, keep=["png"]) == {"a.png": data}
        (row,) = rows_of(tmp_path)
        bands = {"LA": 2, "RGB": 3, "RGBA": 4}
        assert row["channels"] == bands.get(mode, 1)

    def test_a_damaged_file_is_not_kept(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": ["a"], "image_data": [KINDS["png"][:-20]]})

        with pytest.raises(ImageError) as caught:
            written(table, tmp_path, keep=["png"])

        assert [str(it.code) for it in caught.value.problems] == ["truncated"] * 1

    def test_jpeg_is_encoded_again_and_other_files_kept(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG, KINDS["png"]]})

        found = written(table, tmp_path, keep=["png"], reencode=True, jpeg=JpegOptions(quality=5))

        assert found["b.png"] == KINDS["png"]
        assert len(found["a.jpg"]) < len(JPEG)

    def test_the_sidecar_keeps_what_the_tar_has(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG, KINDS["png"]]})

        written(table, tmp_path, keep=["png"], remove_image_data=False)

        assert [row["image_data"] for row in rows_of(tmp_path)] == [
            {"bytes": JPEG, "path": "a.jpg"},
            {"bytes": KINDS["png"], "path": "b.png"},
        ]


class TestSeveral:
    def test_each_picture_is_a_member_and_a_place(self, tmp_path: Path) -> None:
        found = written(segmentation_set(), tmp_path, images=PICTURES, members=MEMBERS)

        assert [*found][:8] == [
            *("id0.cls", "id0.jpg", "id0.json", "id0.mask.png"),
            *("id1.cls", "id1.jpg", "id1.json", "id1.mask.png"),
        ]
        assert {name: data for name, data in found.items() if name.endswith("g")} == {
            **{f"id{row}.jpg": data for row, data in enumerate(PHOTOGRAPHS)},
            **{f"id{row}.mask.png": data for row, data in enumerate(MASKS) if row != 2},
        }
        for at, row in enumerate(rows_of(tmp_path)):
            mask = row["mask"]
            if at == 2:
                assert mask is None
                continue
            tar = (tmp_path / row["tar_file"]).read_bytes()
            assert tar[mask["offset"] : mask["offset"] + mask["size"]] == MASKS[at]
            assert mask == {
                "member_name": f"id{at}.mask.png",
                "offset": mask["offset"],
                "size": len(MASKS[at]),
                "width": 32,
                "height": 24,
                "channels": 1,
                "checksum": xxhash.xxh3_128_digest(MASKS[at]),
                "action": "copied",
                "error": None,
            }

    def test_the_sidecar_has_the_users_columns_after_the_pictures(self, tmp_path: Path) -> None:
        written(segmentation_set(), tmp_path, images=PICTURES)
        names = pq.read_schema(tmp_path / "images-000000.parquet").names

        assert names[names.index("error") :] == ["error", "mask", "boxes", "class"]

    @pytest.mark.parametrize(
        ("pixels", "mode"),
        [
            (LABELS, "L"),
            (LABELS > 3, "1"),
            (LABELS.astype(np.uint16) * 9000, "I;16"),
            (np.stack([LABELS] * 3, axis=2), "RGB"),
            (np.stack([LABELS] * 4, axis=2), "RGBA"),
        ],
        ids=["uint8", "bool", "uint16", "RGB", "RGBA"],
    )
    def test_pixels_become_png_without_loss(
        self,
        tmp_path: Path,
        pixels: Any,  # noqa: ANN401
        mode: str,
    ) -> None:
        masks = ImageBatch.from_arrays(np.stack([pixels] * 7)).data["image_data"]
        table = segmentation_set().set_column(2, "mask", masks)

        found = written(table, tmp_path, images=PICTURES)

        assert all(np.array_equal(values_of(found[f"id{at}.mask.png"]), pixels) for at in range(7))
        assert {row["mask"]["action"] for row in rows_of(tmp_path)} == {"encoded"}
        with tarfile.open(tmp_path / "images-000000.tar") as tar:
            file = tar.extractfile("id0.mask.png")
            assert file is not None
            assert Image.open(file).mode == mode

    def test_ragged_pixels_and_nulls(self, tmp_path: Path) -> None:
        arrays: list[Any] = [None if at % 2 else LABELS[: 9 + at] for at in range(7)]
        masks = ImageBatch.from_arrays(arrays).data["image_data"]
        table = segmentation_set().set_column(2, "mask", masks)

        found = written(table, tmp_path, images=PICTURES)

        assert [np.array_equal(values_of(found[f"id{at}.mask.png"]), arrays[at]) for at in (0, 2)]
        assert [row["mask"] is None for row in rows_of(tmp_path)] == [
            bool(at % 2) for at in range(7)
        ]

    def test_a_jpeg_of_its_own_quality(self, tmp_path: Path) -> None:
        control = ImageBatch.from_arrays(seven_windows()).data["image_data"]
        table = segmentation_set().append_column("control", control)
        column = ImageColumn("control", jpeg=JpegOptions(quality=30))

        found = written(table, tmp_path, images={**PICTURES, "control.jpg": column})
        alone = written(
            pa.table({"image_id": [f"id{at}" for at in range(7)], "image_data": control}),
            tmp_path / "alone",
            jpeg=JpegOptions(quality=30),
        )

        assert all(found[f"id{at}.control.jpg"] == alone[f"id{at}.jpg"] for at in range(7))

    def test_files_of_other_formats_become_what_the_extension_says(self, tmp_path: Path) -> None:
        masks = [*KINDS.values(), JPEG, MASKS[0]]
        table = segmentation_set().set_column(2, "mask", pa.array(masks, pa.binary()))

        found = written(table, tmp_path, images=PICTURES)

        rows = rows_of(tmp_path)
        assert [row["mask"]["action"] for row in rows] == ["copied", *["transcoded"] * 5, "copied"]
        for at in (1, 2, 3):
            assert np.array_equal(values_of(found[f"id{at}.mask.png"]), np.asarray(SMALL))

    def test_keep_takes_no_other_format(self, tmp_path: Path) -> None:
        masks = [*KINDS.values(), JPEG, MASKS[0]]
        table = segmentation_set().set_column(2, "mask", pa.array(masks, pa.binary()))
        images = {"jpg": "image", "mask.png": ImageColumn("mask", keep=True)}

        with pytest.raises(ImageError) as caught:
            written(table, tmp_path, images=images)

        assert [str(it.code) for it in caught.value.problems] == ["other_format"] * 5
        assert caught.value.problems[0].found == "column 'mask': a webp file, for .mask.png"

    def test_any_format_can_be_kept(self, tmp_path: Path) -> None:
        table = segmentation_set().set_column(2, "mask", pa.array([KINDS["webp"]] * 7, pa.binary()))
        images = {"jpg": "image", "mask.webp": ImageColumn("mask", keep=True)}

        found = written(table, tmp_path, images=images)

        assert found["id3.mask.webp"] == KINDS["webp"]

    def test_a_column_of_its_own_pixel_options(self, tmp_path: Path) -> None:
        masks = ImageBatch.from_arrays(np.stack([LABELS / 6] * 7)).data["image_data"]
        table = segmentation_set().set_column(2, "mask", masks)
        column = ImageColumn("mask", pixels=PixelOptions(float_range=(0, 1)))

        found = written(table, tmp_path, images={"jpg": "image", "mask.png": column})

        expected = np.rint(LABELS / 6 * 255)
        assert np.array_equal(values_of(found["id0.mask.png"]), expected)

    @pytest.mark.parametrize("rows", [1, 2, 3])
    def test_chunks_that_differ_do_not_show(self, tmp_path: Path, rows: int) -> None:
        table = segmentation_set()
        chunks = [table["mask"].slice(at, rows).combine_chunks() for at in range(0, 7, rows)]
        cut = table.set_column(2, "mask", pa.chunked_array(chunks))

        written(table, tmp_path / "whole", images=PICTURES)
        written(cut, tmp_path / "cut", images=PICTURES)

        for name in ("images-000000.tar", "images-000000.parquet", "manifest.json"):
            assert (tmp_path / "whole" / name).read_bytes() == (
                tmp_path / "cut" / name
            ).read_bytes()

    def test_all_who_write_write_the_same(self, tmp_path: Path) -> None:
        table = segmentation_set()
        written(table, tmp_path / "one", images=PICTURES, images_per_tar=3)
        with ShardWriter(tmp_path / "two", 3, remove_image_data=True, images=PICTURES) as writer:
            for at in range(7):
                writer.write(table.slice(at, 1))
        stage = ImageWriterStage(tmp_path / "three", 3, remove_image_data=True, images=PICTURES)
        group = stage.process(ImageBatch(table))

        for at, path in enumerate(group.tar_paths):
            tar = (tmp_path / "one" / f"images-{at:06}.tar").read_bytes()
            assert (tmp_path / "two" / f"images-{at:06}.tar").read_bytes() == tar
            with open(path, "rb") as file:  # noqa: PTH123
                assert file.read() == tar

    def test_a_batch_of_no_masks_at_all(self, tmp_path: Path) -> None:
        found = written(segmentation_set(tuple(range(7))), tmp_path, images=PICTURES)

        assert [*found] == [f"id{row}.jpg" for row in range(7)]
        assert all(row["mask"] is None for row in rows_of(tmp_path))

    def test_a_limit_of_bytes_counts_every_picture(self, tmp_path: Path) -> None:
        whole = written(segmentation_set(), tmp_path / "a", images=PICTURES)
        most = max(len(data) for data in whole.values()) + 6 * 512

        written(segmentation_set(), tmp_path / "b", images=PICTURES, max_bytes_per_tar=most)

        tars = sorted((tmp_path / "b").glob("*.tar"))
        assert len(tars) == 7
        assert all(tar.stat().st_size <= most for tar in tars)

    def test_a_column_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SchemaError, match="'depth'"):
            written(segmentation_set(), tmp_path, images={"jpg": "image", "d.png": "depth"})

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("kind", ["tables", "stream", "files"])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_some_tables_need_not_have_such_a_column(
        self, tmp_path: Path, workers: int, kind: str, place: int
    ) -> None:
        table = segmentation_set()
        tables = [table.slice(0, 2), table.slice(2, 2), table.slice(4)]
        tables[place] = tables[place].drop_columns(["mask"])
        for number, each in enumerate(tables):
            pq.write_table(each, tmp_path / f"{number}.parquet")
        source = {"tables": tables, "stream": iter(tables), "files": f"{tmp_path}/*.parquet"}[kind]

        write_shards(source, tmp_path / "out", 3, images=PICTURES, workers=workers)

        without = [{0, 1}, {2, 3}, {4, 5, 6}][place] | {2}
        assert [row["mask"] is None for row in rows_of(tmp_path / "out")] == [
            at in without for at in range(7)
        ]
        assert verify(tmp_path / "out", "decode").is_sound

    @pytest.mark.parametrize("kind", ["table", "tables", "stream", "dropped"])
    def test_a_column_that_no_table_has_is_named(self, tmp_path: Path, kind: str) -> None:
        table = segmentation_set().rename_columns(["image_id", "image", "maks", "boxes", "class"])
        source = {"table": table, "tables": [table.slice(0, 3), table.slice(3)]}.get(
            kind, iter([table.slice(0, 3), table.slice(3)])
        )
        drop = []
        if kind == "dropped":
            source, drop = segmentation_set(), ["mask"]

        with pytest.raises(SchemaError, match="'mask'"):
            write_shards(source, tmp_path, 3, images=PICTURES, drop=drop)

        assert not (tmp_path / "manifest.json").exists()
        assert kind == "stream" or not list(tmp_path.glob("*.tar"))

    def test_a_column_cannot_have_a_name_of_the_sidecar(self, tmp_path: Path) -> None:
        table = segmentation_set().rename_columns(["image_id", "image", "size", "boxes", "class"])

        with pytest.raises(SchemaError, match="'size'"):
            written(table, tmp_path, images={"jpg": "image", "mask.png": "size"})

    def test_paths_without_bytes_are_not_taken_for_no_picture(self, tmp_path: Path) -> None:
        masks = [{"bytes": None, "path": "masks/3.png"}, None, {"bytes": MASKS[0], "path": None}]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = segmentation_set().slice(0, 3).set_column(2, "mask", pa.array(masks, kind))

        with pytest.raises(ImageError) as caught:
            written(table, tmp_path, images=PICTURES)

        assert [str(it.code) for it in caught.value.problems] == ["unreadable"] * 1
        assert "masks/3.png" in str(caught.value)


class TestBadRows:
    def bad_masks(self) -> pa.Table:
        masks = [MASKS[0], b"hello", None, MASKS[3][:50], MASKS[4], MASKS[5], b""]
        photographs = [*PHOTOGRAPHS[:5], b"no picture", None]
        table = segmentation_set().set_column(2, "mask", pa.array(masks, pa.binary()))
        return table.set_column(1, "image", pa.array(photographs, pa.binary()))

    def test_all_bad_pictures_are_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError) as caught:
            written(self.bad_masks(), tmp_path, images=PICTURES)

        assert [(it.row, str(it.code)) for it in caught.value.problems] == [
            (1, "unknown_format"),
            (3, "truncated"),
            (5, "unknown_format"),
            (6, "missing"),
        ]
        assert caught.value.problems[0].found.startswith("column 'mask': ")
        assert not list(tmp_path.glob("*.tar"))

    def test_a_sample_with_a_bad_picture_has_no_member(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {"on_error": "quarantine", "members": MEMBERS}
        found = written(self.bad_masks(), tmp_path, images=PICTURES, **options)

        assert {name.partition(".")[0] for name in found} == {"id0", "id2", "id4"}
        rows = rows_of(tmp_path)
        assert [row["error"] for row in rows] == [
            *(None, "unknown_format", None, "truncated"),
            *(None, "unknown_format", "missing"),
        ]
        codes = [row["mask"] and row["mask"]["error"] for row in rows]
        assert codes == [None, "unknown_format", None, "truncated", None, None, "unknown_format"]
        for at in (1, 3, 6):
            assert {name for name, it in rows[at]["mask"].items() if it is not None} == {"error"}
        assert rows[5]["mask"] is None

    def test_the_picture_that_is_bad_is_quarantined(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {"on_error": "quarantine", "keep_quarantined": True}
        written(self.bad_masks(), tmp_path, images=PICTURES, **options)

        assert members_of_tar(tmp_path / "quarantine-images-000000.tar") == {
            "id1.unknown_format": b"hello",
            "id3.truncated": MASKS[3][:50],
            "id5.unknown_format": b"no picture",
        }


class TestVersions:
    def test_only_what_needs_it_states_the_later_version(self, tmp_path: Path) -> None:
        plain = pa.table({"image_id": ["a"], "image_data": [JPEG], "caption": ["x"]})
        written(plain, tmp_path / "one", members={"txt": "caption"})
        written(plain, tmp_path / "two", keep=["png"])

        assert version_of(tmp_path / "one") == 1
        assert version_of(tmp_path / "two") == 3

    def test_a_null_under_the_extension_of_a_picture_is_no_member(self, tmp_path: Path) -> None:
        masks = pa.array([MASKS[0], None], pa.binary())
        table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG] * 2, "mask": masks})

        found = written(table, tmp_path / "two", members={"png": "mask"})
        written(table.slice(0, 1), tmp_path / "one", members={"png": "mask"})

        assert found == {"a.jpg": JPEG, "a.png": MASKS[0], "b.jpg": JPEG}
        assert (version_of(tmp_path / "two"), version_of(tmp_path / "one")) == (3, 1)

    def test_no_two_members_may_share_an_extension(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="mask"):
            written(segmentation_set(), tmp_path, images={"png": "mask"}, keep=["png"])


def version_of(folder: Path) -> int:
    footer = pq.read_metadata(folder / "images-000000.parquet").metadata[b"arrowimg"]
    version: int = pl.Series([footer.decode()]).str.json_path_match("$.format_version").cast(int)[0]
    return version

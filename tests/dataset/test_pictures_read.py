"""Several pictures of a sample read back, verified, and copied; kept files too."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG, SMALL, save
from hostile_data import footer_of, forge, forge_footer
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

from arrowimg import (
    ImageBatch,
    fetch_images,
    merge,
    read_batches,
    reshard,
    scan,
    verify,
    write_shards,
)
from arrowimg.errors import ChecksumError, ManifestError, OptionError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    from arrowimg._images.rules import KeptFormat

WRITTEN: dict[str, Any] = {"images": PICTURES, "members": MEMBERS, "progress": False}
KEPT: list[KeptFormat] = ["png", "webp", "tiff", "bmp", "gif"]
EXPECTED_MASKS = [None if row == 2 else mask for row, mask in enumerate(MASKS)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_shards(segmentation_set(), tmp_path / "out", 3, **WRITTEN)
    return tmp_path / "out"


def damaged(folder: Path) -> set[tuple[str | None, str]]:
    report = verify(folder, "decode", progress=False)
    return {(it.member, str(it.kind)) for it in report.damages}


class TestFetch:
    def test_pictures_that_are_asked_for_take_their_columns(self, out: Path) -> None:
        rows = scan(out).sort("image_id", descending=True)

        both = fetch_images(rows, images=["mask", "image_data"])

        assert both["mask"].to_list() == EXPECTED_MASKS[::-1]
        assert both["image_data"].to_list() == PHOTOGRAPHS[::-1]
        assert both["boxes"].to_list()[::-1] == segmentation_set()["boxes"].to_pylist()

    def test_others_are_not_read(self, out: Path) -> None:
        rows = scan(out)

        assert "image_data" not in fetch_images(rows, images=["mask"]).columns
        assert isinstance(fetch_images(rows)["mask"].dtype, pl.Struct)

    def test_masks_are_decoded_to_their_values(self, out: Path) -> None:
        rows = scan(out).filter(pl.col("mask").is_not_null())

        found = fetch_images(rows, images=["mask"], decode=True)["mask"].to_numpy()

        assert np.array_equal(found, [values_of(it) for it in EXPECTED_MASKS if it])

    @pytest.mark.parametrize(
        "pixels", [LABELS > 3, LABELS.astype(np.uint16) * 9000], ids=["bool", "uint16"]
    )
    def test_pixels_come_back_as_they_were(self, tmp_path: Path, pixels: Any) -> None:  # noqa: ANN401
        masks = ImageBatch.from_arrays(np.stack([pixels] * 7)).data["image_data"]
        table = segmentation_set().set_column(2, "mask", masks)
        write_shards(table, tmp_path, images=PICTURES, progress=False)

        found = fetch_images(scan(tmp_path), images=["mask"], decode=True)["mask"].to_numpy()

        assert found.dtype == pixels.dtype
        assert all(np.array_equal(it, pixels) for it in found)

    def test_a_flipped_byte_is_found(self, out: Path) -> None:
        row = scan(out).collect().row(4, named=True)
        flip(out / row["tar_file"], row["mask"]["offset"] + 50)

        with pytest.raises(ChecksumError, match=r"id4\.mask\.png"):
            fetch_images(scan(out), images=["mask"])
        assert fetch_images(scan(out))["image_data"].to_list() == PHOTOGRAPHS

    @pytest.mark.parametrize("name", ["boxes", "nothing", "tar_path"])
    def test_a_column_of_no_pictures_is_refused(self, out: Path, name: str) -> None:
        with pytest.raises(SchemaError):
            fetch_images(scan(out), images=[name])

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_kept_pictures_are_decoded_as_they_show(self, tmp_path: Path, mode: str) -> None:
        deep = SMALL.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
        image = deep if mode == "I;16" else SMALL.convert(mode)
        table = pa.table({"image_data": [save(image, "PNG")]})
        write_shards(table, tmp_path, keep=["png"], progress=False)

        found = fetch_images(scan(tmp_path), decode=True)["image_data"].to_numpy()[0]

        shown = SMALL.convert("L") if mode == "I;16" else image
        wanted = "L" if mode in ("1", "L", "I;16") else "RGB"
        assert np.array_equal(found, np.asarray(shown.convert(wanted)))
        assert found.dtype == np.uint8


class TestBatches:
    def test_what_is_read_can_be_written_again(self, out: Path, tmp_path: Path) -> None:
        options = {**WRITTEN, "images": {"mask.png": "mask"}}
        write_shards(read_batches(out, 2), tmp_path / "again", 3, **options)

        for tar in sorted(out.glob("*.tar")):
            assert (tmp_path / "again" / tar.name).read_bytes() == tar.read_bytes()

    def test_pictures_are_chosen(self, out: Path) -> None:
        (batch,) = read_batches(out, images=["mask"])

        assert batch.data["mask"].to_pylist() == EXPECTED_MASKS
        assert "image_data" not in batch.data.column_names
        (plain,) = read_batches(out, images=["image_data"])
        assert plain.data.column_names == ["image_id", "image_path", "image_data", "boxes", "class"]
        with pytest.raises(OptionError, match="'mask'"):
            read_batches(out, images=["boxes"])

    def test_one_text_is_no_list_of_names(self, out: Path) -> None:
        expected = r"images: expected a list of column names.*'mask'"

        with pytest.raises(OptionError, match=expected):
            fetch_images(scan(out), images="mask")
        with pytest.raises(OptionError, match=expected):
            read_batches(out, images="mask")


class TestVerify:
    def test_what_was_written_is_sound(self, out: Path) -> None:
        assert damaged(out) == set()

    def test_a_flipped_byte_is_found_in_each_kind_of_member(self, out: Path) -> None:
        tar_path = out / "images-000000.tar"
        with tarfile.open(tar_path) as tar:
            members = {member.name: member.offset_data for member in tar}
        for name, offset in members.items():
            flip(tar_path, offset)
            report = verify(out, progress=False)
            assert report.damages, name
            if name.endswith("g"):
                assert name in {it.member for it in report.damages}
            flip(tar_path, offset)
        assert not verify(out, progress=False).damages

    def test_a_column_that_is_no_picture_is_told_where_readers_take_it_for_one(
        self, tmp_path: Path
    ) -> None:
        masks = pa.array([MASKS[0], b"hello", None], pa.binary())
        table = pa.table({"image_id": ["a", "b", "c"], "image_data": [JPEG] * 3, "mask": masks})
        write_shards(table, tmp_path, members={"png": "mask"}, progress=False)

        assert damaged(tmp_path) == {("b.png", "picture")}

    def test_a_picture_that_lies_on_its_side_is_sound(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = save(SMALL, "JPEG", exif=exif)
        write_shards(pa.table({"image_data": [data]}), tmp_path, progress=False)

        assert damaged(tmp_path) == set()

    def test_kept_files_are_decoded(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": [*KINDS], "image_data": [*KINDS.values()]})
        write_shards(table, tmp_path, keep=KEPT, progress=False)

        assert damaged(tmp_path) == set()

    def test_a_kept_file_that_does_not_decode_is_told(self, tmp_path: Path) -> None:
        png = bytearray(KINDS["png"])
        png[-30] ^= 1
        table = pa.table({"image_id": ["a"], "image_data": [bytes(png)]})
        write_shards(table, tmp_path, keep=["png"], progress=False)

        assert damaged(tmp_path) == {("a.png", "picture")}


class TestCopies:
    @pytest.mark.parametrize("checksum", ["xxh3_128", "sha256"])
    @pytest.mark.parametrize("most", [None, 9000])
    def test_further_pictures_are_copied_and_hashed(
        self,
        out: Path,
        tmp_path: Path,
        checksum: Literal["xxh3_128", "sha256"],
        most: int | None,
    ) -> None:
        group = reshard(
            out,
            tmp_path / "new",
            "class > 0",
            4,
            checksum=checksum,
            max_bytes_per_tar=most,
            progress=False,
        )

        assert damaged(tmp_path / "new") == set()
        rows = fetch_images(scan(tmp_path / "new"), images=["mask"])
        assert rows["mask"].to_list() == [EXPECTED_MASKS[at] for at in (1, 2, 4, 5)]
        names = [name for path in group.tar_paths for name in names_in(path)]
        assert [name for name in names if name.startswith("id1")] == [
            *("id1.cls", "id1.jpg", "id1.json", "id1.mask.png")
        ]
        assert most is None or len(group.tar_paths) > 1

    def test_the_same_rows_are_the_same_bytes(self, out: Path, tmp_path: Path) -> None:
        reshard(out, tmp_path / "new", images_per_tar=3, progress=False)

        for tar in sorted(out.glob("*.tar")):
            assert (tmp_path / "new" / tar.name).read_bytes() == tar.read_bytes()

    def test_a_flipped_byte_stops_a_copy(self, out: Path, tmp_path: Path) -> None:
        row = scan(out).collect().row(4, named=True)
        flip(out / row["tar_file"], row["mask"]["offset"] + 50)

        with pytest.raises(ChecksumError, match=r"id4\.mask\.png"):
            reshard(out, tmp_path / "new", progress=False)

    def test_datasets_of_the_same_pictures_merge(self, out: Path, tmp_path: Path) -> None:
        ids = pa.array([f"other{row}" for row in range(7)])
        table = segmentation_set(()).set_column(0, "image_id", ids)
        write_shards(table, tmp_path / "b", **WRITTEN)

        merge([out, tmp_path / "b"], tmp_path / "new", progress=False)

        assert damaged(tmp_path / "new") == set()
        found = fetch_images(scan(tmp_path / "new"), images=["mask"])["mask"].to_list()
        assert found == [*EXPECTED_MASKS, *MASKS]

    def test_what_is_kept_merges_with_what_is_not(self, tmp_path: Path) -> None:
        kept: dict[str, list[KeptFormat]] = {"a": ["png"], "b": ["webp"], "c": []}
        for name, keep in kept.items():
            kind = {"a": "png", "b": "webp", "c": "bmp"}[name]
            table = pa.table({"image_id": [name], "image_data": [KINDS[kind]]})
            write_shards(table, tmp_path / name, keep=keep, progress=False)

        merge([tmp_path / name for name in "abc"], tmp_path / "new", progress=False)

        assert damaged(tmp_path / "new") == set()
        assert scan(tmp_path / "new").collect()["member_name"].to_list() == [
            *("a.png", "b.webp", "c.jpg")
        ]


class TestLies:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("offset", 2**40),
            ("offset", -512),
            ("offset", None),
            ("size", 2**62),
            ("size", None),
            ("checksum", b"short"),
            ("member_name", None),
            ("width", None),
        ],
    )
    def test_places_lead_to_ranges_in_the_tar_only(
        self, out: Path, tmp_path: Path, field: str, value: object
    ) -> None:
        sidecar = out / "images-000000.parquet"
        table = pq.read_table(sidecar)
        said = table["mask"].to_pylist()
        said[1] = {**said[1], field: value}
        at = table.column_names.index("mask")
        forge(
            sidecar, table.set_column(at, table.field("mask"), pa.array(said, table["mask"].type))
        )
        (out / "manifest.json").unlink()

        with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
            list(read_batches(out))
        with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
            reshard(out, tmp_path / "new", progress=False)
        assert not verify(out, progress=False).is_sound

    def test_a_column_that_is_not_there_is_told(self, out: Path, tmp_path: Path) -> None:
        for sidecar in sorted(out.glob("*.parquet")):
            forge(sidecar, pq.read_table(sidecar).drop_columns(["mask"]))
        (out / "manifest.json").unlink()

        with pytest.raises((ManifestError, SchemaError), match="mask"):
            list(read_batches(out))
        with pytest.raises((ManifestError, SchemaError), match="mask"):
            reshard(out, tmp_path / "new", progress=False)
        assert not verify(out, progress=False).is_sound

    @pytest.mark.parametrize("images", [{"mask.png": 5}, {"../x": {"column": "mask"}}, ["mask"]])
    def test_options_that_cannot_be_are_refused(self, out: Path, images: object) -> None:
        sidecar = out / "images-000000.parquet"
        forge_footer(sidecar, options={**footer_of(sidecar)["options"], "images": images})
        (out / "manifest.json").unlink()

        with pytest.raises(ManifestError):
            list(read_batches(out))


def names_in(path: str) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)

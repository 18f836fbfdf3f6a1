"""Tars that others wrote become a dataset: they stay as they are, and all operations read them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import duckdb
import polars as pl
import pyarrow as pa
import pytest
import webdataset
import xxhash
from adopt_data import picture, samples, stored_members, tar_of, write_tars
from adopted_check import adopt_and_check
from counted_reads import reads_of_tars
from PIL import Image

import arrowimg
from arrowimg.errors import (
    DatasetConflictError,
    ManifestError,
    OptionError,
    SchemaError,
    SourceError,
)

if TYPE_CHECKING:
    from arrowimg._dataset.index.formats import IndexFormat


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    return write_tars(tmp_path / "tars", samples(range(5)), samples(range(5, 8)))


def test_every_picture_is_found_where_tarfile_finds_it(tars: Path) -> None:
    before = {path.name: path.read_bytes() for path in tars.iterdir()}

    adoption = arrowimg.adopt(f"{tars}/*.tar")

    assert (adoption.num_tars, adoption.num_rows, adoption.num_images) == (2, 8, 8)
    assert (adoption.error_codes, adoption.notices) == ({}, {})
    assert adoption.nbytes == sum(map(len, before.values()))
    rows = arrowimg.scan(tars).collect()
    found = {
        (row["tar_file"], row["member_name"], row["offset"], row["size"], row["checksum"])
        for row in rows.to_dicts()
    }
    assert found == {
        (tar, name, start, len(data), xxhash.xxh3_128_digest(data))
        for tar, content in before.items()
        for name, start, data in stored_members(content)
        if name.endswith(".jpg")
    }
    assert {name: (tars / name).read_bytes() for name in before} == before


def test_each_byte_of_a_tar_is_read_once(tars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reads_of_tars(monkeypatch)

    adoption = arrowimg.adopt(tars)

    assert sum(read) == sum(it.stat().st_size for it in tars.glob("*.tar")) == adoption.nbytes


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_columns_hold_what_webdataset_reads(tars: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar")

    rows = arrowimg.scan(tars).sort("image_id").collect()
    urls = [str(path) for path in sorted(tars.glob("*.tar"))]
    expected = [
        (it["__key__"], it["json"]["caption"], it["json"]["score"], it["txt"])
        for it in webdataset.WebDataset(urls, shardshuffle=False).decode()
    ]
    assert rows.select("image_id", "caption", "score", "txt").rows() == expected
    assert rows.schema["score"] == pl.Float64


def test_widths_and_heights_are_those_that_pillow_reads(tmp_path: Path) -> None:
    kinds = {
        "jpg": "JPEG",
        "png": "PNG",
        "webp": "WEBP",
        "gif": "GIF",
        "bmp": "BMP",
        "tiff": "TIFF",
    }
    files = {
        f"{kind}.{kind}": picture(at, name, (20 + at, 30))
        for at, (kind, name) in enumerate(kinds.items())
    }
    arrowimg.adopt(write_tars(tmp_path / "tars", files.items()))

    for row in arrowimg.scan(tmp_path / "tars").collect().to_dicts():
        with Image.open(io.BytesIO(files[row["member_name"]])) as image:
            assert (row["width"], row["height"]) == image.size
        assert row["action"] == "adopted"


def test_what_webdataset_wrote_is_adopted(tmp_path: Path) -> None:
    pattern = str(tmp_path / "%05d.tar")
    with webdataset.ShardWriter(pattern, maxcount=3, verbose=0) as writer:
        for number in range(8):
            sample = {"jpg": picture(number), "json": {"n": number}, "cls": number, "txt": "ü"}
            writer.write({"__key__": f"class/{number}", **sample})

    rows = adopt_and_check(tmp_path)

    assert rows["image_id"].to_list() == [f"class/{number}" for number in range(8)]
    assert rows.select("n", "cls", "txt").rows() == [(at, at, "ü") for at in range(8)]


def test_sql_over_the_sidecars_finds_pictures_that_are_fetched(tars: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar")

    rows = duckdb.from_arrow(arrowimg.scan(tars).collect().to_arrow())
    best = rows.filter("score > 0.5").order("score DESC").limit(3).pl()
    fetched = arrowimg.fetch_images(best)

    assert fetched["image_id"].to_list() == ["000000007", "000000006", "000000005"]
    assert fetched["image_data"].to_list() == [picture(7), picture(6), picture(5)]


def test_all_operations_that_read_a_dataset_read_it(tars: Path, tmp_path: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar")

    assert arrowimg.verify(tars, "decode").damages == []
    assert arrowimg.verify(tars, "quick").damages == []
    (batch,) = arrowimg.read_batches(tars)
    assert batch.data["image_data"].to_pylist() == [picture(number) for number in range(8)]
    arrowimg.reshard(tars, tmp_path / "new", "score > 0.5", members={"txt": "caption"})
    new = arrowimg.scan(tmp_path / "new").collect()
    assert new["action"].unique().to_list() == ["copied"]
    assert new["caption"].to_list() == [f"picture {number}" for number in range(4, 8)]
    assert arrowimg.fetch_images(new)["image_data"].to_list() == [picture(at) for at in range(4, 8)]
    assert arrowimg.verify(tmp_path / "new", "decode").is_sound
    assert arrowimg.view(tars, tmp_path / "page.html").num_pictures == 8


def test_verify_finds_a_flipped_byte_in_each_member(tars: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar")
    tar = tars / "00001.tar"
    sound = tar.read_bytes()

    for name, start, _ in stored_members(sound):
        tar.write_bytes(sound[: start + 1] + bytes([sound[start + 1] ^ 1]) + sound[start + 2 :])
        damages = arrowimg.verify(tars).damages
        assert {damage.file for damage in damages} == {"00001.tar"}
        members = {damage.member for damage in damages} - {None}
        assert members == ({name} if name.endswith(".jpg") else set())


def test_a_tar_that_is_gone_or_cut_is_damage(tars: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar")
    tar = tars / "00000.tar"
    tar.write_bytes(tar.read_bytes()[:4000])

    assert {str(it.kind) for it in arrowimg.verify(tars).damages} == {"size", "member"}
    with pytest.raises(ManifestError, match="a file of"):
        arrowimg.scan(tars)
    tar.unlink()
    assert [str(it.kind) for it in arrowimg.verify(tars).damages] == ["missing"]


def test_tars_in_folders_below_are_one_dataset(tmp_path: Path) -> None:
    write_tars(tmp_path / "all" / "a b", samples(range(2)))
    write_tars(tmp_path / "all" / "c" / "d", samples(range(2, 4)))

    arrowimg.adopt(f"{tmp_path}/all/**/*.tar")

    rows = arrowimg.scan(tmp_path / "all").collect()
    assert rows["tar_file"].unique(maintain_order=True).to_list() == [
        "a b/00000.tar",
        "c/d/00000.tar",
    ]
    assert arrowimg.fetch_images(rows)["image_data"].to_list() == [picture(at) for at in range(4)]
    assert arrowimg.verify(tmp_path / "all").is_sound


def test_sidecars_elsewhere_are_read_with_the_place_of_the_tars(tars: Path, tmp_path: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar", tmp_path / "index")
    assert sorted(it.name for it in tars.iterdir()) == ["00000.tar", "00001.tar"]

    place = arrowimg.Adopted(tmp_path / "index", tars)
    rows = arrowimg.scan(place).collect()

    assert rows["tar_path"][0] == str(tars / "00000.tar")
    assert arrowimg.fetch_images(rows)["image_data"].to_list() == [picture(at) for at in range(8)]
    assert arrowimg.verify(place, "decode").is_sound
    (batch,) = arrowimg.read_batches(place)
    assert batch.data["image_id"].to_pylist() == rows["image_id"].to_list()
    assert batch.data["image_data"].to_pylist() == [picture(at) for at in range(8)]
    arrowimg.reshard(place, tmp_path / "new")
    arrowimg.merge([place], tmp_path / "merged")
    assert arrowimg.verify(tmp_path / "merged").num_images == 8
    assert arrowimg.view(place, tmp_path / "page.html").num_pictures == 8


def test_tars_elsewhere_may_move_with_or_without_their_sidecars(tars: Path, tmp_path: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar", tmp_path / "index")
    moved = tars.rename(tmp_path / "moved")

    assert arrowimg.verify(arrowimg.Adopted(tmp_path / "index", moved)).is_sound


def test_what_a_manifest_says_of_other_places_is_not_followed(tars: Path, tmp_path: Path) -> None:
    arrowimg.adopt(f"{tars}/*.tar", tmp_path / "index")

    with pytest.raises(
        ManifestError, match=r"if you trust it.*arrowimg\.Adopted\(.*tars="
    ) as error:
        arrowimg.scan(tmp_path / "index")

    assert repr(str(tars)) in str(error.value)
    kinds = {str(it.kind) for it in arrowimg.verify(tmp_path / "index").damages}
    assert kinds == {"missing"}


def test_adopting_again_reads_no_tar_again(tars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = arrowimg.adopt(tars)
    written = {path.name: path.read_bytes() for path in tars.iterdir()}
    read = "arrowimg._dataset.adopt.shard.read_tar"
    monkeypatch.setattr(read, lambda *_: pytest.fail("a tar was read again"))

    again = arrowimg.adopt(tars)

    assert (again.num_unchanged, again.num_rows) == (2, first.num_rows)
    assert {path.name: path.read_bytes() for path in tars.iterdir()} == written


def test_an_adoption_that_stopped_goes_on(tars: Path) -> None:
    (tars / "00001.tar").rename(tars / "later")
    arrowimg.adopt(tars)
    (tars / "manifest.json").unlink()
    (tars / "later").rename(tars / "00001.tar")

    again = arrowimg.adopt(tars)

    assert (again.num_unchanged, again.num_tars) == (1, 2)
    assert arrowimg.verify(tars).is_sound


def test_a_tar_that_became_another_is_read_again(tars: Path) -> None:
    arrowimg.adopt(tars)
    (tars / "00001.tar").write_bytes(tar_of(samples(range(5, 30))))

    again = arrowimg.adopt(tars)

    assert (again.num_unchanged, again.num_rows) == (1, 30)
    assert arrowimg.verify(tars).is_sound


def test_other_options_than_before_are_a_conflict(tars: Path) -> None:
    arrowimg.adopt(tars)

    with pytest.raises(DatasetConflictError):
        arrowimg.adopt(tars, members=["txt"])
    with pytest.raises(DatasetConflictError, match="if_exists"):
        arrowimg.adopt(tars, if_exists="error")
    arrowimg.adopt(tars, members=["txt"], if_exists="overwrite")
    assert "caption" not in arrowimg.scan(tars).collect_schema().names()


def test_a_dataset_of_our_own_is_not_adopted_over(tmp_path: Path) -> None:
    batch = next(arrowimg.read_batches(_adopted(tmp_path)))
    arrowimg.write_shards(batch, tmp_path / "out")

    with pytest.raises(DatasetConflictError, match="a dataset that arrowimg wrote"):
        arrowimg.adopt(tmp_path / "out")


def test_nothing_of_ours_replaces_or_removes_tars_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "tars"
    folder.mkdir()
    theirs = folder / "images-000000.tar"
    theirs.write_bytes(tar_of(samples(range(3))))
    arrowimg.adopt(folder)
    batch = next(arrowimg.read_batches(folder))

    with pytest.raises(DatasetConflictError):
        arrowimg.write_shards(batch, folder, if_exists="overwrite")
    new = folder / "images-000007.tar"
    new.write_bytes(theirs.read_bytes())
    assert arrowimg.collect_garbage(folder, 0, delete=True) == []
    assert theirs.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing/*.tar", "none among"),
        ("a.tar.gz", "unpack it first"),
        ("none.tar", "none of that name"),
        (7, "found a int"),
        ([], "found none"),
    ],
)
def test_what_is_no_tar_is_refused_with_what_to_do(
    source: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SourceError, match=message):
        arrowimg.adopt(source)


def _adopted(tmp_path: Path) -> Path:
    tars = write_tars(tmp_path / "adopted", samples(range(3)))
    arrowimg.adopt(tars)
    return tars


@pytest.mark.parametrize("form", ["webdataset", "wids", "sizes", "hf"])
def test_indexes_that_can_tell_of_tars_of_others_do(form: IndexFormat, tars: Path) -> None:
    arrowimg.adopt(tars)

    (path,) = arrowimg.export_index(tars, [form])

    text = Path(path).read_text()
    assert "00001.tar" in text or "{00000..00001}.tar" in text
    if form == "hf":
        loaded = datasets.load_dataset(str(tars), split="train")
        assert loaded["__key__"] == [f"{number:09d}" for number in range(8)]


@pytest.mark.parametrize("form", ["dali", "energon", "fsspec", "croissant"])
def test_indexes_that_cannot_say_what_to_do(form: IndexFormat, tars: Path) -> None:
    arrowimg.adopt(tars)

    with pytest.raises(OptionError, match=r"of tars that others wrote; arrowimg\.reshard"):
        arrowimg.export_index(tars, [form])


def test_indexes_of_tars_elsewhere_say_where(tars: Path, tmp_path: Path) -> None:
    arrowimg.adopt(tars, tmp_path / "index")
    place = arrowimg.Adopted(tmp_path / "index", tars)

    arrowimg.export_index(place, ["wids"])

    shards = json.loads((tmp_path / "index" / "wids.json").read_text())["shardlist"]
    assert [shard["url"] for shard in shards] == [str(tars / f"0000{at}.tar") for at in range(2)]
    with pytest.raises(OptionError, match="in another place"):
        arrowimg.export_index(place, ["hf"])


def test_copies_are_jpeg_files_whatever_others_called_them(tmp_path: Path) -> None:
    members = [("a.JPEG", picture(1)), ("b.jpg", picture(2, "PNG")), ("c.png", picture(3))]
    tars = write_tars(tmp_path / "tars", members)
    arrowimg.adopt(tars)

    with pytest.raises(SchemaError, match=r"JPEG files.*b\.jpg in 00000\.tar.*channels is not"):
        arrowimg.reshard(tars, tmp_path / "new")
    arrowimg.reshard(tars, tmp_path / "new", "channels is not null")

    rows = arrowimg.fetch_images(arrowimg.scan(tmp_path / "new"))
    assert rows.select("member_name", "image_data").rows() == [
        ("a.jpg", picture(1)),
        ("c.jpg", picture(3)),
    ]
    assert arrowimg.verify(tmp_path / "new", "decode").is_sound
    arrowimg.export_index(tmp_path / "new", ["dali", "energon", "fsspec"])


def test_tars_of_others_merge_with_datasets_of_ours(tars: Path, tmp_path: Path) -> None:
    arrowimg.adopt(tars)
    columns = {"image_id": ["x"], "image_data": [picture(20)], "caption": ["ours"]}
    arrowimg.write_shards(pa.table(columns), tmp_path / "ours")

    arrowimg.merge([tars, tmp_path / "ours"], tmp_path / "all")

    rows = arrowimg.scan(tmp_path / "all").collect()
    assert rows["caption"].to_list() == [*(f"picture {at}" for at in range(8)), "ours"]
    assert arrowimg.verify(tmp_path / "all").is_sound

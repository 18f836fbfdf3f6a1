"""Tars as a source: what webdataset reads out of them is what is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import webdataset
from adopt_data import picture, samples, tar_of, write_tars
from storage_data import moto_options

import arrowimg
from arrowimg._format.adopted import walk as walk_module
from arrowimg._storage.open import open_storage
from arrowimg.errors import ImageError, SourceError

if TYPE_CHECKING:
    from pathlib import Path


def rows_of(out: Path) -> list[dict[str, object]]:
    return arrowimg.fetch_images(arrowimg.scan(out)).to_dicts()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("window", [1024, 2**23])
def test_every_sample_is_as_webdataset_reads_it(
    window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "_WINDOW_NBYTES", window)
    tars = write_tars(tmp_path / "tars", samples(range(5)), samples(range(5, 12)))
    urls = f"{tars}/{{00000..00001}}.tar"

    arrowimg.write_shards(urls, tmp_path / "new", images_per_tar=5)

    found = [
        (row["image_id"], row["image_data"], row["caption"], row["score"], row["txt"])
        for row in rows_of(tmp_path / "new")
    ]
    assert found == [
        (it["__key__"], it["jpg"], *json.loads(it["json"]).values(), it["txt"].decode())
        for it in webdataset.WebDataset(urls, shardshuffle=False)
    ]
    assert arrowimg.verify(tmp_path / "new").num_shards == 3


@pytest.mark.parametrize("form", ["pattern", "list", "texts", "path"])
def test_tars_are_said_in_several_ways(form: str, tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples(range(2)), samples(range(2, 4)))
    each = [str(path) for path in sorted(tars.glob("*.tar"))]
    source = {
        "pattern": f"{tars}/*.tar",
        "list": each,
        "texts": "::".join(each),
        "path": tars / "0000[01].tar",
    }[form]

    group = arrowimg.write_shards(source, tmp_path / "new")

    assert group.num_images == 4


def test_other_members_become_columns(tmp_path: Path) -> None:
    members = [
        ("a.mask.png", picture(1, "PNG")),
        ("a.PNG", picture(2, "PNG")),
        ("a.cls", b"7\n"),
        ("a.npy", b"\x93NUMPY"),
        ("b.png", picture(3, "PNG")),
        ("b.cls", b"8"),
        ("b.json", b'{"width": 3, "tags": ["x"]}'),
    ]
    tars = write_tars(tmp_path / "tars", members)

    arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "new")

    first, second = rows_of(tmp_path / "new")
    assert (first["cls"], second["cls"]) == (7, 8)
    assert (first["mask_png"], second["mask_png"]) == (picture(1, "PNG"), None)
    assert (first["npy"], second["npy"]) == (b"\x93NUMPY", None)
    assert (second["source_width"], second["tags"]) == (3, ["x"])


@pytest.mark.parametrize("masked", [{0, 1}, {1}, {1, 2}, {2}])
def test_some_samples_need_not_have_a_further_picture(masked: set[int], tmp_path: Path) -> None:
    masks = {at: picture(at + 10, "PNG") for at in masked}
    members = [
        member
        for at in range(3)
        for member in [
            (f"{at}.jpg", picture(at)),
            *[(f"{at}.mask.png", masks[at]) for _ in range(at in masked)],
        ]
    ]
    tars = write_tars(tmp_path / "tars", members)

    arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "new", images={"mask.png": "mask_png"})

    rows = arrowimg.fetch_images(arrowimg.scan(tmp_path / "new"), images=["mask_png"])
    assert rows["mask_png"].to_list() == [masks.get(at) for at in range(3)]


def test_types_that_differ_from_tar_to_tar_widen(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples([0], weight=1), samples([1], weight=0.5))

    arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "new", images_per_tar=1)

    assert arrowimg.scan(tmp_path / "new").collect()["weight"].to_list() == [1.0, 0.5]


def test_a_sample_without_a_picture_is_a_bad_row(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", [("a.txt", b"alone"), *samples([1])])

    with pytest.raises(ImageError, match="missing"):
        arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "new")
    group = arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "q", on_error="quarantine")
    assert (group.num_images, group.metadata["num_errors"]) == (1, 1)


@pytest.mark.parametrize("window", [1024, 2**23])
def test_a_picture_that_cannot_be_had_is_not_a_missing_one(
    window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "_WINDOW_NBYTES", window)
    monkeypatch.setattr(walk_module, "_MOST_HELD_NBYTES", 4096)
    members = [
        *samples([0]),
        ("a.txt", b"before"),
        ("a.jpg", bytes(10 * 2**20)),
        *samples([1]),
        ("b.bin", bytes(10 * 2**20)),
        ("b.jpg", picture(2)),
    ]
    tars = write_tars(tmp_path / "tars", members)

    with pytest.raises(ImageError, match=r"row 1 .*unreadable.*more than 256 MiB"):
        arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "new")
    arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "q", on_error="quarantine")

    rows = arrowimg.fetch_images(arrowimg.scan(tmp_path / "q"))
    assert rows.select("image_id", "error", "txt", "image_data").rows() == [
        ("000000000", None, "picture 0", picture(0)),
        ("a", "unreadable", "before", None),
        ("000000001", None, "picture 1", picture(1)),
        ("b", None, None, picture(2)),
    ]
    assert rows["original_path"][1] == f"{tars}/00000.tar/a.jpg"


def test_a_damaged_tar_ends_it_with_what_to_do(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples(range(20)))
    tar = tars / "00000.tar"
    tar.write_bytes(tar.read_bytes()[:20_000])

    with pytest.raises(SourceError, match=r"it ends at byte 20,000.*arrowimg\.adopt"):
        arrowimg.write_shards(f"{tars}/*.tar", tmp_path / "new")

    assert not (tmp_path / "new" / "manifest.json").exists()


def test_a_folder_of_tars_says_how_they_are_a_source(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples(range(2)))

    with pytest.raises(SourceError, match=r"pass '.*/tars/\*\.tar'"):
        arrowimg.write_shards(tars, tmp_path / "new")
    with pytest.raises(SourceError, match="unpack it first"):
        arrowimg.write_shards(tmp_path / "a.tar.gz", tmp_path / "new")


def test_tars_come_out_of_a_bucket_and_are_adopted_there(tmp_path: Path) -> None:
    options, url = moto_options(), f"s3://storages/{tmp_path.name}"
    storage = open_storage(url, options)
    for number in range(2):
        with storage.begin("xxh3_128") as transaction:
            members = samples(range(3 * number, 3 * number + 3))
            transaction.create(f"{number:05d}.tar").write(tar_of(members))
            transaction.publish()

    arrowimg.write_shards(f"{url}/{{00000..00001}}.tar", tmp_path / "new", storage_options=options)
    adoption = arrowimg.adopt(f"{url}/*.tar", storage_options=options)
    arrowimg.adopt(f"{url}/*.tar", tmp_path / "index", storage_options=options)

    expected = [picture(number) for number in range(6)]
    assert [row["image_data"] for row in rows_of(tmp_path / "new")] == expected
    assert adoption.num_images == 6
    place = arrowimg.Adopted(tmp_path / "index", url)
    for it in (url, place):
        rows = arrowimg.scan(it, storage_options=options)
        fetched = arrowimg.fetch_images(rows, storage_options=options)
        assert fetched["image_data"].to_list() == expected
        assert arrowimg.verify(it, storage_options=options).is_sound
    arrowimg.reshard(place, tmp_path / "copied", storage_options=options)
    assert arrowimg.verify(tmp_path / "copied").num_images == 6

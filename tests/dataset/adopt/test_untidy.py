"""Untidy tars: each thing that is odd is a row with a code, or counted, and nothing stops."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from adopt_data import picture, samples, stored_members, tar_of, write_tars

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path


def codes_of(folder: Path) -> dict[str | None, str | None]:
    rows = arrowimg.scan(folder).collect()
    return dict(rows.select("image_id", "error").rows())


def test_samples_without_a_sound_picture_are_rows_with_a_code(tmp_path: Path) -> None:
    tars = write_tars(
        tmp_path / "tars",
        [
            ("alone.txt", b"no picture"),
            ("good.jpg", picture(1)),
            ("cut.jpg", picture(2)[:200]),
            ("none.jpg", b"not a picture"),
            ("empty.png", b""),
            ("text.json", b"{}"),
        ],
    )

    adoption = arrowimg.adopt(tars)

    assert codes_of(tars) == {
        "alone": "missing",
        "good": None,
        "cut": "truncated",
        "none": "unknown_format",
        "empty": "unknown_format",
        "text": "missing",
    }
    assert (adoption.num_rows, adoption.num_images) == (6, 1)
    assert adoption.error_codes == {"missing": 2, "truncated": 1, "unknown_format": 2}
    assert arrowimg.verify(tars, "decode").is_sound


def test_the_picture_is_that_of_an_extension_of_one_part(tmp_path: Path) -> None:
    members = [
        ("a.seg.png", picture(1, "PNG")),
        ("a.jpg", picture(2)),
        ("b.seg.png", picture(3, "PNG")),
    ]

    arrowimg.adopt(write_tars(tmp_path / "tars", members))

    rows = arrowimg.fetch_images(arrowimg.scan(tmp_path / "tars"))
    assert rows.select("member_name", "image_data").rows() == [
        ("a.jpg", picture(2)),
        ("b.seg.png", picture(3, "PNG")),
    ]


def test_a_key_that_comes_again_has_no_id_and_keeps_its_picture(tmp_path: Path) -> None:
    tars = write_tars(
        tmp_path / "tars",
        [("a.jpg", picture(1)), ("b.jpg", picture(2)), ("a.jpg", picture(3)), ("a.jpg", b"x")],
    )

    adoption = arrowimg.adopt(tars)

    rows = arrowimg.fetch_images(arrowimg.scan(tars))
    assert rows["image_id"].to_list() == ["a", "b", None]
    assert rows["image_data"].to_list() == [picture(1), picture(2), picture(3)]
    assert adoption.notices["samples without an id, whose key is in the tar before"] == 1
    assert arrowimg.verify(tars).is_sound


def test_ids_of_several_tars_are_counted_and_told_apart_by_path(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples(range(3)), samples(range(2)))

    (notice,) = arrowimg.adopt(tars).notices.items()
    arrowimg.adopt(tars, ids="path", if_exists="overwrite")

    assert notice == ('ids that are in several tars, which ids="path" tells apart', 2)
    ids = arrowimg.scan(tars).collect()["image_id"].to_list()
    assert ids[0] == "00000/000000000"
    assert len({*ids}) == 5
    assert arrowimg.verify(tars).is_sound


@pytest.mark.parametrize(
    "name",
    [
        "../up.jpg",
        "/root.jpg",
        "a\nb.jpg",
        "n\xff".encode("latin-1").decode("latin-1") + ".jpg",
        "\\win.jpg",
        "ü" * 120 + ".jpg",
    ],
)
def test_names_lead_nowhere_whatever_they_say(name: str, tmp_path: Path) -> None:
    tars = tmp_path / "tars"
    tars.mkdir()
    (tars / "a.tar").write_bytes(tar_of([(name, picture(1))], tarfile.PAX_FORMAT))

    arrowimg.adopt(tars)

    rows = arrowimg.fetch_images(arrowimg.scan(tars))
    assert rows["member_name"].to_list() == [name]
    assert rows["image_data"].to_list() == [picture(1)]
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        ["tars", "a.tar", "adopted-a.parquet", "manifest.json"]
    )


def test_links_folders_and_names_of_no_sample_are_no_rows(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind in [("d", tarfile.DIRTYPE), ("l.jpg", tarfile.SYMTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name in ("README", ".hidden.jpg", "d/a.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(picture(1))
            tar.addfile(info, io.BytesIO(picture(1)))
    (tmp_path / "a.tar").write_bytes(file.getvalue())

    adoption = arrowimg.adopt(tmp_path)

    assert codes_of(tmp_path) == {"d/a": None}
    assert adoption.notices == {"links": 1, "members that no sample can have, by their names": 2}


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_archives_of_gnu_tar_are_as_tarfile_sees_them(form: str, tmp_path: Path) -> None:
    files = tmp_path / "files" / "class one"
    files.mkdir(parents=True)
    for number in range(4):
        (files / f"{number}.jpg").write_bytes(picture(number))
        (files / f"{number}.txt").write_text(f"picture {number}")
    deep = files / ("n" * 60) / ("m" * 60)
    if form in ("gnu", "pax", "oldgnu"):
        deep.mkdir(parents=True)
        (deep / "long.jpg").write_bytes(picture(9))
    (files / "9.jpg").hardlink_to(files / "0.jpg")
    with (files / "8.jpg").open("wb") as sparse:
        sparse.truncate(10**6)
    tars = tmp_path / "tars"
    tars.mkdir()
    command = ["tar", f"--format={form}", "--sort=name", "-cf", str(tars / "a.tar")]
    if form in ("gnu", "pax", "oldgnu"):
        command.append("--sparse")
    subprocess.run([*command, "-C", str(tmp_path / "files"), "."], check=True)

    arrowimg.adopt(tars)

    rows = arrowimg.fetch_images(arrowimg.scan(tars))
    found = {
        row["member_name"]: row["image_data"] for row in rows.to_dicts() if row["error"] is None
    }
    with tarfile.open(tars / "a.tar") as tar:
        expected = {}
        for member in tar:
            if member.isreg() and member.name.endswith(".jpg") and not member.issparse():
                file = tar.extractfile(member)
                data = b"" if file is None else file.read()
                if data.startswith(b"\xff\xd8"):
                    expected[member.name] = data
    assert found == expected
    assert len(found) >= 4
    assert "picture 2" in rows["txt"].to_list()


def test_a_tar_that_is_cut_has_the_rows_that_are_left(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples(range(20)))
    tar = tars / "00000.tar"
    whole, num_sound = tar.read_bytes(), 0

    for nbytes in (0, 512, 700, 5000, 20_000):
        tar.write_bytes(whole[:nbytes])
        adoption = arrowimg.adopt(tars, if_exists="overwrite")
        rows = arrowimg.fetch_images(arrowimg.scan(tars))
        sound = [row["image_data"] for row in rows.to_dicts() if row["error"] is None]
        assert sound == [
            data
            for name, start, data in stored_members(whole)
            if name.endswith(".jpg") and start + len(data) <= nbytes
        ]
        num_sound = max(num_sound, len(sound))
        assert any(notice.startswith("a tar that is damaged") for notice in adoption.notices)
        assert arrowimg.verify(tars).is_sound
    assert num_sound > 3


def test_random_bytes_are_a_tar_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"\x1f\x8b" + bytes(range(256)) * 20)

    adoption = arrowimg.adopt(tmp_path)

    assert adoption.num_rows == 0
    assert adoption.notices == {"a tar that is damaged: no header at byte 0": 1}
    assert arrowimg.scan(tmp_path).collect().is_empty()


def test_many_tars_take_time_that_grows_with_them(tmp_path: Path) -> None:
    data = tar_of(samples([0]))
    for number in range(300):
        (tmp_path / f"{number:05d}.tar").write_bytes(data)

    adoption = arrowimg.adopt(tmp_path, ids="path")

    assert (adoption.num_tars, adoption.num_images, adoption.notices) == (300, 300, {})

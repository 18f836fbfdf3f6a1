"""Pictures that are read to where they belong in the new tar: its bytes are those of the writer."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from file_data import JPEG
from reshard_data import sidecar, source, table
from segmentation_data import KINDS, MEMBERS, PICTURES, segmentation_set

from arrowimg import reshard, verify, write_shards
from arrowimg._reshard.copies import CopiedParts
from arrowimg.errors import ChecksumError

if TYPE_CHECKING:
    from pathlib import Path

KEPT = pa.table({"image_id": ["jpg", *KINDS], "image_data": [JPEG, *KINDS.values()]})
TORN = table(9).set_column(2, "image_data", pa.array([JPEG, None, b"x"] * 3, pa.binary()))
CASES: dict[str, tuple[pa.Table, dict[str, Any]]] = {
    "several pictures": (segmentation_set(), {"images": PICTURES, "members": MEMBERS}),
    "kept formats": (KEPT, {"keep": [*KINDS]}),
    "members, errors": (TORN, {"members": {"json": ["score"]}, "on_error": "quarantine"}),
}


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def no_picture_is_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        pytest.fail("a picture is read into memory of its own")

    monkeypatch.setattr(CopiedParts, "_read", read)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("piece_nbytes", [1, 5000, 2**22])
@pytest.mark.parametrize(("before", "after"), [(3, 3), (4, 3), (2, 5)])
def test_tars_have_the_bytes_that_the_writer_gives_them(
    tmp_path: Path,
    name: str,
    piece_nbytes: int,
    before: int,
    after: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_picture_is_read_before(monkeypatch)
    monkeypatch.setattr("arrowimg._reshard.unread._PIECE_NBYTES", piece_nbytes)
    rows, options = CASES[name]
    for folder, number in (("old", before), ("written", after)):
        write_shards(rows, tmp_path / folder, number, **options)

    reshard(tmp_path / "old", tmp_path / "new", images_per_tar=after)

    assert tars(tmp_path / "new") == {
        name: data for name, data in tars(tmp_path / "written").items() if "quarantine" not in name
    }
    assert verify(tmp_path / "new").is_sound
    columns = ["image_id", "offset", "size", "checksum", "error"]
    new, written = (sidecar(tmp_path / it).select(columns) for it in ("new", "written"))
    assert new.equals(written)


def test_what_is_between_the_pictures_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_picture_is_read_before(monkeypatch)
    old = source(tmp_path / "old")
    whole = tars(old)
    for path in old.glob("*.tar"):
        with tarfile.open(path) as tar:
            pictures = [(it.offset_data, it.size) for it in tar]
        data = bytearray(b"\xff" * path.stat().st_size)
        for start, size in pictures:
            data[start : start + size] = path.read_bytes()[start : start + size]
        path.write_bytes(data)

    reshard(old, tmp_path / "new", images_per_tar=6)

    assert tars(tmp_path / "new") == whole


def test_a_tar_that_became_shorter_meanwhile_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = source(tmp_path / "old")

    def truncate(_: object) -> None:
        os.truncate(old / "images-000001.tar", 2000)

    monkeypatch.setattr("arrowimg._reshard.copies.check_places", truncate)

    with pytest.raises(ChecksumError, match=r"images-000001\.tar, which ends at byte 2,000"):
        reshard(old, tmp_path / "new")

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pytest
import xxhash
from file_data import FILES, JPEG
from tar_data import archive_of, part_of

from arrowimg import ImageBatch, WriteOptions
from arrowimg._batches import check_batch, encode_batch
from arrowimg._storage import LocalStorage
from arrowimg._tar import END_OF_ARCHIVE
from arrowimg._tar_writer import write_part, write_quarantined, write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from arrowimg._samples import Samples


def samples_of(files: list[bytes | None], **options: Any) -> Samples:  # noqa: ANN401  # any option
    captions = [f"caption {row}" for row in range(len(files))]
    ids = [f"id{row:04d}" for row in range(len(files))]
    data = pa.array(files, pa.binary())
    table = pa.table({"image_id": ids, "image_data": data, "caption": captions})
    chosen = WriteOptions(on_error="quarantine", **options)
    (samples,) = encode_batch(check_batch(ImageBatch(table), chosen, "row-"), chosen).parts
    return samples


def write(
    folder: Path, *parts: Samples, checksum: Literal["xxh3_128", "sha256"] = "xxh3_128"
) -> tuple[bytes, list[pa.Table]]:
    with LocalStorage(folder).stage(checksum) as staging:
        tar = staging.create("a.tar")
        places = [write_samples(tar, part, checksum) for part in parts]
        tar.write(END_OF_ARCHIVE)
        nbytes = tar.nbytes
        staging.publish()
    data = (folder / "a.tar").read_bytes()

    assert len(data) == nbytes
    return data, places


@pytest.mark.parametrize("members", [{}, {"txt": "caption"}, {"a": "caption", "txt": "caption"}])
@pytest.mark.parametrize("checksum", ["xxh3_128", "sha256"])
def test_places_are_where_the_pictures_stand(
    tmp_path: Path, members: dict[str, str], checksum: Literal["xxh3_128", "sha256"]
) -> None:
    whole = samples_of(FILES, members=members)
    parts = [whole.slice(0, 5), whole.slice(5, 5), whole.slice(5, 12), whole.slice(12, len(FILES))]
    data, places = write(tmp_path, *parts, checksum=checksum)
    hashed = hashlib.sha256 if checksum == "sha256" else xxhash.xxh3_128

    pictures = whole.stored["image_data"].to_pylist()
    rows = [row for table in places for row in table.to_pylist()]
    assert [table.num_rows for table in places] == [5, 0, 7, 1]
    assert len(rows) == len(FILES)
    for picture, row in zip(pictures, rows, strict=True):
        if picture is None:
            assert row == {"offset": None, "checksum": None}
        else:
            assert data[row["offset"] : row["offset"] + len(picture)] == picture
            assert row["checksum"] == hashed(picture).digest()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == [
            f"{key}.{extension}"
            for key, picture in zip(whole.stored["key"].to_pylist(), pictures, strict=True)
            for extension in sorted(["jpg", *members])
            if picture is not None
        ]


@pytest.mark.parametrize("files", [[None], [None, b"no picture"], [None, JPEG], [JPEG, None]])
def test_rows_without_a_picture_have_no_place(tmp_path: Path, files: list[bytes | None]) -> None:
    _, (places,) = write(tmp_path, samples_of(files))

    assert places["offset"].is_valid().to_pylist() == [file == JPEG for file in files]
    assert places.schema == pa.schema([("offset", pa.int64()), ("checksum", pa.binary())])


@pytest.mark.parametrize("count", [1, 511, 512, 513, 1500])
@pytest.mark.parametrize("nbytes", [0, 1, 600, 5000])
def test_members_are_written_whole_however_many(tmp_path: Path, count: int, nbytes: int) -> None:
    members = [(f"{at}.jpg", bytes([at % 251]) * (nbytes + at % 3)) for at in range(count)]
    with LocalStorage(tmp_path).stage("sha256") as staging:
        tar = staging.create("a.tar")
        checksums = write_part(tar, part_of(members), slice(1, None, 3), "sha256")
        tar.write(END_OF_ARCHIVE)
        staging.publish()

    data = (tmp_path / "a.tar").read_bytes()
    assert data == archive_of(members)
    assert tar.checksum == hashlib.sha256(data).hexdigest()
    assert checksums == [hashlib.sha256(data).digest() for _, data in members[1::3]]


def test_large_members_are_written_whole(tmp_path: Path) -> None:
    members = [
        (f"{at}.jpg", bytes([at]) * nbytes) for at, nbytes in enumerate([3 * 2**20, 9, 2**20])
    ]
    with LocalStorage(tmp_path).stage("xxh3_128") as staging:
        tar = staging.create("a.tar")
        checksums = write_part(tar, part_of(members), slice(0, None), "xxh3_128")
        tar.write(END_OF_ARCHIVE)
        staging.publish()

    assert (tmp_path / "a.tar").read_bytes() == archive_of(members)
    assert checksums == [xxhash.xxh3_128_digest(data) for _, data in members]


def test_bytes_that_are_kept_are_named_by_their_error(tmp_path: Path) -> None:
    samples = samples_of([JPEG, b"no picture", None, JPEG[:50]], keep_quarantined=True)
    stored = pa.concat_tables([samples.slice(0, 2).stored, samples.slice(2, 4).stored])
    with LocalStorage(tmp_path).stage("xxh3_128") as staging:
        tar = staging.create("a.tar")
        write_quarantined(tar, stored)
        tar.write(END_OF_ARCHIVE)
        staging.publish()

    assert (tmp_path / "a.tar").read_bytes() == archive_of(
        [("id0001.unknown_format", b"no picture"), ("id0003.truncated", JPEG[:50])]
    )

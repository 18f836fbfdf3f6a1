from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pytest
import xxhash
from file_data import FILES, JPEG
from hypothesis import given
from hypothesis import strategies as st
from stage_data import encoded_batch
from tar_data import archive_of, columns_of

from arrowimg import ImageBatch, WriteOptions
from arrowimg._format.samples import Samples
from arrowimg._format.tar_writer import TarWriter
from arrowimg._storage.memory import MemoryStorage
from arrowimg._storage.open import open_storage

if TYPE_CHECKING:
    from pathlib import Path


def samples_of(files: list[bytes | None], **options: Any) -> Samples:  # noqa: ANN401  # any option
    captions = [f"caption {row}" for row in range(len(files))]
    ids = [f"id{row:04d}" for row in range(len(files))]
    data = pa.array(files, pa.binary())
    table = pa.table({"image_id": ids, "image_data": data, "caption": captions})
    chosen = WriteOptions(on_error="quarantine", **options)
    (samples,) = encoded_batch(ImageBatch(table), chosen).parts
    return samples


def write(
    folder: Path, *parts: Samples, checksum: Literal["xxh3_128", "sha256"] = "xxh3_128"
) -> tuple[bytes, list[tuple[list[int], list[bytes]]]]:
    with open_storage(folder).begin(checksum) as transaction:
        tar = transaction.create("a.tar")
        writer = TarWriter(tar, checksum)
        places = [writer.write_samples(part) for part in parts]
        writer.finish()
        nbytes = tar.nbytes
        transaction.publish()
    data = (folder / "a.tar").read_bytes()

    assert len(data) == nbytes
    pictures = [each["image_data"] for each in places]
    return data, [(it.offsets.tolist(), it.checksums) for it in pictures]


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
    assert len(pictures) == len(FILES)
    for part, (offsets, checksums) in zip(parts, places, strict=True):
        stored = [data for data in part.stored["image_data"].to_pylist() if data is not None]
        assert checksums == [hashed(picture).digest() for picture in stored]
        assert stored == [
            data[offset : offset + len(picture)]
            for offset, picture in zip(offsets, stored, strict=True)
        ]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == [
            f"{key}.{extension}"
            for key, picture in zip(whole.stored["key"].to_pylist(), pictures, strict=True)
            for extension in sorted(["jpg", *members])
            if picture is not None
        ]


@pytest.mark.parametrize("files", [[None], [None, b"no picture"], [None, JPEG], [JPEG, None]])
def test_rows_without_a_picture_have_no_place(tmp_path: Path, files: list[bytes | None]) -> None:
    _, ((offsets, checksums),) = write(tmp_path, samples_of(files))

    assert offsets == [512] * files.count(JPEG)
    assert checksums == [xxhash.xxh3_128_digest(JPEG)] * files.count(JPEG)


def test_samples_are_written_whole_however_many(tmp_path: Path) -> None:
    count = 2500
    files = [JPEG if row % 7 else None for row in range(count)]
    whole = samples_of(files, members={"txt": "caption"})
    data, ((offsets, _),) = write(tmp_path, whole)

    assert data == archive_of(
        [
            (f"id{row:04d}.{extension}", content)
            for row in range(count)
            for extension, content in (("jpg", JPEG), ("txt", f"caption {row}".encode()))
            if row % 7
        ]
    )
    assert len(offsets) == count - len(range(0, count, 7))


rows_of_members = st.lists(
    st.tuples(st.none() | st.binary(max_size=600), st.none() | st.binary(max_size=20)), max_size=6
)


@given(rows=rows_of_members, data=st.data())
def test_samples_stand_member_by_member_what_is_null_left_out(
    rows: list[tuple[bytes | None, bytes | None]], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    pictures, texts = ([row[at] for row in rows] for at in (0, 1))
    stored = {
        "key": pa.array([f"key{row}" for row in range(len(rows))], pa.string()),
        "image_data": pa.array(pictures, pa.large_binary()),
        "extension": pa.array(["jpg"] * len(rows), pa.string()),
        "error": pa.nulls(len(rows), pa.string()),
    }
    members = pa.table({"txt": pa.array(texts, pa.large_binary())})
    samples = Samples(pa.table(stored), pa.table({"row": range(len(rows))}), members)
    expected = [
        (f"key{row}.{extension}", content)
        for row, (picture, text) in enumerate(rows)
        for extension, content in (("jpg", picture), ("txt", text))
        if content is not None and start <= row < stop
    ]
    with MemoryStorage("memory").begin("xxh3_128") as transaction:
        tar = transaction.create("a.tar")
        places = TarWriter(tar, "xxh3_128").write_samples(samples.slice(start, stop))

    archive = archive_of(expected)
    written = [picture for picture in pictures[start:stop] if picture is not None]
    assert tar.checksum == xxhash.xxh3_128_hexdigest(archive[:-1024])
    assert places["image_data"].checksums == [xxhash.xxh3_128_digest(it) for it in written]
    assert [
        archive[offset : offset + len(picture)]
        for offset, picture in zip(places["image_data"].offsets.tolist(), written, strict=True)
    ] == written


@pytest.mark.parametrize("count", [1, 511, 512, 513, 1500])
@pytest.mark.parametrize("nbytes", [0, 1, 600, 5000])
def test_members_are_written_whole_however_many(tmp_path: Path, count: int, nbytes: int) -> None:
    members = [(f"{at}.jpg", bytes([at % 251]) * (nbytes + at % 3)) for at in range(count)]
    with open_storage(tmp_path).begin("sha256") as transaction:
        tar = transaction.create("a.tar")
        writer = TarWriter(tar, "sha256")
        writer.write(*columns_of(members))
        writer.finish()
        transaction.publish()

    data = (tmp_path / "a.tar").read_bytes()
    assert data == archive_of(members)
    assert tar.checksum == hashlib.sha256(data).hexdigest()


def test_large_members_are_written_whole(tmp_path: Path) -> None:
    members = [
        (f"{at}.jpg", bytes([at]) * nbytes) for at, nbytes in enumerate([3 * 2**20, 9, 2**20])
    ]
    with open_storage(tmp_path).begin("xxh3_128") as transaction:
        tar = transaction.create("a.tar")
        writer = TarWriter(tar, "xxh3_128")
        writer.write(*columns_of(members))
        writer.finish()
        transaction.publish()

    assert (tmp_path / "a.tar").read_bytes() == archive_of(members)


def test_bytes_that_are_kept_are_named_by_their_error(tmp_path: Path) -> None:
    samples = samples_of([JPEG, b"no picture", None, JPEG[:50]], keep_quarantined=True)
    stored = pa.concat_tables([samples.slice(0, 2).stored, samples.slice(2, 4).stored])
    with open_storage(tmp_path).begin("xxh3_128") as transaction:
        tar = transaction.create("a.tar")
        writer = TarWriter(tar, "xxh3_128")
        writer.write_quarantined(stored)
        writer.finish()
        transaction.publish()

    assert (tmp_path / "a.tar").read_bytes() == archive_of(
        [("id0001.unknown_format", b"no picture"), ("id0003.truncated", JPEG[:50])]
    )

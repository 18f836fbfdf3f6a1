"""What documents and rows may not say, one lie at a time, whoever reads."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_data import (
    CANARY,
    MANIFEST,
    SIDECAR,
    TAR,
    footer_of,
    forge,
    forge_footer,
    forge_packed,
    forge_rows,
    forge_stated_type,
    with_column,
    write_sound,
)

import arrowimg
from arrowimg._dataset.inspect import inspect_dataset
from arrowimg.errors import ChecksumError, ManifestError, SchemaError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sound(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def out(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "here")
    return tmp_path / "here" / "out"


READERS: dict[str, Callable[[Path], object]] = {
    "scan": arrowimg.scan,
    "batches": lambda out: list(arrowimg.read_batches(out)),
    "reshard": lambda out: arrowimg.reshard(out, out.parent / "new"),
    "merge": lambda out: arrowimg.merge([out], out.parent / "new"),
    "index": lambda out: arrowimg.export_index(out, ["webdataset", "energon", "fsspec"]),
    "inspect": inspect_dataset,
}
EACH_READER = pytest.mark.parametrize("reader", READERS)
NAMES = [
    "/etc/passwd.tar",
    "../outside/canary.tar",
    "pipe:touch pwned #.tar",
    "images-{000000..000002}.tar",
    "a\0b.tar",
    "a" * 300 + ".tar",
    "images-000000.tar\n",
    "quarantine-images-000000.tar",
    "images-000000.parquet",
    "",
]


class TestNames:
    @EACH_READER
    @pytest.mark.parametrize("name", NAMES)
    def test_a_footer_names_no_other_file(self, out: Path, reader: str, name: str) -> None:
        forge_footer(out / SIDECAR, tar_file=name)
        (out / MANIFEST).unlink()

        with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
            READERS[reader](out)
        assert not arrowimg.verify(out).is_sound

    @EACH_READER
    @pytest.mark.parametrize("field", ["tar", "parquet"])
    @pytest.mark.parametrize("name", NAMES)
    def test_a_manifest_names_no_other_file(
        self, out: Path, reader: str, field: str, name: str
    ) -> None:
        manifest = json.loads((out / MANIFEST).read_text())
        manifest["shards"][0][field] = name
        (out / MANIFEST).write_text(json.dumps(manifest))
        if (field, name) == ("parquet", "images-000000.parquet"):
            return

        with pytest.raises(ManifestError, match=r"manifest\.json"):
            READERS[reader](out)

    def test_a_manifest_lists_no_shard_twice(self, out: Path) -> None:
        manifest = json.loads((out / MANIFEST).read_text())
        manifest["shards"][1] = manifest["shards"][0]
        (out / MANIFEST).write_text(json.dumps(manifest))

        with pytest.raises(ManifestError, match="a shard twice"):
            arrowimg.scan(out)

    @pytest.mark.parametrize("number", [-1, 2**53 + 1, 2**64, 10**30, 1.5, None, "1"])
    @pytest.mark.parametrize("field", ["tar_nbytes", "num_rows", "num_images"])
    def test_counts_are_numbers_that_can_be(self, out: Path, field: str, number: object) -> None:
        manifest = json.loads((out / MANIFEST).read_text())
        manifest["shards"][0][field] = number
        (out / MANIFEST).write_text(json.dumps(manifest))

        with pytest.raises(ManifestError):
            arrowimg.scan(out)

    @pytest.mark.parametrize(
        "options",
        [
            {"members": 5},
            {"members": {'x":{': "caption"}},
            {"members": {"a/../b": "caption"}},
            {"members": {"txt": 7}},
            {"checksum": "md5"},
            {"checksum": "xxh3_128"},
            {"checksum": []},
        ],
    )
    def test_recorded_options_are_of_their_kinds(
        self, out: Path, options: dict[str, object]
    ) -> None:
        forge_footer(out / SIDECAR, options={**footer_of(out / SIDECAR)["options"], **options})
        (out / MANIFEST).unlink()

        with pytest.raises(ManifestError):
            arrowimg.export_index(out, ["fsspec"])

    @pytest.mark.parametrize("depth", [1_000, 100_000])
    def test_documents_nested_far_too_deep_are_refused(self, out: Path, depth: int) -> None:
        nested = "[" * depth + "]" * depth
        text = (out / MANIFEST).read_text()
        (out / MANIFEST).write_text(text.replace('"options": {', f'"options": {{"x": {nested},', 1))

        if depth > 1_000:
            with pytest.raises(ManifestError):
                arrowimg.scan(out)


class TestRows:
    @pytest.mark.parametrize(
        ("column", "values"),
        [
            ("size", [10, 200_000, -200_000]),
            ("size", [10, 2**63 - 1, 2**62]),
            ("size", [2**40, 5, 5]),
            ("size", [None, 1, 1]),
            ("offset", [-512, 0, 512]),
            ("offset", [None, None, None]),
            ("offset", [512, 512, 512]),
            ("offset", [2**63 - 1, 2**63 - 1, 2**63 - 1]),
            ("tar_file", [None, None, None]),
            ("tar_file", ["images-000001.tar"] * 3),
            ("checksum", [b"", b"a", bytes(16)]),
            ("checksum", [None, None, None]),
            ("member_name", [None, "a.jpg", "b.jpg"]),
        ],
    )
    @pytest.mark.parametrize("reader", ["batches", "reshard", "merge"])
    def test_rows_lead_to_ranges_in_their_tar_only(
        self, out: Path, reader: str, column: str, values: list[Any]
    ) -> None:
        forge(out / SIDECAR, with_column(pq.read_table(out / SIDECAR), column, values))
        (out / MANIFEST).unlink()

        with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
            READERS[reader](out)
        assert not arrowimg.verify(out).is_sound

    @pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.float64(), pa.large_string()])
    @EACH_READER
    def test_columns_have_their_types(self, out: Path, reader: str, kind: pa.DataType) -> None:
        table = pq.read_table(out / SIDECAR)
        forge(out / SIDECAR, with_column(table, "image_id", [None] * 3, kind))
        (out / MANIFEST).unlink()

        with pytest.raises(ManifestError, match="as column 'image_id'"):
            READERS[reader](out)
        assert next(it.kind for it in arrowimg.verify(out).damages) == "unreadable"

    @EACH_READER
    def test_rows_that_take_no_room_are_counted(self, out: Path, reader: str) -> None:
        forge_rows(out / SIDECAR, 5_000_000)
        (out / MANIFEST).unlink()

        with pytest.raises(ManifestError, match="5,000,000 rows in"):
            READERS[reader](out)
        assert [it.kind for it in arrowimg.verify(out, "quick").damages] == ["unreadable"]


class TestFrames:
    """What `fetch_images` is given may come from anywhere."""

    @pytest.mark.parametrize(
        ("column", "values", "error"),
        [
            ("size", [-1], SchemaError),
            ("size", [2**62], SchemaError),
            ("size", [2**40], ChecksumError),
            ("size", [float("nan")], SchemaError),
            ("offset", [2**63 - 1], SchemaError),
            ("offset", [-512], SchemaError),
            ("offset", [2**50], ChecksumError),
            ("tar_path", [5], SchemaError),
            ("tar_path", ["/dev/zero"], StorageError),
            ("tar_path", ["/etc"], StorageError),
            ("tar_path", ["a\0b"], OSError),
        ],
    )
    @pytest.mark.parametrize("check", [True, False])
    def test_places_that_cannot_be_are_refused(
        self,
        out: Path,
        column: str,
        values: list[Any],
        error: type[Exception],
        check: bool,  # noqa: FBT001
    ) -> None:
        frame = arrowimg.scan(out).head(1).collect().with_columns(pl.Series(column, values))

        with pytest.raises(error) as caught:
            arrowimg.fetch_images(frame, check=check)
        assert isinstance(caught.value, arrowimg.errors.ArrowimgError)

    def test_pictures_within_one_another_are_refused(self, out: Path) -> None:
        frame = arrowimg.scan(out).head(2).collect()
        rows = frame.with_columns(offset=pl.col("offset").first() + pl.Series([0, 1]))

        with pytest.raises(ChecksumError, match="within another picture"):
            arrowimg.fetch_images(rows, check=False)

    def test_rows_may_be_repeated_but_not_without_end(
        self, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frame = arrowimg.scan(out).head(1).collect()
        monkeypatch.setattr("arrowimg._storage.ranges._MOST_NBYTES", 0)

        assert len(arrowimg.fetch_images(pl.concat([frame] * 3))) == 3
        with pytest.raises(SchemaError, match="bytes in 1,000 rows"):
            arrowimg.fetch_images(pl.concat([frame] * 1000))


class TestFiles:
    @pytest.mark.parametrize("name", [SIDECAR, TAR, MANIFEST])
    @pytest.mark.parametrize("what", ["link", "pipe", "folder", "device", "socket"])
    @EACH_READER
    def test_what_is_no_file_is_refused_before_it_is_opened(
        self, out: Path, reader: str, name: str, what: str
    ) -> None:
        path = out / name
        moved = path.rename(out.parent / "outside" / name)
        if what == "link":
            path.symlink_to(moved)
        elif what == "pipe":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        elif what == "socket":
            _make_socket(path)
        else:
            path.symlink_to("/dev/zero")

        with pytest.raises(ManifestError):
            READERS[reader](out)

    @pytest.mark.parametrize("name", [SIDECAR, TAR])
    @pytest.mark.parametrize("what", ["link", "pipe", "folder"])
    def test_verify_reports_what_is_no_file(self, out: Path, name: str, what: str) -> None:
        path = out / name
        moved = path.rename(out.parent / "outside" / name)
        {"link": lambda: path.symlink_to(moved), "pipe": lambda: os.mkfifo(path)}.get(
            what, path.mkdir
        )()

        assert (name, "unreadable") in [(it.file, it.kind) for it in arrowimg.verify(out).damages]

    def test_the_folder_itself_may_be_a_link(self, out: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(out, target_is_directory=True)

        assert arrowimg.verify(tmp_path / "link").is_sound
        assert arrowimg.fetch_images(arrowimg.scan(tmp_path / "link")).height > 0

    @pytest.mark.parametrize("folder", [".nv-meta"])
    def test_nothing_is_written_or_removed_by_way_of_a_link_to_a_folder(
        self, out: Path, folder: str
    ) -> None:
        outside = out.parent / "outside"
        (out / folder).symlink_to(outside, target_is_directory=True)
        (out / "images-000000.tar.idx").touch()

        with pytest.raises(StorageError, match=r"\.nv-meta"):
            arrowimg.export_index(out, ["energon"])
        arrowimg.write_shards(_other_batch(), out, if_exists="overwrite")

        assert (outside / "index.sqlite").read_bytes() == b"precious"
        assert arrowimg.verify(out).is_sound

    def test_garbage_that_is_a_link_is_not_followed(self, out: Path) -> None:
        canary = out.parent / "outside" / CANARY
        os.utime(canary, (0, 0))
        (out / f".arrowimg-{'0' * 32}.tmp").symlink_to(canary)

        arrowimg.collect_garbage(out, 0, delete=True)

        assert canary.read_bytes() == b"precious"

    def test_a_large_tar_is_not_read_whole(self, out: Path) -> None:
        os.truncate(out / TAR, 2**40)  # it takes no room; to read it would take hours

        damages = [(it.file, it.kind) for it in arrowimg.verify(out).damages]

        assert damages == [(TAR, "size"), (TAR, "tar")]


class TestBatches:
    def test_any_number_of_shards_of_a_batch_is_counted_in_no_time(self, out: Path) -> None:
        (out / MANIFEST).unlink()
        tar = "images-abc-000000.tar"
        (out / TAR).rename(out / tar)
        (out / SIDECAR).rename(out / "images-abc-000000.parquet")
        sidecar = out / "images-abc-000000.parquet"
        table = pq.read_table(sidecar)
        document = json.dumps({**footer_of(sidecar), "tar_file": tar, "batch_shards": 2**53})
        forge(sidecar, with_column(table, "tar_file", [tar] * len(table)), document)

        damages = arrowimg.verify(out, "quick").damages

        assert len(damages) == 1001
        assert "9,007,199,254,740,992 shards" in damages[0].detail


class TestOthersFiles:
    def test_a_tables_of_rows_is_no_sidecar(self, out: Path) -> None:
        (out / MANIFEST).unlink()
        pl.read_parquet(out / SIDECAR).write_parquet(out / "best.parquet")

        assert arrowimg.scan(out).collect().height == 7
        assert arrowimg.verify(out).notices == ["best.parquet: a Parquet file that is no sidecar"]

    def test_a_shard_whose_tar_is_gone_is_no_shard(
        self, out: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (out / MANIFEST).unlink()
        (out / TAR).unlink()

        assert arrowimg.scan(out).collect().height == 4
        assert "images-000000.parquet: left out" in caplog.text
        assert [(it.file, it.kind) for it in arrowimg.verify(out).damages] == [(TAR, "missing")]

    @EACH_READER
    def test_a_shard_that_is_listed_and_not_there_is_an_error(self, out: Path, reader: str) -> None:
        (out / TAR).unlink()

        with pytest.raises(ManifestError, match="though the manifest lists it"):
            READERS[reader](out)

    @pytest.mark.parametrize("name", ["images-000000.parquet", "manifest.json"])
    def test_overwriting_replaces_no_file_of_others(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        if name == "manifest.json":
            path.write_text('{"name": "an app", "icons": []}')
        else:
            pq.write_table(pa.table({"a": [1]}), path)
        before = path.read_bytes()

        with pytest.raises(arrowimg.errors.DatasetConflictError, match=name):
            arrowimg.write_shards(_other_batch(), tmp_path, if_exists="overwrite")
        assert path.read_bytes() == before

    def test_overwriting_needs_nothing_to_be_there(self, tmp_path: Path) -> None:
        group = arrowimg.write_shards(_other_batch(), tmp_path / "new", if_exists="overwrite")

        assert group.num_images == 2


def _make_socket(path: Path) -> None:
    import socket

    here = Path.cwd()
    os.chdir(path.parent)  # its whole path may be too long for an address
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _other_batch() -> arrowimg.ImageBatch:
    import numpy as np

    return arrowimg.ImageBatch.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), ["x", "y"])


class TestThreads:
    def test_a_writer_of_several_threads_loses_and_doubles_nothing(self, tmp_path: Path) -> None:
        import numpy as np

        pixels, barrier = np.zeros((5, 8, 8, 3), np.uint8), threading.Barrier(4)
        errors: list[BaseException] = []
        with arrowimg.ShardWriter(tmp_path, images_per_tar=7) as writer:

            def write(name: int) -> None:
                barrier.wait()
                for at in range(10):
                    ids = [f"{name}-{at}-{row}" for row in range(5)]
                    try:
                        writer.write(arrowimg.ImageBatch.from_arrays(pixels, ids))
                    except BaseException as error:  # noqa: BLE001
                        errors.append(error)

            threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert errors == []
        ids = arrowimg.scan(tmp_path).collect()["image_id"]
        assert (len(ids), ids.n_unique()) == (200, 200)
        assert arrowimg.verify(tmp_path).is_sound


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.float64(), pa.int64()], ids=str)
def test_a_column_of_another_type_is_found_before_it_is_scanned(
    out: Path, kind: pa.DataType
) -> None:
    table = pq.read_table(out / SIDECAR)
    forge(out / SIDECAR, with_column(table, "caption", [None] * len(table), kind))
    (out / MANIFEST).unlink()

    with pytest.raises(SchemaError, match="caption"):
        arrowimg.scan(out)


@pytest.mark.parametrize(
    "kind",
    [pa.list_view(pa.int64()), pa.run_end_encoded(pa.int32(), pa.string())],
    ids=["views", "runs"],
)
def test_a_type_that_was_never_written_is_found_before_it_is_scanned(
    out: Path, kind: pa.DataType
) -> None:
    forge_stated_type(out / SIDECAR, "caption", kind)
    (out / MANIFEST).unlink()

    with pytest.raises((ManifestError, SchemaError)):
        arrowimg.scan(out).collect()


def test_vectors_that_are_null_take_no_memory(out: Path) -> None:
    table = pq.read_table(out / SIDECAR)
    lists = with_column(table, "caption", [None] * len(table), pa.list_(pa.int8()))
    forge(out / SIDECAR, lists)
    forge_stated_type(out / SIDECAR, "caption", pa.list_(pa.int8(), 300_000_000))
    (out / MANIFEST).unlink()

    for read in (arrowimg.scan, lambda it: list(arrowimg.read_batches(it))):
        with pytest.raises(ManifestError, match="vectors of"):
            read(out)
    assert not arrowimg.verify(out).is_sound


@pytest.mark.parametrize("name", ["offset", "size"])
def test_a_frame_of_lists_where_numbers_should_be_is_an_error(out: Path, name: str) -> None:
    frame = arrowimg.scan(out).collect().with_columns(pl.Series(name, [["a"]] * 7))

    with pytest.raises(SchemaError, match=name):
        arrowimg.fetch_images(frame)


@pytest.mark.parametrize("name", ["image_id", "tar_file", "original_path", "checksum", "error"])
def test_a_long_text_in_a_million_rows_is_refused_packed(out: Path, name: str) -> None:
    # It takes a megabyte as it is, and a terabyte unpacked.
    (out / MANIFEST).unlink()
    forge_packed(out / SIDECAR, name, 2**20, 10**6)

    for reader in ("batches", "reshard", "merge"):
        with pytest.raises(ManifestError, match="texts of"):
            READERS[reader](out)
    rows = arrowimg.scan(out)
    if name == "checksum":
        with pytest.raises(SchemaError, match="checksum"):
            arrowimg.fetch_images(rows)
    else:
        assert arrowimg.fetch_images(rows).height == 10**6 + 4
    kinds = {it.kind for it in arrowimg.verify(out, "quick").damages}
    assert kinds == (set() if name == "original_path" else {"unreadable"})


def test_a_long_path_in_a_frame_is_refused(out: Path) -> None:
    frame = arrowimg.scan(out).collect().with_columns(tar_path=pl.lit("x" * 10_000))

    with pytest.raises(SchemaError, match="tar_path"):
        arrowimg.fetch_images(frame)

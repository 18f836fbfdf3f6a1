"""Readers of a dataset in a bucket: by URL, and with what each takes for options."""

from __future__ import annotations

import contextlib
import importlib
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from reader_data import ALL_EQUAL, Dataset, Sample, as_json, compare, sample_of, write_dataset

import arrowimg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from store_buckets import Bucket
    from store_servers import Servers

pytestmark = pytest.mark.readers(env="readers-stores")
COLUMNS = ["tar_file", "member_name", "offset", "size", "caption", "score"]


class Stored(NamedTuple):
    """A dataset in a bucket, with all indexes that a bucket is of use to.

    Attributes
    ----------
    dataset
        What is to be read; its paths are URLs.
    port
        Of the server.
    told
        Options of object_store, which arrowimg and Polars take.
    bucket
        Seen by boto3.
    """

    dataset: Dataset
    url: str
    port: int
    told: dict[str, str]
    bucket: Bucket

    def for_fsspec(self) -> dict[str, Any]:
        """Return the same as s3fs takes it, always anew: datasets changes it."""
        return {
            "key": "key",
            "secret": "secret",
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "client_kwargs": {"region_name": "us-east-1"},
        }

    def read_index(self, name: str) -> Any:  # noqa: ANN401  # JSON
        return json.loads(self.bucket.objects("out")[name])


@pytest.fixture(scope="module")
def stored(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    server, name = servers.get("moto"), f"b{uuid.uuid4().hex}"
    url, told = server.url(name), server.options()
    with contextlib.closing(server.bucket(name)) as bucket:
        local = write_dataset(tmp_path_factory.mktemp("local"))
        for path in local.folder.iterdir():
            bucket.put(f"out/{path.name}", path.read_bytes())
        arrowimg.export_index(url, ["webdataset", "wids", "fsspec"], storage_options=told)
        dataset = local._replace(
            tars=[f"{url}/{Path(path).name}" for path in local.tars],
            sidecars=[f"{url}/{Path(path).name}" for path in local.sidecars],
        )
        yield Stored(dataset, url, server.port, told, bucket)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Hugging Face keep its cache in the test's own folder, and be silent."""
    import datasets

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    datasets.disable_progress_bars()


def test_webdataset_by_the_urls_of_our_index(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec
    import webdataset

    def open_url(url: str, mode: str = "rb", _: int = 0) -> Any:  # noqa: ANN401  # a file
        return fsspec.open(url, mode, **stored.for_fsspec()).open()

    # The package has a function of the same name.
    schemes = importlib.import_module("webdataset.gopen").gopen_schemes
    monkeypatch.setitem(schemes, "s3", open_url)
    urls = stored.read_index("webdataset.json")["urls"]

    reader = webdataset.WebDataset(urls, shardshuffle=False)

    found = compare(stored.dataset, map(sample_of, reader), "webdataset", "s3:// by fsspec")
    assert found == ALL_EQUAL


def test_wids_is_told_where_each_tar_is(stored: Stored) -> None:
    shards = stored.read_index("wids.json")["shardlist"]

    assert [shard["url"] for shard in shards] == stored.dataset.tars


def samples_in(rows: Any) -> list[Sample]:  # noqa: ANN401  # a dataset, streaming or not
    import datasets

    return [
        Sample(
            row["__key__"],
            {"jpg": row["jpg"]["bytes"], "json": as_json(row["json"]), "txt": row["txt"].encode()},
        )
        for row in rows.cast_column("jpg", datasets.Image(decode=False))
    ]


@pytest.fixture
def block_size_is_dropped() -> Iterator[None]:
    """Drop a word that datasets 5.2 has for the file system as a whole, where s3fs knows none."""
    import fsspec
    import s3fs

    class FileSystem(s3fs.S3FileSystem):  # type: ignore[misc]  # it has no types
        def __init__(self, *arguments: Any, block_size: object = None, **options: Any) -> None:  # noqa: ANN401
            del block_size
            super().__init__(*arguments, **options)

    fsspec.register_implementation("s3", FileSystem, clobber=True)
    yield
    fsspec.register_implementation("s3", s3fs.S3FileSystem, clobber=True)


@pytest.mark.usefixtures("block_size_is_dropped")
@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_the_tars(stored: Stored, streaming: bool) -> None:  # noqa: FBT001  # pytest's
    import datasets

    rows = datasets.load_dataset(
        "webdataset",
        data_files=f"{stored.url}/images-*.tar",
        split="train",
        streaming=streaming,
        storage_options=stored.for_fsspec(),
    )

    how = "webdataset, s3://" + ", streaming" * streaming
    assert compare(stored.dataset, samples_in(rows), "datasets", how) == ALL_EQUAL


def test_datasets_streams_the_sidecars(stored: Stored) -> None:
    import datasets

    rows = datasets.load_dataset(
        "parquet",
        data_files=f"{stored.url}/images-*.parquet",
        split="train",
        streaming=True,
        storage_options=stored.for_fsspec(),
    ).cast_column("image_data", datasets.Image(decode=False))

    found = [
        Sample(
            row["member_name"].removesuffix(".jpg"),
            {
                "jpg": row["image_data"]["bytes"],
                "json": as_json({"caption": row["caption"], "score": row["score"]}),
                "txt": row["caption"].encode(),
            },
        )
        for row in rows
    ]

    assert compare(stored.dataset, found, "datasets", "parquet, s3://, streaming") == ALL_EQUAL


def samples_at(stored: Stored, rows: Iterable[tuple[Any, ...]]) -> list[Sample]:
    """Read the picture of each row out of its tar, at its offset, by fsspec."""
    import fsspec

    files = fsspec.filesystem("s3", **stored.for_fsspec())
    samples = []
    for tar_file, member_name, offset, size, caption, score in rows:
        jpeg = files.cat_file(f"{stored.url}/{tar_file}", start=offset, end=offset + size)
        json_bytes = as_json({"caption": caption, "score": score})
        members = {"jpg": jpeg, "json": json_bytes, "txt": caption.encode()}
        samples.append(Sample(member_name.removesuffix(".jpg"), members))
    return samples


def test_polars(stored: Stored) -> None:
    import polars as pl

    frame = pl.scan_parquet(f"{stored.url}/*.parquet", storage_options=stored.told)
    rows = frame.select(COLUMNS).collect().rows()

    assert compare(stored.dataset, samples_at(stored, rows), "polars", "s3://") == ALL_EQUAL


def test_duckdb(stored: Stored) -> None:
    import duckdb
    import duckdb_extension_httpfs

    folder = Path(duckdb_extension_httpfs.__path__[0])
    (extension,) = folder.rglob("httpfs.duckdb_extension")
    with duckdb.connect() as connection:
        connection.load_extension(str(extension))
        connection.sql(
            "CREATE SECRET (TYPE s3, KEY_ID 'key', SECRET 'secret', REGION 'us-east-1', "
            f"ENDPOINT '127.0.0.1:{stored.port}', URL_STYLE 'path', USE_SSL false)"
        )
        sidecars = connection.read_parquet(f"{stored.url}/*.parquet")
        rows = sidecars.select(*COLUMNS).fetchall()

    assert compare(stored.dataset, samples_at(stored, rows), "duckdb", "s3://") == ALL_EQUAL


def test_fsspec_by_our_references(stored: Stored) -> None:
    import fsspec
    from fsspec.implementations.dirfs import DirFileSystem

    bucket = fsspec.filesystem("s3", asynchronous=False, **stored.for_fsspec())
    files = fsspec.filesystem(
        "reference",
        fo=stored.read_index("fsspec.json"),
        fs=DirFileSystem(stored.url.removeprefix("s3://"), bucket),
    )

    found = [
        Sample(it.key, {name: files.cat_file(f"{it.key}.{name}") for name in it.members})
        for it in stored.dataset.samples
    ]

    assert compare(stored.dataset, found, "fsspec", "our references, s3://") == ALL_EQUAL

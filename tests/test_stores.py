"""Every operation on every kind of object store that runs here: the same as on a folder."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import polars as pl
import polars.testing
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import arrowimg
from arrowimg._cli.main import main
from arrowimg._dataset.inspect import inspect_dataset
from arrowimg._storage import open as storage_open
from arrowimg._storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store_buckets import Bucket
    from store_servers import Kind, Servers

    from arrowimg._storage.memory import Contents


class Place(NamedTuple):
    """Where datasets are, what clients are told of it, and the bucket as another client sees it."""

    url: str
    told: dict[str, str] | None
    bucket: Bucket | MemoryBucket | None = None


KINDS = [
    "memory",
    "moto",
    *(pytest.param(it, marks=pytest.mark.stores) for it in ("seaweedfs", "azurite", "gcs")),
]
NUM_ROWS = 50


def rows() -> pa.Table:
    """Return pictures of noise with ids and two columns of metadata, one picture missing."""
    rng = np.random.default_rng(17)
    pixels = rng.integers(0, 256, (NUM_ROWS, 16, 16, 3), dtype=np.uint8)
    stored = arrowimg.ImageWriterStage("unused")._encode_image_to_bytes
    pictures = [stored(it)[0] for it in pixels]
    return pa.table(
        {
            "image_id": [f"id {it}" for it in range(NUM_ROWS)],
            "image_data": [*pictures[:-1], None],
            "score": np.arange(NUM_ROWS) / NUM_ROWS,
            "caption": [f"picture {it}" for it in range(NUM_ROWS)],
        }
    )


class MemoryBucket:
    """What is in the memory of this process, below ``memory://operations``."""

    def __init__(self) -> None:
        self.contents: Contents = {}

    def open(self, place: str, told: object, argument: str) -> MemoryStorage:
        """Return the storage of a place, as the constructor of storages does."""
        del argument
        assert told is None
        return MemoryStorage(place.rstrip("/"), self.contents)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Return the bytes of all objects below a prefix, by the rest of their keys."""
        start = f"memory://operations/{prefix}"
        found = {path: data for path, (data, _) in self.contents.items() if path.startswith(start)}
        return {path.removeprefix(start): data for path, data in found.items()}


@contextlib.contextmanager
def memory_place() -> Iterator[Place]:
    """Yield a place in memory, which takes the way of the stores through the whole package."""
    bucket = MemoryBucket()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage_open, "URL_SCHEMES", (*storage_open.URL_SCHEMES, "memory"))
        patch.setattr(storage_open, "_open_store", bucket.open)
        yield Place("memory://operations/out", None, bucket)


@pytest.fixture(scope="module", params=KINDS)
def store(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Place]:
    """Return a place in a store, and what clients of the store are told."""
    if request.param == "memory":
        with memory_place() as place:
            yield place
        return
    kind: Kind = request.param
    server = servers.get(kind)
    with contextlib.ExitStack() as stack:
        bucket = stack.enter_context(contextlib.closing(server.bucket("operations")))
        port = stack.enter_context(server.proxy()).port if kind == "gcs" else server.port
        yield Place(server.url("operations", uuid.uuid4().hex), server.options(port), bucket)


@pytest.fixture(scope="module")
def folder(store: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a folder for each store."""
    del store
    return Place(str(tmp_path_factory.mktemp("folder")), None)


def write(place: Place, name: str = "out", **options: Any) -> arrowimg.FileGroupTask:  # noqa: ANN401  # as the function has it
    url, told, _ = place
    chosen: dict[str, Any] = {"images_per_tar": 20, "on_error": "quarantine"}
    chosen |= {"members": {"txt": "caption"}} | options
    return arrowimg.write_shards(rows(), f"{url}/{name}", storage_options=told, **chosen)


@pytest.fixture(scope="module")
def both(store: Place, folder: Place) -> tuple[Place, Place]:
    """Return a store and a folder that hold the same dataset."""
    for place in (store, folder):
        write(place)
    return store, folder


def content(place: Place, name: str) -> dict[str, bytes]:
    """Return the files of a dataset, by another client."""
    if place.bucket is None:
        folder = Path(place.url) / name
        return {it.name: it.read_bytes() for it in folder.iterdir() if it.is_file()}
    prefix = place.url.partition("://operations/")[2]
    return place.bucket.objects(f"{prefix}/{name}/")


def test_writing_gives_the_same_files(both: tuple[Place, Place]) -> None:
    on_store, on_disk = (content(it, "out") for it in both)

    assert on_store == on_disk
    assert len(on_disk) == 7


def test_writing_again_changes_nothing(both: tuple[Place, Place]) -> None:
    for if_exists in ("verify", "skip"):
        counts = [write(it, if_exists=if_exists).metadata["num_unchanged"] for it in both]
        assert counts == [3, 3]
    for place in both:
        with pytest.raises(arrowimg.errors.DatasetConflictError):
            write(place, if_exists="error")
        with pytest.raises(arrowimg.errors.DatasetConflictError):
            write(place, images_per_tar=7)


def test_overwriting_gives_the_same_files(both: tuple[Place, Place]) -> None:
    for place in both:
        write(place, "overwritten", images_per_tar=7)
        write(place, "overwritten", images_per_tar=30, if_exists="overwrite")

    assert content(both[0], "overwritten") == content(both[1], "overwritten")


def scanned(place: Place) -> pl.LazyFrame:
    url, told, _ = place
    return arrowimg.scan(f"{url}/out", storage_options=told)


def test_scanning_and_fetching_give_the_same_rows(both: tuple[Place, Place]) -> None:
    frames = [
        arrowimg.fetch_images(
            scanned(place).filter(pl.col("score") > 0.5).sort("score", descending=True),
            storage_options=place[1],
        )
        for place in both
    ]
    names = [name.rpartition("/")[2] for name in frames[0]["tar_path"].drop_nulls()]

    pl.testing.assert_frame_equal(*(it.drop("tar_path") for it in frames))
    assert len(frames[0]) == 24
    assert set(names) == {"images-000001.tar", "images-000002.tar"}


def test_reading_batches_gives_the_same_batches(both: tuple[Place, Place]) -> None:
    read = [
        [batch.data for batch in arrowimg.read_batches(f"{url}/out", 15, storage_options=told)]
        for url, told, _ in both
    ]

    assert read[0] == read[1]
    assert sum(map(len, read[0])) == NUM_ROWS


@pytest.mark.parametrize("depth", ["quick", "checksums", "decode"])
def test_verifying_finds_it_sound(
    both: tuple[Place, Place], depth: Literal["quick", "checksums", "decode"]
) -> None:
    reports = [arrowimg.verify(f"{url}/out", depth, storage_options=told) for url, told, _ in both]

    assert [(it.is_sound, it.num_shards, it.num_rows) for it in reports] == [(True, 3, 50)] * 2


def test_looking_inside_shows_the_same(both: tuple[Place, Place]) -> None:
    found = [inspect_dataset(f"{url}/out", storage_options=told) for url, told, _ in both]

    assert found[0].shards == found[1].shards
    assert found[0].first_rows == found[1].first_rows
    assert found[0].error_codes == found[1].error_codes == {"missing": 1}


def test_the_page_shows_the_same(both: tuple[Place, Place]) -> None:
    pages = [
        arrowimg.view(f"{url}/out", f"{url}/pages/page.html", storage_options=told)
        for url, told, _ in both
    ]
    shown = [page.html.replace(place.url, "") for page, place in zip(pages, both, strict=True)]
    written = [content(place, "pages")["page.html"].decode() for place in both]
    against = arrowimg.view(
        f"{both[0].url}/out", against=f"{both[1].url}/out", storage_options=both[0].told
    )
    grids = [arrowimg.show(scanned(it).head(3), storage_options=it.told).html for it in both]

    assert shown[0] == shown[1]
    assert written == [page.html for page in pages]
    assert "Pictures of the same id whose bytes differ: 0 of 50" in against.html
    assert grids[0] == grids[1]


def test_copies_from_anywhere_to_anywhere_are_the_same(both: tuple[Place, Place]) -> None:
    for number, (source, target) in enumerate((a, b) for a in both for b in both):
        told = source[1] or target[1]
        arrowimg.reshard(
            f"{source[0]}/out",
            f"{target[0]}/copy{number}",
            "score > 0.3",
            7,
            shuffle_seed=1,
            storage_options=told,
        )
        arrowimg.merge([f"{source[0]}/out"], f"{target[0]}/merged{number}", storage_options=told)

    copies = [content(both[it % 2], f"copy{it}") for it in range(4)]
    merged = [content(both[it % 2], f"merged{it}") for it in range(4)]
    assert copies[0] == copies[1] == copies[2] == copies[3]
    assert merged[0] == merged[1] == merged[2] == merged[3]
    assert len(copies[0]) == 11


def test_indexes_are_the_same(both: tuple[Place, Place]) -> None:
    formats: Any = ["webdataset", "wids", "dali", "hf", "fsspec", "sizes"]
    for url, told, _ in both:
        arrowimg.export_index(f"{url}/out", formats, storage_options=told)

    found = [content(it, "out") for it in both]
    for (url, told, _), files in zip(both, found, strict=True):
        for name in ("webdataset.json", "wids.json"):
            # Who reads a folder runs in it, as in memory; of a store, there are only URLs.
            in_front = f"{url}/out/".encode()
            assert (in_front in files[name]) == (told is not None)
            files[name] = files[name].replace(in_front, b"")
    assert found[0] == found[1]


def test_stages_and_their_manifest_give_the_same_files(both: tuple[Place, Place]) -> None:
    for url, told, _ in both:
        stage = arrowimg.ImageWriterStage(
            f"{url}/staged", 20, on_error="quarantine", storage_options=told
        )
        group = stage.process(arrowimg.ImageBatch(rows()))
        again = stage.process(arrowimg.ImageBatch(rows()))
        arrowimg.publish_manifest(
            f"{url}/staged", [group], options=stage.options, num_rows=50, storage_options=told
        )
        assert again.metadata["num_unchanged"] == 3
        assert arrowimg.verify(f"{url}/staged", storage_options=told).is_sound

    assert content(both[0], "staged") == content(both[1], "staged")


def test_garbage_is_found_by_the_clock_of_the_store(both: tuple[Place, Place]) -> None:
    for url, told, _ in both:
        stage = arrowimg.ImageWriterStage(f"{url}/garbage", storage_options=told)
        stage._write_tar("images-000007", [("a.jpg", b"x")])
        young = arrowimg.collect_garbage(f"{url}/garbage", 1, storage_options=told)
        old = arrowimg.collect_garbage(f"{url}/garbage", 0, storage_options=told)

        assert young == []
        assert [it.name for it in old] == ["images-000007.tar"]


def test_each_command_takes_options_of_a_store(
    store: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, options, _ = store
    told = [f"--storage-option={key}={value}" for key, value in (options or {}).items()]
    picture = rows()["image_data"][0].as_py()
    (tmp_path / "a.jpg").write_bytes(picture)

    for words in (
        ["write", str(tmp_path), f"{url}/commands"],
        ["inspect", f"{url}/commands"],
        ["verify", f"{url}/commands"],
        ["index", f"{url}/commands"],
        ["reshard", f"{url}/commands", f"{url}/commands-copy"],
        ["merge", f"{url}/commands", f"{url}/commands-merged"],
        ["gc", f"{url}/commands"],
    ):
        assert main([*words, *told]) == 0
    out = capsys.readouterr()
    assert "secret" not in out.out + out.err


def test_sources_in_a_store_give_the_same_as_those_in_a_folder(
    store: Place, tmp_path: Path
) -> None:
    if isinstance(store.bucket, MemoryBucket):
        pytest.skip("no library reads sources out of our memory")
    assert store.bucket is not None
    prefix = f"{store.url.partition('://operations/')[2]}/sources"
    pictures = rows()["image_data"].drop_null().to_pylist()[:9]
    for number, picture in enumerate(pictures):
        path = tmp_path / "pictures" / f"folder{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        store.bucket.put(f"{prefix}/pictures/folder{number % 2}/{number}.jpg", picture)
    pq.write_table(rows().slice(0, 20), tmp_path / "a.parquet")
    pq.write_table(rows().slice(20, 20), tmp_path / "b.parquet")
    for name in ("a.parquet", "b.parquet"):
        store.bucket.put(f"{prefix}/{name}", (tmp_path / name).read_bytes())

    for name, source in (
        ("pictures", tmp_path / "pictures"),
        ("a.parquet", tmp_path / "a.parquet"),
        ("*.parquet", [tmp_path / "a.parquet", tmp_path / "b.parquet"]),
    ):
        url = f"{store.url}/sources/{name}"
        arrowimg.write_shards(url, tmp_path / f"of-{name}", storage_options=store.told)
        arrowimg.write_shards(source, tmp_path / f"here-{name}")
        found, expected = (
            pl.read_parquet(tmp_path / f"{it}-{name}/images-*.parquet").drop("original_path")
            for it in ("of", "here")
        )
        pl.testing.assert_frame_equal(found, expected)
    with pytest.raises(arrowimg.errors.SourceError, match="none among 0 files"):
        arrowimg.write_shards(f"{store.url}/nothing", tmp_path / "x", storage_options=store.told)


def test_captions_and_metadata_in_a_store_are_read(store: Place, tmp_path: Path) -> None:
    if isinstance(store.bucket, MemoryBucket):
        pytest.skip("no library reads sources out of our memory")
    assert store.bucket is not None
    prefix = f"{store.url.partition('://operations/')[2]}/beside"
    picture = rows()["image_data"].drop_null()[0].as_py()
    for name in ("cat/01.jpg", "dog/02.jpg"):
        store.bucket.put(f"{prefix}/{name}", picture)
    store.bucket.put(f"{prefix}/dog/02.txt", b"a dog\n")
    store.bucket.put(f"{prefix}/metadata.csv", b"file_name,n\ndog/02.jpg,2\ncat/01.jpg,1\n")
    url = f"{store.url}/beside"

    for number, metadata in enumerate((url, f"{url}/metadata.csv")):
        group = arrowimg.write_shards(
            url,
            tmp_path / str(number),
            metadata=metadata,
            captions="txt",
            labels="folder",
            storage_options=store.told,
        )

        frame = arrowimg.scan(tmp_path / str(number)).select("label", "caption", "n").collect()
        assert frame.rows() == [("cat", None, 1), ("dog", "a dog", 2)]
        assert group.metadata["passed_over"] == {"suffix .csv": 1}

"""Ray Data writes to an object store what it writes to a folder, and tells nobody how it got in."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pytest
from folders import content
from ray_nodes import find, run_on_two_nodes
from writer_data import dataset, in_batches

import arrowimg
from arrowimg import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store_buckets import Bucket
    from store_servers import Servers

pytestmark = [pytest.mark.ray]

SECRET = "not-to-be-shown-5f0c"  # noqa: S105  # of a server that does not ask


class Place(NamedTuple):
    """A bucket of its own, and how one gets into it."""

    name: str
    url: str
    options: dict[str, str]
    bucket: Bucket


@pytest.fixture
def place(servers: Servers) -> Iterator[Place]:
    server, name = servers.get("moto"), f"b{uuid.uuid4().hex}"
    with contextlib.closing(server.bucket(name)) as bucket:
        options = server.options() | {"aws_secret_access_key": SECRET}
        yield Place(name, server.url(name), options, bucket)


def blocks(table: pa.Table, rows: int) -> Any:  # noqa: ANN401  # Ray's dataset
    import ray.data

    return ray.data.from_arrow(list(in_batches(table, rows)))


def write_by_batches(images: Any, out: Any, **options: Any) -> None:  # noqa: ANN401
    files = images.map_batches(
        arrowimg.ray.write_batch, fn_kwargs={"output_dir": out, **options}, batch_format="pyarrow"
    )
    arrowimg.ray.publish_manifest(files, out, **options)


def write_by_actors(images: Any, out: Any, **options: Any) -> None:  # noqa: ANN401
    import ray.data

    files = images.map_batches(
        arrowimg.ray.BatchWriter,
        fn_constructor_kwargs={"output_dir": out, **options},
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    arrowimg.ray.publish_manifest(files, out, **options)


def write_by_sink(images: Any, out: Any, **options: Any) -> None:  # noqa: ANN401
    images.write_datasink(arrowimg.ray.ShardSink(out, **options))


def write_full(images: Any, out: Any, **options: Any) -> None:  # noqa: ANN401
    arrowimg.ray.write_shards(images, out, **options)


@pytest.mark.usefixtures("cluster")
class TestOnOneNode:
    @pytest.mark.parametrize(
        "write", [write_by_batches, write_by_actors, write_by_sink, write_full]
    )
    def test_a_bucket_gets_the_files_that_a_folder_gets(
        self, tmp_path: Path, place: Place, write: Callable[..., None]
    ) -> None:
        images = blocks(dataset(60), 20)
        write(images, tmp_path / "out", images_per_tar=9)

        write(images, place.url, images_per_tar=9, storage_options=place.options)

        assert place.bucket.objects("out") == content(tmp_path / "out")
        assert len(place.bucket.objects("out")) > 6

    @pytest.mark.parametrize("write", [write_by_batches, write_by_sink, write_full])
    def test_a_store_may_stand_for_its_url(self, place: Place, write: Callable[..., None]) -> None:
        from obstore.store import S3Store

        told: Any = dict(place.options)
        client: Any = {"allow_http": told.pop("allow_http")}
        store = S3Store(place.name, prefix="ready", config=told, client_options=client)

        write(blocks(dataset(30), 15), store, images_per_tar=9)

        assert arrowimg.verify(store).is_sound
        assert len(find(place.bucket, "ready").ids) == 30

    @pytest.mark.parametrize("write", [write_by_batches, write_by_sink, write_full])
    def test_an_id_in_two_blocks_is_refused(
        self, place: Place, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import ray.data

        from arrowimg.ray import _full_shards

        monkeypatch.setattr(_full_shards, "ROWS_PER_SPOOL", 20)
        table = dataset(40)
        again = pa.concat_tables([table.slice(20, 19), table.slice(3, 1)])
        images = ray.data.from_arrow([table.slice(0, 20), again])

        with pytest.raises(errors.DuplicateIdError, match="'id003'"):
            write(images, place.url, images_per_tar=8, storage_options=place.options)

        assert "manifest.json" not in place.bucket.objects("out")


@pytest.mark.usefixtures("cluster")
class TestSpools:
    def test_they_are_apart_where_that_is_asked_for_and_go_in_the_end(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from arrowimg.ray import _full_shards

        seen = list[str]()
        join = _full_shards._join

        def look_first(*arguments: Any) -> Any:  # noqa: ANN401  # passed on
            seen.extend(place.bucket.objects())
            return join(*arguments)

        monkeypatch.setattr(_full_shards, "ROWS_PER_SPOOL", 30)
        monkeypatch.setattr(_full_shards, "_join", look_first)
        scratch = f"s3://{place.name}/scratch"

        arrowimg.ray.write_shards(
            blocks(dataset(60), 30),
            place.url,
            25,
            storage_options=place.options,
            scratch=scratch,
        )

        assert len(seen) == 2
        assert all(key.startswith("scratch/.arrowimg-spools-") for key in seen)
        assert place.bucket.objects("scratch") == {}
        assert len(place.bucket.objects("out")) == 7

    def test_options_of_no_store_and_a_place_that_is_none_are_refused(
        self, tmp_path: Path, place: Place
    ) -> None:
        with pytest.raises(errors.OptionError, match="storage_options"):
            write_full(blocks(dataset(20), 10), tmp_path / "out", storage_options=place.options)
        with pytest.raises(errors.OptionError, match="scratch"):
            write_full(blocks(dataset(20), 10), tmp_path / "out", scratch="ftp://elsewhere/a")

    def test_a_job_that_failed_says_where_they_are_and_goes_on_from_there(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from arrowimg.ray import _full_shards

        def fail(*_: object) -> None:
            raise errors.StorageError(place.url, "gone", 5, None, None)

        images = blocks(dataset(60), 30)
        monkeypatch.setattr(_full_shards, "ROWS_PER_SPOOL", 30)
        with monkeypatch.context() as patch:
            patch.setattr(_full_shards, "_join", fail)
            with pytest.raises(errors.StorageError) as failure:
                write_full(images, place.url, storage_options=place.options)
        spools = place.bucket.objects("out/.arrowimg-spools")
        write_full(images, place.url, storage_options=place.options, if_exists="skip")

        (note,) = failure.value.__notes__
        assert f"{place.url}/.arrowimg-spools" in note
        assert SECRET not in note
        assert len(spools) == 2
        assert set(place.bucket.objects("out")) == {
            "images-000000.tar",
            "images-000000.parquet",
            "manifest.json",
        }


@pytest.mark.usefixtures("cluster")
def test_nobody_is_shown_the_credentials(place: Place) -> None:
    images = blocks(dataset(20), 10)
    told: dict[str, Any] = {"output_dir": place.url, "storage_options": place.options}

    files = images.map_batches(arrowimg.ray.write_batch, fn_kwargs=told, batch_format="pyarrow")
    sink, writer = arrowimg.ray.ShardSink(**told), arrowimg.ray.BatchWriter(**told)
    files.materialize()

    shown = [repr(files), str(files), files.stats(), repr(sink), sink.get_name(), repr(writer)]
    shown += [repr(vars(sink)), repr(vars(writer))]
    assert [text for text in shown if SECRET in text] == []


@pytest.mark.timeout(600)
class TestOnTwoNodes:
    def test_workers_and_a_node_die_and_each_row_is_there_once(
        self, tmp_path: Path, place: Place
    ) -> None:
        folder = tmp_path / "nodes"
        folder.mkdir()
        arrowimg.write_shards(dataset(75), tmp_path / "library", 30)
        job = {"way": "full", "url": place.url, "options": place.options, "folder": str(folder)}

        outcome = run_on_two_nodes({**job, "scratch": None, "num_blocks": 3, "loses_node": True})

        assert place.bucket.objects("out") == content(tmp_path / "library")
        assert (outcome.num_deaths, outcome.num_nodes_lost) == (3 * 3 + 3 * 3, 1)
        assert outcome.folders == [str(folder / "first"), str(folder / "second")]
        assert outcome.local_files == []
        assert outcome.logs_with_secrets == []
        report = arrowimg.verify(place.url, storage_options=place.options)
        assert (report.is_sound, report.notices, report.num_rows) == (True, [], 75)

"""Where a connection works, and what its errors say."""

from __future__ import annotations

import gc
import multiprocessing
import uuid
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Literal

import pytest
from storage_data import PAIR, commit, files_in, put

import arrowimg
from arrowimg._storage.object_store.storage import ObjectStorage
from arrowimg._storage.open import open_storage
from arrowimg.errors import ForkedProcessError, StorageError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from store_servers import Server, Servers

    from arrowimg._storage.base import Storage


@pytest.fixture(scope="module")
def server(servers: Servers) -> Server:
    made = servers.get("moto")
    made.bucket("connections").close()
    return made


@pytest.fixture
def storage(server: Server) -> Storage:
    return open_storage(server.url("connections", uuid.uuid4().hex), server.options())


def _names(storage: Storage, answers: Connection) -> None:
    try:
        answers.send(storage.names())
    except ForkedProcessError as error:
        answers.send(str(error))


def names_in_a_child(storage: Storage, start: Literal["fork", "spawn"]) -> object:
    here, there = multiprocessing.Pipe()
    context: Any = multiprocessing.get_context(start)
    child = context.Process(target=_names, args=(storage, there))
    with warnings.catch_warnings():
        # From Python 3.12 on: that this process has threads, which is what the test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    assert here.poll(60)
    child.join()
    return here.recv()


def test_a_child_that_was_forked_after_a_request_says_so_and_does_not_hang(
    storage: Storage,
) -> None:
    put(storage, "a.tar", b"data")

    assert "was forked after" in str(names_in_a_child(storage, "fork"))
    assert storage.names() == ["a.tar"]


def test_a_child_that_was_spawned_works(storage: Storage) -> None:
    put(storage, "a.tar", b"data")

    assert names_in_a_child(storage, "spawn") == ["a.tar"]


def test_a_bucket_that_is_not_there_is_a_storage_error(server: Server) -> None:
    storage = open_storage(server.url("no-such-bucket"), server.options())

    with pytest.raises(StorageError, match="NoSuchBucket"):
        commit(storage, PAIR)
    with pytest.raises(StorageError, match="NoSuchBucket"):
        storage.names()
    with pytest.raises(FileNotFoundError):
        storage.stat("a.tar")


def test_a_file_without_a_mark_is_read_and_hashed(server: Server, storage: Storage) -> None:
    key = storage.path_of("a.tar").removeprefix("s3://connections/")
    commit(storage, PAIR)
    marked = storage.describe("a.tar", "xxh3_128")
    server.bucket("connections").put(key, PAIR["a.tar"])

    assert storage.describe("a.tar", "xxh3_128") == marked
    assert commit(storage, PAIR).unchanged


def test_files_of_a_dataset_outlive_the_objects_of_its_writer(storage: Storage) -> None:
    commit(storage, PAIR)

    assert files_in(open_storage(storage.path_of(""), storage.polars_options())) == PAIR


def test_without_credentials_the_error_says_so() -> None:
    from arrowimg._storage.object_store.connection import said

    tried = "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token"

    assert said(ValueError(tried)).startswith("no credentials were found in storage_options")
    assert said(ValueError("Generic S3 error: 500")) == "Generic S3 error: 500"


def test_a_store_that_fails_is_not_a_manifest_that_is_wrong(server: Server) -> None:
    with pytest.raises(StorageError, match="NoSuchBucket"):
        arrowimg.scan(server.url("no-such-bucket"), storage_options=server.options())


def test_nothing_of_a_connection_is_kept_when_its_writer_is_gone(storage: Storage) -> None:
    again = open_storage(storage.path_of(""), storage.polars_options())
    assert isinstance(again, ObjectStorage)
    commit(again, PAIR)
    connection = weakref.ref(again.connection)
    del again
    gc.collect()

    assert connection() is None


def test_verify_says_of_a_store_what_it_says_of_a_folder(server: Server) -> None:
    with pytest.raises(arrowimg.errors.ManifestError, match="found neither"):
        arrowimg.verify(server.url("connections", "empty"), storage_options=server.options())


def test_all_that_is_needed_may_be_in_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {key.removeprefix("aws_"): value for key, value in server.options().items()}
    for key, value in options.items():
        monkeypatch.setenv(f"AWS_{key.upper()}", str(value))

    storage = open_storage(server.url("connections", uuid.uuid4().hex))

    assert storage.names() == []

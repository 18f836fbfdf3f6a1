"""How a store is spoken to: which requests, and what a lost reply or a lying store comes to."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from fault_proxy import FaultProxy, Rule
from storage_data import PAIR, commit, files_in
from store_servers import free_ports

import arrowimg
from arrowimg._storage.object_store import commit as commits
from arrowimg._storage.open import open_storage
from arrowimg.errors import OptionError, ShardConflictError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fault_proxy import Message
    from store_servers import Server, Servers

    from arrowimg._storage.base import IfExists, Storage


@pytest.fixture(scope="module")
def server(servers: Servers) -> Server:
    made = servers.get("moto")
    made.bucket("commits").close()
    return made


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with server.proxy() as made:
        yield made


def place(server: Server, proxy: FaultProxy) -> Storage:
    url = server.url("commits", uuid.uuid4().hex)
    return open_storage(url, server.options(proxy.port))


class TestRequests:
    def test_a_pair_of_files_is_one_look_and_two_that_create(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        storage = place(server, proxy)
        commit(storage, {"first.json": b"{}"})

        with proxy.injecting() as log:
            commit(storage, PAIR)

        assert [(it.method, it.target.rpartition("/")[2]) for it in log] == [
            ("HEAD", "a.parquet"),
            ("PUT", "a.tar"),
            ("PUT", "a.parquet"),
        ]

    def test_a_store_is_asked_once_whether_it_replaces(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        storage = place(server, proxy)

        with proxy.injecting() as log:
            commit(storage, {"one.json": b"{}"})
            commit(storage, {"other.json": b"{}"})

        methods = [it.method for it in log]
        # Of several files at once, though it is one, obstore asks S3 by POST.
        assert methods == ["PUT", "PUT", "HEAD", "POST", *["HEAD", "PUT"] * 2]

    def test_a_store_is_asked_once_by_those_who_begin_together(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        storage = place(server, proxy)

        with proxy.injecting() as log, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda at: commit(storage, {f"{at}.json": b"{}"}), range(4)))

        # Two to create one name, and one for each of the files.
        assert [it.method for it in log].count("PUT") == 2 + 4

    def test_the_mark_is_sent_with_the_bytes(self, server: Server, proxy: FaultProxy) -> None:
        storage = place(server, proxy)
        committed = commit(storage, PAIR).files[0]
        key = storage.path_of("a.tar").removeprefix("s3://commits/")

        mark = server.bucket("commits").metadata(key)["arrowimg"]

        assert mark.split(":")[:2] == ["xxh3_128", committed.checksum]

    def test_a_dataset_costs_what_the_documentation_says(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        options = server.options(proxy.port)
        url = server.url("commits", uuid.uuid4().hex)
        ids = [str(it) for it in range(30)]
        table = pa.table({"image_id": ids, "image_data": [GRAY] * 30})

        with proxy.injecting() as log:
            arrowimg.write_shards(table, url, images_per_tar=10, storage_options=options)

        of_shards = [it.method for it in log if "images-" in it.target and "list" not in it.target]
        assert sorted(of_shards[:9]) == sorted(["HEAD", "PUT", "PUT"] * 3)


GRAY = (
    b"BM\x3e\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x01\x00"
    b"\x00\x00\x01\x00\x18\x00\x00\x00\x00\x00\x04\x00\x00\x00" + bytes(16) + b"\x80\x80\x80\x00"
)
"""A BMP of one gray pixel."""


class TestReplies:
    @pytest.mark.parametrize("name", ["a.tar", "a.parquet"])
    def test_one_that_is_lost_is_found_out_by_a_look(
        self, server: Server, proxy: FaultProxy, name: str
    ) -> None:
        storage = place(server, proxy)
        commit(storage, {"first.json": b"{}"})

        with proxy.injecting(Rule(kind="drop_reply", method="PUT", target=name)) as log:
            done = commit(storage, PAIR, "error")

        assert not done.unchanged
        assert [it.method for it in log if it.target.endswith(name)][-2:] == ["PUT", "HEAD"]
        assert files_in(storage).items() >= PAIR.items()

    def test_a_collision_where_nothing_is_there_is_tried_again(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        storage = place(server, proxy)
        commit(storage, {"first.json": b"{}"})
        code = "ConditionalRequestConflict"
        rule = Rule(kind="status", method="PUT", target=r"a\.tar", status=409, code=code)

        with proxy.injecting(rule):
            done = commit(storage, PAIR, "error")

        assert not done.unchanged
        assert files_in(storage).items() >= PAIR.items()

    def test_a_refusal_is_final_and_says_what_the_store_said(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        storage = place(server, proxy)
        commit(storage, {"first.json": b"{}"})
        rule = Rule(kind="status", method="PUT", times=99, status=403, code="AccessDenied")

        with proxy.injecting(rule) as log, pytest.raises(StorageError, match="AccessDenied"):
            commit(storage, PAIR)

        assert [it.method for it in log].count("PUT") == 1

    def test_one_that_never_comes_ends_the_commit(
        self, server: Server, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(commits, "_TRIES", 2)
        storage = place(server, proxy)
        commit(storage, {"first.json": b"{}"})
        rule = Rule(kind="reset_request", method="PUT", times=99)

        with proxy.injecting(rule), pytest.raises(StorageError, match="error sending request"):
            commit(storage, PAIR)


def test_a_store_that_replaces_what_is_there_is_refused(server: Server) -> None:
    def lie(request: Message) -> Message:
        return request.without("If-None-Match")

    with FaultProxy(server.port, lie) as proxy:
        storage = place(server, proxy)
        with pytest.raises(StorageError, match="replaced a file that was there"):
            commit(storage, PAIR)

    assert files_in(place_of(server, storage)) == {}


def place_of(server: Server, storage: Storage) -> Storage:
    """Return the same place, with no proxy before it."""
    return open_storage(storage.path_of(""), server.options())


class TestTwins:
    @pytest.mark.parametrize("if_exists", ["verify", "skip", "overwrite"])
    def test_data_of_the_same_bytes_is_adopted_and_put_again_where_it_went(
        self, server: Server, proxy: FaultProxy, if_exists: IfExists
    ) -> None:
        storage = place(server, proxy)
        commit(storage, {"a.tar": PAIR["a.tar"]})
        bucket = server.bucket("commits")
        key = storage.path_of("a.tar").removeprefix("s3://commits/")
        collect = Rule(
            kind="call_before", method="PUT", target="a.parquet", call=lambda: bucket.delete(key)
        )

        with proxy.injecting(collect):
            commit(storage, PAIR, if_exists)

        assert collect.hits == 1
        assert files_in(storage) == PAIR

    def test_overwriting_never_leaves_the_record_of_one_with_the_data_of_another(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        storage = place(server, proxy)
        commit(storage, {"a.tar": b"old", "a.parquet": b"old"})
        other = dict.fromkeys(PAIR, b"of another")

        def overtake() -> None:
            commit(place_of(server, storage), other, "overwrite")

        rule = Rule(kind="call_before", method="PUT", target="a.parquet", call=overtake)
        with proxy.injecting(rule):
            try:
                commit(storage, PAIR, "overwrite")
            except ShardConflictError:
                assert "a.parquet" not in files_in(storage) or files_in(storage) == other
            else:
                assert files_in(storage) in (PAIR, other)

    def test_an_orphan_of_other_bytes_is_a_conflict_that_names_the_way_out(
        self, server: Server, proxy: FaultProxy
    ) -> None:
        storage = place(server, proxy)
        commit(storage, {"a.tar": b"of a writer that died"})

        with pytest.raises(ShardConflictError, match="arrowimg gc --older-than"):
            commit(storage, PAIR)
        commit(storage, PAIR, "overwrite")

        assert files_in(storage) == PAIR


def test_a_file_that_one_request_cannot_carry_is_refused_before_any(
    server: Server, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = place(server, proxy)
    commit(storage, {"first.json": b"{}"})
    monkeypatch.setattr(type(storage.connection), "most_nbytes", 2000)  # type: ignore[attr-defined]

    with proxy.injecting() as log, pytest.raises(OptionError, match="max_bytes_per_tar"):
        commit(storage, PAIR)

    assert log == []


def test_tars_that_no_request_carries_are_refused_before_a_picture_is_encoded(
    server: Server,
) -> None:
    url, told = server.url("commits", "large"), server.options()
    most = 5 * 10**9

    for write in (arrowimg.ImageWriterStage, arrowimg.ShardWriter):
        with pytest.raises(OptionError, match="at most 5,000,000,000"):
            write(url, max_bytes_per_tar=most + 1, storage_options=told)
        write(url, max_bytes_per_tar=most, storage_options=told)


def test_no_server_is_a_storage_error(tmp_path: Path) -> None:
    del tmp_path
    (port,) = free_ports(1)
    options = {"access_key_id": "key", "secret_access_key": "hidden", "max_retries": 0}
    url = {"endpoint": f"http://127.0.0.1:{port}", "allow_http": True, "region": "us-east-1"}
    storage = open_storage("s3://commits/x", options | url)

    with pytest.raises(StorageError) as caught:
        storage.names()

    assert "hidden" not in str(caught.value)

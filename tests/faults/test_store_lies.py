"""Stores that lie, refuse, go away or tell another time: writers are told, and nothing is torn.

Each check of the protocol has a control: a writer without it, which must be caught.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import storage_data
from fault_proxy import ALWAYS, FaultProxy, Message, Rule
from storage_data import PAIR
from store_tools import (
    Bench,
    bench,
    difference,
    given,
    operations,
    torn_shards,
    write_shard,
)

import arrowimg
from arrowimg._storage.object_store import commit
from arrowimg._storage.object_store.look import look
from arrowimg._storage.open import open_storage
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store_servers import Servers
    from store_tools import Operation

DAY = dt.timedelta(days=1)


@pytest.fixture
def moto(servers: Servers) -> Iterator[Bench]:
    with bench(servers, "moto") as made:
        yield made


@pytest.fixture(scope="module")
def todo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Operation]:
    return {it.name: it for it in operations(tmp_path_factory.mktemp("operations"))}


@pytest.mark.stores
def test_rclone_is_refused_with_what_it_answered(servers: Servers) -> None:
    with (
        bench(servers, "rclone") as made,
        pytest.raises(StorageError, match=r"replaced a file that was there.*success"),
    ):
        write_shard(made.url(prefix := made.new()), made.options())

    assert made.objects(prefix) == {}


def test_a_bucket_that_goes_away_is_told(moto: Bench, todo: dict[str, Operation]) -> None:
    operation, prefix = todo["dataset"], moto.new()
    rule = Rule(kind="call_before", method="PUT", target=r"000001\.tar", call=moto.bucket.drop)
    with moto.proxy.injecting(rule), pytest.raises(StorageError, match="NoSuchBucket"):
        operation.write(moto.url(prefix), moto.options())


def test_credentials_that_expire_are_told_and_new_ones_go_on(
    moto: Bench, todo: dict[str, Operation]
) -> None:
    operation = todo["stage"]
    for at in range(1, 14):
        prefix = moto.new()
        rule = Rule(kind="status", status=403, code="ExpiredToken", at=at, times=ALWAYS)
        # The reply to HEAD has no body, in which the reason would stand.
        with moto.proxy.injecting(rule), pytest.raises(StorageError, match=r"ExpiredToken|403"):
            operation.write(moto.url(prefix), moto.options())
        left = moto.objects(prefix)

        assert torn_shards(left) == []
        operation.write(moto.url(prefix), moto.options())
        assert difference(moto.objects(prefix), operation.after) == ""


def test_without_the_right_to_list_everything_but_listing_works(
    servers: Servers, todo: dict[str, Operation]
) -> None:
    def refuse(reply: Message) -> Message:
        is_missing = reply.status == 404
        body = b"<Error><Code>AccessDenied</Code></Error>" if reply.body else b""
        denied = Message("HTTP/1.1 403 Forbidden", (("Content-Length", str(len(body))),), body)
        return denied if is_missing else reply

    operation = todo["dataset"]
    with bench(servers, "moto") as made:
        made.proxy.rewrite_reply = refuse
        rule = Rule(
            kind="status", status=403, code="AccessDenied", target="list-type", times=ALWAYS
        )
        prefix = made.new()
        url, options = made.url(prefix), made.options()
        with made.proxy.injecting(rule):
            operation.write(url, options)
            operation.write(url, options)
            frame = arrowimg.scan(url, **given(options))
            pictures = arrowimg.fetch_images(frame, **given(options))
            # What is there and belongs to no shard is found by listing only.
            with pytest.raises(StorageError, match="AccessDenied"):
                arrowimg.verify(url, progress=False, **given(options))
            with pytest.raises(StorageError, match="AccessDenied"):
                arrowimg.collect_garbage(url, **given(options))

        assert difference(made.objects(prefix), operation.after) == ""
        assert pictures.height == 12


class TestClocks:
    @pytest.mark.parametrize("days", [-400, 400])
    def test_garbage_is_as_old_as_the_store_says(
        self, moto: Bench, monkeypatch: pytest.MonkeyPatch, days: int
    ) -> None:
        prefix = moto.new({"images-000000.tar": b"of a writer at work"})
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.0 + days * 86400)

        found = arrowimg.collect_garbage(moto.url(prefix), 1, delete=True, **given(moto.options()))

        assert found == []
        assert set(moto.objects(prefix)) == {"images-000000.tar"}

    @pytest.mark.parametrize("days", [-400, 400])
    def test_a_clock_of_the_store_that_is_wrong_all_over_does_no_harm(
        self, moto: Bench, days: int
    ) -> None:
        moto.proxy.rewrite_reply = lambda reply: shifted(reply, days)
        prefix = moto.new({"images-000000.tar": b"of a writer at work"})

        found = arrowimg.collect_garbage(moto.url(prefix), 1, delete=True, **given(moto.options()))

        assert found == []

    def test_control_a_clock_that_jumps_in_between_is_believed(self, moto: Bench) -> None:
        moto.proxy.rewrite_reply = lambda reply: shifted(reply, 0 if is_new(reply) else -400)
        prefix = moto.new({"images-000000.tar": b"of a writer at work"})

        found = arrowimg.collect_garbage(moto.url(prefix), 1, **given(moto.options()))

        assert [it.name for it in found] == ["images-000000.tar"]


def is_new(reply: Message) -> bool:
    """Tell whether a reply is about a file that tells the time."""
    return reply.header("x-amz-meta-arrowimg") is not None


def shifted(reply: Message, days: int) -> Message:
    """Return a reply as of a clock that is so many days ahead."""
    said = reply.header("Last-Modified")
    if said:
        moment = email.utils.parsedate_to_datetime(said) + days * DAY
        reply = reply.with_headers(Last_Modified=email.utils.format_datetime(moment, usegmt=True))
    year = dt.datetime.now(dt.UTC).year
    body = re.sub(
        rb"<LastModified>%d" % year, b"<LastModified>%d" % (year + days // 365), reply.body
    )
    return msgspec.structs.replace(reply, body=body)


class TestControls:
    """What the protocol does not do, and what would come of it."""

    def test_who_trusts_that_a_file_exists_loses_what_was_to_be_retried(
        self, moto: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit_pair(moto, first := moto.new())
        prefix = probed(moto)
        storage: Any = open_storage(moto.url(first), moto.options())
        there = look(storage, "a.tar")
        monkeypatch.setattr(commit.StagedFile, "_look", lambda _: there)
        monkeypatch.setattr("arrowimg._storage.commit._is_equal", lambda *_: True)
        monkeypatch.setattr(commit.ObjectTransaction, "_look_again", lambda *_, **__: None)
        rule = Rule(kind="status", status=409, method="PUT", target=r"a\.tar")
        with moto.proxy.injecting(rule), contextlib.suppress(FileNotFoundError):
            commit_pair(moto, prefix)

        assert set(moto.objects(prefix)) == {"first", "a.parquet"}

    def test_who_does_not_look_after_an_error_reports_what_is_there_as_lost(
        self, moto: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prefix = probed(moto)
        monkeypatch.setattr(commit, "_TRIES", 1)
        monkeypatch.setattr(commit.StagedFile, "_look", lambda _: None)
        rule = Rule(kind="drop_reply", method="PUT", target=r"a\.tar")
        with moto.proxy.injecting(rule), pytest.raises(StorageError):
            commit_pair(moto, prefix)

        assert set(moto.objects(prefix)) == {"first", "a.tar"}

    def test_a_store_that_ignores_conditions_lets_strangers_tear_a_shard(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = servers.get("moto")
        monkeypatch.setattr(commit, "probe", lambda _: None)
        monkeypatch.setattr("arrowimg._storage.object_store.storage.probe", lambda _: None)
        with bench(servers, "moto") as made, FaultProxy(server.port, unconditional) as lying:
            prefix = made.new()
            options = server.options(lying.port)
            other = dict.fromkeys(PAIR, b"of a stranger")

            def overtake() -> None:
                for name, data in other.items():
                    made.bucket.put(f"{prefix}/{name}", data)

            rule = Rule(kind="call_before", method="PUT", target=r"a\.parquet", call=overtake)
            with lying.injecting(rule):
                storage_data.commit(open_storage(made.url(prefix), options), PAIR)

            assert made.objects(prefix) not in (PAIR, other)


def unconditional(request: Message) -> Message:
    """Return a request as a store understands it that knows no conditions."""
    return request.without("If-None-Match", "If-Match")


def probed(made: Bench) -> str:
    """Return a prefix where a file was created: it is known that the store heeds conditions."""
    prefix = made.new()
    storage_data.commit(open_storage(made.url(prefix), made.options()), {"first": b""})
    return prefix


def commit_pair(made: Bench, prefix: str) -> None:
    storage_data.commit(open_storage(made.url(prefix), made.options()), PAIR)

"""What the stores that run here answer: the promises that all else rests on, and who breaks them.

They are asked by obstore, and looked into by boto3 or Microsoft's client.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url
from store_servers import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store_buckets import Bucket
    from store_servers import Server, Servers

HONEST = [
    "moto",
    pytest.param("seaweedfs", marks=pytest.mark.stores),
    pytest.param("azurite", marks=pytest.mark.stores),
    pytest.param("gcs", marks=pytest.mark.stores),
]


class Place(NamedTuple):
    """A bucket of its own: as obstore sees it, through a proxy, and as others do."""

    server: Server
    store: Any
    bucket: Bucket


@contextlib.contextmanager
def place_on(server: Server) -> Iterator[Place]:
    name = f"b{uuid.uuid4().hex}"
    with contextlib.closing(server.bucket(name)) as bucket, server.proxy() as proxy:
        yield Place(server, open_store(server, name, proxy.port), bucket)


def open_store(server: Server, bucket: str, port: int) -> Any:  # noqa: ANN401  # one of three
    options: Any = server.options(port)
    client: Any = {"allow_http": options.pop("allow_http")}
    return from_url(server.url(bucket), config=options, client_options=client)


@pytest.fixture
def place(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Place]:
    with place_on(servers.get(request.param)) as made:
        yield made


def each(name: str, *kinds: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(name, kinds, indirect=True)


@each("place", *HONEST)
class TestHonest:
    def test_an_object_is_created_once(self, place: Place) -> None:
        obstore.put(place.store, "a.tar", b"first", mode="create")
        with pytest.raises(AlreadyExistsError):
            obstore.put(place.store, "a.tar", b"second", mode="create")

        assert place.bucket.objects() == {"out/a.tar": b"first"}
        assert place.bucket.objects("out") == {"a.tar": b"first"}

    def test_metadata_comes_and_goes_with_the_bytes(self, place: Place) -> None:
        obstore.put(place.store, "a.tar", b"ours", attributes={"arrowimg": "mark"}, mode="create")
        place.bucket.put("out/b.tar", b"theirs", {"arrowimg": "other"})

        seen = [
            obstore.get(place.store, name, options={"head": True}).attributes.get("arrowimg")
            for name in ("a.tar", "b.tar")
        ]
        assert seen == ["mark", "other"]
        assert place.bucket.metadata("out/a.tar")["arrowimg"] == "mark"

    def test_only_what_was_seen_is_replaced(self, place: Place) -> None:
        obstore.put(place.store, "a.tar", b"first")
        found = obstore.get(place.store, "a.tar", options={"head": True}).meta
        # Who is given a version that is None does not take it for none.
        seen: Any = {name: found[name] for name in ("e_tag", "version") if found.get(name)}
        obstore.put(place.store, "a.tar", b"second", mode=seen)
        with pytest.raises(PreconditionError):
            obstore.put(place.store, "a.tar", b"third", mode=seen)

        assert place.bucket.objects("out") == {"a.tar": b"second"}

    def test_of_eight_at_once_one_creates(self, place: Place) -> None:
        won: list[int] = []

        def create(number: int) -> None:
            with contextlib.suppress(AlreadyExistsError):
                obstore.put(place.store, "a.tar", b"%d" % number, mode="create")
                won.append(number)

        threads = [threading.Thread(target=create, args=(it,)) for it in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert place.bucket.objects("out") == {"a.tar": b"%d" % won[0]}
        assert len(won) == 1

    def test_what_is_deleted_and_dropped_is_gone(self, place: Place) -> None:
        place.bucket.put("out/a b+ü%.txt", b"a")
        place.bucket.put("out/b", b"b")
        place.bucket.delete("out/b")
        assert obstore.get(place.store, "a b+ü%.txt").bytes() == b"a"
        place.bucket.drop()

        with pytest.raises((BaseError, FileNotFoundError)):
            obstore.get(place.store, "a b+ü%.txt")


@pytest.mark.stores
@each("place", "rclone")
def test_rclone_replaces_what_it_was_told_to_create(place: Place) -> None:
    obstore.put(place.store, "a.tar", b"first", mode="create")
    obstore.put(place.store, "a.tar", b"second", mode="create")

    assert place.bucket.objects() == {"out/a.tar": b"second"}


def test_ports_that_are_free_differ() -> None:
    assert len(set(free_ports(20))) == 20

"""The proxy that hurts requests does so to the one that is meant, and to no other."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from fault_proxy import ALWAYS, Exchange, FaultProxy, Kind, Message, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = bytes(range(256)) * 400


class Store(ThreadingHTTPServer):
    """Keeps what is put, and closes each connection."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        self.server.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"")

    def do_GET(self) -> None:
        if self.path == "/chunked":
            self.answer(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "Transfer-Encoding", "chunked")
        elif self.path == "/endless":
            self.answer(b"until the end", "X-Length", "unknown")
        else:
            self.answer(self.server.objects[self.path])

    def do_HEAD(self) -> None:
        self.answer(b"", "Content-Length", str(len(self.server.objects[self.path])))

    def do_DELETE(self) -> None:
        del self.server.objects[self.path]
        self.answer(b"", "X-Status", "gone", status=204)

    def answer(self, body: bytes, name: str = "", value: str = "", *, status: int = 200) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.send_response(status)
        self.send_header(name or "Content-Length", value or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made.objects["/a"] = BODY
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def proxy(store: Store) -> Iterator[FaultProxy]:
    with FaultProxy(store.server_port) as made:
        yield made


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection,
    method: str = "GET",
    path: str = "/a",
    body: bytes | None = None,
    **headers: str,
) -> tuple[int, bytes]:
    client.request(method, path, body, {key.replace("_", "-"): it for key, it in headers.items()})
    reply = client.getresponse()
    return reply.status, reply.read()


class TestWithoutRules:
    def test_requests_pass_one_after_the_other_on_one_connection(
        self, store: Store, client: http.client.HTTPConnection
    ) -> None:
        assert ask(client, "PUT", "/b", BODY) == (200, b"")
        assert ask(client, "GET", "/b") == (200, BODY)
        assert ask(client, "HEAD", "/b") == (200, b"")
        assert ask(client, "DELETE", "/b") == (204, b"")
        assert ask(client, "GET", "/a") == (200, BODY)
        assert set(store.objects) == {"/a"}

    @pytest.mark.parametrize(
        ("path", "body"), [("/chunked", b"abcde"), ("/endless", b"until the end")]
    )
    def test_a_reply_without_a_length_gets_one(
        self, client: http.client.HTTPConnection, path: str, body: bytes
    ) -> None:
        assert ask(client, "GET", path) == (200, body)
        assert ask(client) == (200, BODY)

    def test_a_request_in_chunks_gets_a_length(
        self, store: Store, client: http.client.HTTPConnection
    ) -> None:
        client.request("PUT", "/b", iter([b"ab", b"cd"]), encode_chunked=True)

        assert client.getresponse().read() == b""
        assert store.objects["/b"] == b"abcd"

    def test_who_expects_to_continue_may(
        self, store: Store, client: http.client.HTTPConnection
    ) -> None:
        assert ask(client, "PUT", "/b", BODY, Expect="100-continue") == (200, b"")
        assert "Expect" not in store.requests[-1][2]

    def test_the_log_tells_what_passed(
        self, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        ask(client, "PUT", "/b?x=1", BODY)
        ask(client)

        size = len(BODY)
        assert proxy.log == [
            Exchange(method="PUT", target="/b?x=1", status=200, sent=size),
            Exchange(method="GET", target="/a", status=200, received=size),
        ]

    def test_messages_are_rewritten_both_ways(self, store: Store) -> None:
        def rewrite(message: Message) -> Message:
            return message.without("X-Old").with_headers(X_New="new")

        with FaultProxy(store.server_port, rewrite, rewrite) as proxy:
            connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
            connection.request("GET", "/a", headers={"x-old": "old"})
            reply = connection.getresponse()
            reply.read()
            connection.close()

        headers = store.requests[-1][2]
        assert (headers.get("x-old"), headers["X-New"], reply.headers["X-New"]) == (
            None,
            "new",
            "new",
        )


class TestRules:
    def test_only_the_nth_matching_request_is_hit(
        self, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        rule = Rule(kind="status", method="GET", target="a$", at=2, times=2)
        with proxy.injecting(rule) as log:
            statuses = [ask(client, method)[0] for method in ("GET", "HEAD", "GET", "GET", "GET")]

        assert statuses == [200, 200, 503, 503, 200]
        assert [exchange.fault for exchange in log] == ["", "", "status", "status", ""]
        assert rule.hits == 2
        assert ask(client)[0] == 200

    def test_escapes_do_not_hide_a_target(
        self, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        with proxy.injecting(Rule(kind="status", target=r"/b\.tar")) as log:
            assert ask(client, "GET", "/a/x%2Fb%2Etar")[0] == 503

        assert log[0].target == "/a/x/b.tar"

    def test_a_status_is_answered_without_the_store(
        self, store: Store, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        with proxy.injecting(Rule(kind="status", status=409, code="Conflict", times=ALWAYS)):
            status, body = ask(client, "PUT", "/b", BODY)
            head = ask(client, "HEAD")

        assert (status, b"<Code>Conflict</Code>" in body) == (409, True)
        assert head == (409, b"")
        assert not store.requests

    def test_a_dropped_reply_is_of_a_request_that_was_done(
        self, store: Store, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        with proxy.injecting(Rule(kind="drop_reply")), pytest.raises(ConnectionError):
            ask(client, "PUT", "/b", BODY)

        assert store.objects["/b"] == BODY

    @pytest.mark.parametrize("method", ["PUT", "GET"])
    def test_a_request_that_is_reset_is_not_done(
        self, store: Store, proxy: FaultProxy, client: http.client.HTTPConnection, method: str
    ) -> None:
        body = BODY if method == "PUT" else None
        rule = Rule(kind="reset_request", nbytes=1000)
        with proxy.injecting(rule), pytest.raises(ConnectionError):
            ask(client, method, "/b", body)

        assert not store.requests

    def test_a_reply_is_cut_after_so_many_bytes(
        self, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        with proxy.injecting(Rule(kind="cut_reply", nbytes=1000)):
            client.request("GET", "/a")
            reply = client.getresponse()
            assert reply.read(1000) == BODY[:1000]
            with pytest.raises((ConnectionError, http.client.IncompleteRead)):
                reply.read()
            reply.close()

    @pytest.mark.parametrize("kind", ["stall", "stall_reply"])
    def test_a_stall_lasts_until_the_client_leaves(
        self, store: Store, proxy: FaultProxy, kind: str
    ) -> None:
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=0.1)
        rule = Rule(kind="stall") if kind == "stall" else Rule(kind="stall_reply")
        with proxy.injecting(rule), pytest.raises(TimeoutError):
            ask(client, "PUT", "/b", BODY)
        client.close()

        assert ("/b" in store.objects) == (kind == "stall_reply")

    def test_a_flip_turns_one_bit(
        self, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        with proxy.injecting(Rule(kind="flip", nbytes=300)):
            _, body = ask(client)

        pairs = enumerate(zip(body, BODY, strict=True))
        assert [(at, a ^ b) for at, (a, b) in pairs if a != b] == [(300, 1)]

    def test_a_delay_lets_the_request_pass(
        self, proxy: FaultProxy, client: http.client.HTTPConnection
    ) -> None:
        with proxy.injecting(Rule(kind="delay", seconds=0.01)) as log:
            assert ask(client) == (200, BODY)

        assert log[0].fault == "delay"

    @pytest.mark.parametrize("is_after", [False, True])
    def test_calls_are_before_or_after_the_store_has_done_it(
        self, store: Store, proxy: FaultProxy, client: http.client.HTTPConnection, *, is_after: bool
    ) -> None:
        seen: list[bool] = []
        kind: Kind = "call_after" if is_after else "call_before"
        rule = Rule(kind=kind, call=lambda: seen.append("/b" in store.objects))
        with proxy.injecting(rule):
            assert ask(client, "PUT", "/b", BODY) == (200, b"")

        assert seen == [is_after]
        assert store.objects["/b"] == BODY

    @pytest.mark.parametrize("is_after", [False, True])
    def test_a_process_is_killed_before_or_after_the_store_has_done_it(
        self, store: Store, proxy: FaultProxy, client: http.client.HTTPConnection, *, is_after: bool
    ) -> None:
        kind: Kind = "kill_after" if is_after else "kill_before"
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as victim:
            rule = Rule(kind=kind, pid=victim.pid)
            with proxy.injecting(rule), pytest.raises(ConnectionError):
                ask(client, "PUT", "/b", BODY)
            status = victim.wait()

        assert os.WTERMSIG(-status) == signal.SIGKILL
        assert ("/b" in store.objects) == is_after

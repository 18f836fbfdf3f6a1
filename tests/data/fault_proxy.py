"""An HTTP/1.1 proxy before a store, on 127.0.0.1, which does to requests what rules tell it.

It holds each message whole before it passes it on, and opens a connection of its own for each, so
that none is lost because the store closed one. What went through it stands in a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
import struct
import termios
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import unquote

import msgspec

if TYPE_CHECKING:
    from types import TracebackType

Kind = Literal[
    "status",
    "drop_reply",
    "reset_request",
    "cut_reply",
    "stall",
    "stall_reply",
    "delay",
    "flip",
    "kill_before",
    "kill_after",
    "call_before",
    "call_after",
]

ALWAYS = 2**31
_MOST_HEAD_NBYTES = 2**20
_AT_ONCE = struct.pack("ii", 1, 0)
_NO_BODY = {204, 304}


class Message(msgspec.Struct, frozen=True):
    """A request or a reply.

    Attributes
    ----------
    start
        The first line: method, target and version, or version, status and reason.
    headers
        Names as they were sent, and values.
    body
        All of it, without the framing of chunks.
    """

    start: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def method(self) -> str:
        """Of a request."""
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        """Path and query of a request."""
        return self.start.split(" ")[1]

    @property
    def plain_target(self) -> str:
        """The same without escapes: not all clients write the same."""
        return unquote(self.target)

    @property
    def status(self) -> int:
        """Of a reply."""
        return int(self.start.split(" ")[1])

    def header(self, name: str) -> str | None:
        """Return the value of a header, whatever case its name is in."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def without(self, *names: str) -> Message:
        """Return the message without some headers."""
        dropped = {name.lower() for name in names}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in dropped)
        return msgspec.structs.replace(self, headers=kept)

    def with_headers(self, **headers: str) -> Message:
        """Return the message with headers set; an underscore stands for a hyphen."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        rest = self.without(*names)
        return msgspec.structs.replace(rest, headers=(*rest.headers, *names.items()))

    def encode(self) -> bytes:
        """Return the bytes to send."""
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class Rule(msgspec.Struct, kw_only=True):
    """What happens to which requests.

    Attributes
    ----------
    kind
        ``status`` is answered by the proxy; ``drop_reply`` resets the connection once the store has
        answered, ``reset_request`` once `nbytes` of the request's body came, ``cut_reply`` once
        `nbytes` of the reply's body went. ``stall`` never asks the store and never answers,
        ``stall_reply`` asks it, and stops answering after `nbytes` of the body; where that is 0,
        before the head. ``delay`` waits `seconds`. ``flip`` turns a bit of the reply's body,
        `nbytes` from its start. The others send SIGKILL to `pid`, or call `call`, before or after
        the store has done the request; after ``kill_before`` it never does.
    method, target
        Regular expressions: of the whole method, and of any part of the target without escapes.
    at
        The first request that it happens to, counted from 1 among those that match.
    times
        To how many from there on.
    hits
        To how many it happened so far.
    """

    kind: Kind
    method: str = ".*"
    target: str = ""
    at: int = 1
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    nbytes: int = 0
    seconds: float = 0
    pid: int = 0
    call: Callable[[], object] | None = None
    hits: int = 0
    _seen: int = 0

    def takes(self, request: Message) -> bool:
        """Tell whether it happens to this request, and count it."""
        if not re.fullmatch(self.method, request.method) or not re.search(
            self.target, request.plain_target
        ):
            return False
        self._seen += 1
        is_hit = self.at <= self._seen < self.at + self.times
        self.hits += is_hit
        return is_hit


class Exchange(msgspec.Struct, kw_only=True):
    """One request as the log has it.

    Attributes
    ----------
    status
        What the client was answered; 0 where it was not.
    sent, received
        Bytes of the bodies of request and reply, as the client sent and was meant to get them.
    fault
        What happened to it; ``""`` where nothing did.
    """

    method: str
    target: str
    status: int = 0
    sent: int = 0
    received: int = 0
    fault: Kind | Literal[""] = ""


Rewrite = Callable[[Message], Message]


class FaultProxy:
    """A proxy for one store, in a thread of its own; use it in a with-statement.

    Parameters
    ----------
    upstream
        The port of the store, on 127.0.0.1.
    rewrite_request, rewrite_reply
        What is done to each message that passes.
    """

    def __init__(
        self,
        upstream: int,
        rewrite_request: Rewrite | None = None,
        rewrite_reply: Rewrite | None = None,
    ) -> None:
        self.rules: list[Rule] = []
        self.log: list[Exchange] = []
        self.seconds_a_request = 0.0
        self.rewrite_request, self.rewrite_reply = rewrite_request, rewrite_reply
        self.port = 0
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def injecting(self, *rules: Rule) -> Iterator[list[Exchange]]:
        """Let rules hold within the with-block; yields the log of what passes there."""
        self.log, self.rules = [], list(rules)
        try:
            yield self.log
        finally:
            self.rules = []

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        self._clients = set[asyncio.Task[None]]()
        server = await asyncio.start_server(self._welcome, "127.0.0.1", 0, limit=_MOST_HEAD_NBYTES)
        self.port = server.sockets[0].getsockname()[1]
        self._is_ready.set()
        await self._stopped.wait()
        server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            while await self._pass_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has left, or is told to
        finally:
            self._clients.discard(task)
            await _close(writer)

    async def _pass_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass one request on, and its reply back; returns whether another may follow."""
        head = await _read_head(reader)
        rule = next((rule for rule in self.rules if rule.takes(head)), None)
        exchange = Exchange(method=head.method, target=head.plain_target)
        exchange.fault = rule.kind if rule else ""
        self.log.append(exchange)
        if self.seconds_a_request:
            await asyncio.sleep(self.seconds_a_request)
        if rule and not await _happens_before(rule, head, reader):
            _abort(writer)
            return False
        if "100-continue" in (head.header("expect") or "").lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = await _read_body(reader, head, is_request=True)
        exchange.sent = len(request.body)
        if rule and rule.kind == "status":
            exchange.status = rule.status
            writer.write(_refusal(rule, request.method).encode())
            await writer.drain()
            return True
        reply = await self._ask(request)
        exchange.received = len(reply.body)
        if rule and not await _happens_after(rule, reply, reader, writer):
            _abort(writer)
            return False
        if rule and rule.kind == "flip":
            reply = _flipped(rule, reply)
        exchange.status = reply.status
        writer.write(reply.encode())
        await writer.drain()
        return (head.header("connection") or "").lower() != "close"

    async def _ask(self, request: Message) -> Message:
        """Send a request to the store; returns its reply, ready to be passed back."""
        sent = request.without("Expect", "Transfer-Encoding").with_headers(Connection="close")
        if request.header("Transfer-Encoding"):
            sent = sent.with_headers(Content_Length=str(len(request.body)))
        if self.rewrite_request:
            sent = self.rewrite_request(sent)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._upstream, limit=_MOST_HEAD_NBYTES
        )
        try:
            writer.write(sent.encode())
            await writer.drain()
            reply = await _read_head(reader)
            while reply.status == 100:
                reply = await _read_head(reader)
            if request.method != "HEAD" and reply.status not in _NO_BODY:
                reply = await _read_body(reader, reply, is_request=False)
                reply = reply.without("Content-Length")
                reply = reply.with_headers(Content_Length=str(len(reply.body)))
        finally:
            await _close(writer)
        start = f"HTTP/1.1 {reply.start.partition(' ')[2]}"
        reply = msgspec.structs.replace(reply, start=start)
        reply = reply.without("Connection", "Keep-Alive", "Transfer-Encoding")
        return self.rewrite_reply(reply) if self.rewrite_reply else reply


async def _happens_before(rule: Rule, head: Message, reader: asyncio.StreamReader) -> bool:
    """Do what a rule wants done before the store is asked; False where it is not to be asked."""
    if rule.kind in {"kill_before", "call_before"}:
        _act(rule)
    elif rule.kind == "delay":
        await asyncio.sleep(rule.seconds)
    elif rule.kind == "reset_request":
        await reader.readexactly(min(rule.nbytes, int(head.header("Content-Length") or 0)))
    elif rule.kind == "stall":
        await _until_left(reader)
    return rule.kind not in {"kill_before", "reset_request", "stall"}


async def _happens_after(
    rule: Rule, reply: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Do what a rule wants done once the store has answered; False where nobody is to know."""
    if rule.kind in {"kill_after", "call_after"}:
        _act(rule)
    elif rule.kind in {"cut_reply", "stall_reply"}:
        cut = msgspec.structs.replace(reply, body=reply.body[: rule.nbytes])
        writer.write(cut.encode() if rule.nbytes else b"")
        await writer.drain()
        if rule.kind == "stall_reply":
            await _until_left(reader)
        else:
            await _until_sent(writer)
    return rule.kind not in {"kill_after", "cut_reply", "stall_reply", "drop_reply"}


def _act(rule: Rule) -> None:
    if rule.call is not None:
        rule.call()
    else:
        os.kill(rule.pid, signal.SIGKILL)


async def _until_left(reader: asyncio.StreamReader) -> None:
    """Wait until the client gives up."""
    while await reader.read(2**16):
        pass


async def _until_sent(writer: asyncio.StreamWriter) -> None:
    """Wait until the kernel has handed over what was written: a reset would take it back."""
    stream: socket.socket = writer.get_extra_info("socket")
    while _unsent_nbytes(stream):  # noqa: ASYNC110  # the kernel tells nobody
        await asyncio.sleep(0.001)


def _unsent_nbytes(stream: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(stream.fileno(), termios.TIOCOUTQ, bytes(4)), "little")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close a connection by a reset."""
    stream: socket.socket = writer.get_extra_info("socket")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


def _refusal(rule: Rule, method: str) -> Message:
    """Return the proxy's own answer, in the words of S3."""
    text = f"<Error><Code>{rule.code}</Code><Message>injected</Message></Error>"
    body = f"<?xml version='1.0' encoding='UTF-8'?>{text}".encode()
    headers = ("Content-Type", "application/xml"), ("Content-Length", str(len(body)))
    start = f"HTTP/1.1 {rule.status} {rule.code}"
    return Message(start, headers, b"" if method == "HEAD" else body)


def _flipped(rule: Rule, reply: Message) -> Message:
    body = bytearray(reply.body)
    if body:
        body[rule.nbytes % len(body)] ^= 1
    return msgspec.structs.replace(reply, body=bytes(body))


async def _read_head(reader: asyncio.StreamReader) -> Message:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = text.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(start, tuple((name, value.strip()) for name, _, value in pairs))


async def _read_body(reader: asyncio.StreamReader, head: Message, *, is_request: bool) -> Message:
    """Return the message with its body, which without a length lasts until the store closes."""
    length = head.header("Content-Length")
    if "chunked" in (head.header("Transfer-Encoding") or "").lower():
        body = b"".join([chunk async for chunk in _chunks(reader)])
    elif length is not None:
        body = await reader.readexactly(int(length))
    else:
        body = b"" if is_request else await reader.read()
    return msgspec.structs.replace(head, body=body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        nbytes = int((await reader.readline()).split(b";")[0], 16)
        chunk = await reader.readexactly(nbytes + 2)
        if not nbytes:
            return
        yield chunk[:-2]

"""Object stores that run here: each a process on 127.0.0.1, asked until it answers.

``moto`` comes with the tests. SeaweedFS and rclone come with the group ``stores``, Azurite by npm
(`AZURITE` says where to). ``gcs`` is SeaweedFS without keys behind a proxy that speaks as Google's
XML API does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import msgspec
import pytest
from fault_proxy import FaultProxy, Message
from store_buckets import ACCOUNT, KEY, AzureBucket, Bucket, S3Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Kind = Literal["moto", "seaweedfs", "azurite", "gcs", "rclone"]

_READY_SECONDS = 60
_GRPC = 10_000
"""SeaweedFS listens on each port plus this as well."""


class NotHereError(Exception):
    """A server is not installed."""


class Server(msgspec.Struct, frozen=True):
    """A store that listens.

    Attributes
    ----------
    kind
        Which one.
    port
        Its own.
    pid
        Of its process.
    """

    kind: Kind
    port: int
    pid: int

    def proxy(self) -> FaultProxy:
        """Return a proxy before it, not yet started. Clients of ``gcs`` must go through one."""
        if self.kind == "gcs":
            return FaultProxy(self.port, to_s3, from_s3)
        return FaultProxy(self.port)

    def bucket(self, name: str) -> Bucket:
        """Return a bucket, made where it is missing; what is done with it passes no proxy."""
        if self.kind == "azurite":
            return AzureBucket(self.port, name)
        return S3Bucket(self.port, name, has_keys=self.kind != "gcs")

    def url(self, bucket: str, prefix: str = "out") -> str:
        """Return the address of a place."""
        scheme = {"azurite": "az", "gcs": "gs"}.get(self.kind, "s3")
        return f"{scheme}://{bucket}/{prefix}"

    def options(self, port: int | None = None, **options: str) -> dict[str, str]:
        """Return what a client has to know: of the server itself, or of a proxy before it."""
        url = f"http://127.0.0.1:{port or self.port}"
        if self.kind == "azurite":
            told = {
                "azure_storage_account_name": ACCOUNT,
                "azure_storage_account_key": KEY,
                "azure_storage_endpoint": f"{url}/{ACCOUNT}",
            }
        elif self.kind == "gcs":
            account = {"gcs_base_url": url, "disable_oauth": True, "client_email": ""}
            keys = {"private_key": "", "private_key_id": ""}
            told = {"google_service_account_key": json.dumps(account | keys)}
        else:
            told = {
                "aws_access_key_id": "key",
                "aws_secret_access_key": "secret",
                "aws_endpoint_url": url,
                "aws_region": "us-east-1",
            }
        return told | {"allow_http": "true"} | options


def to_s3(request: Message) -> Message:
    """Return a request to Google's XML API in the words of S3."""
    headers: list[tuple[str, str]] = []
    for name, value in request.headers:
        lower = name.lower()
        if lower == "x-goog-if-generation-match":
            # A generation is made of the e-tag, see below, and becomes one again.
            tag = ("If-None-Match", "*") if value == "0" else ("If-Match", f'"{int(value):032x}"')
            headers.append(tag)
        elif lower.startswith("x-goog-meta-"):
            headers.append((f"x-amz-meta-{lower.removeprefix('x-goog-meta-')}", value))
        else:
            headers.append((name, value))
    return msgspec.structs.replace(request, headers=tuple(headers))


def from_s3(reply: Message) -> Message:
    """Return a reply of S3 in the words of Google's XML API."""
    headers = [
        (f"x-goog-meta-{name.lower().removeprefix('x-amz-meta-')}", value)
        if name.lower().startswith("x-amz-meta-")
        else (name, value)
        for name, value in reply.headers
    ]
    e_tag = (reply.header("ETag") or "").strip('"')
    if len(e_tag) == 32:
        headers.append(("x-goog-generation", str(int(e_tag, 16))))
    return msgspec.structs.replace(reply, headers=tuple(headers))


class Servers:
    """Servers that run until the tests end, each started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[Kind, Server] = {}
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def get(self, kind: Kind) -> Server:
        """Return a server; the test fails where it is not installed: it was not run."""
        if kind not in self._started:
            folder = self._folder / kind
            folder.mkdir(exist_ok=True)
            try:
                self._started[kind] = self._running.enter_context(start(kind, folder))
            except NotHereError as error:
                pytest.fail(f"{kind}: not run: {error}", pytrace=False)
        return self._started[kind]


@contextlib.contextmanager
def start(kind: Kind, folder: Path) -> Iterator[Server]:
    """Start a server with its files in `folder`, and stop it in the end.

    Raises
    ------
    NotHereError
        When it is not installed.
    """
    command, port, is_ready = _STARTS[kind](folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=_environment())
        try:
            _wait(process, folder / "log", lambda: is_ready(port))
            yield Server(kind, port, process.pid)
        finally:
            # What it would still put in order is thrown away with its folder.
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "COV" not in name}


def _moto(_: Path) -> tuple[list[str], int, Callable[[int], bool]]:
    (port,) = free_ports(1)
    return [_found("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, _answers


def _seaweedfs(folder: Path) -> tuple[list[str], int, Callable[[int], bool]]:
    credentials = [{"accessKey": "key", "secretKey": "secret"}]
    actions = ["Admin", "Read", "Write", "List"]
    identity = {"name": "tests", "credentials": credentials, "actions": actions}
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"identities": [identity]}), encoding="ascii")
    command, port = _weed(folder)
    return [*command, f"-s3.config={keys}"], port, lambda port: _takes(port, has_keys=True)


def _gcs(folder: Path) -> tuple[list[str], int, Callable[[int], bool]]:
    command, port = _weed(folder)
    return command, port, lambda port: _takes(port, has_keys=False)


def _weed(folder: Path) -> tuple[list[str], int]:
    master, volume, filer, port = free_ports(4)
    command = [
        _found("weed"),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-s3.port={port}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-filer",
        "-s3",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=50",
    ]
    return command, port


def _azurite(folder: Path) -> tuple[list[str], int, Callable[[int], bool]]:
    (port,) = free_ports(1)
    command = [
        _found(os.environ.get("AZURITE", "azurite-blob")),
        *("--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        *("--location", str(folder), "--blobHost", "127.0.0.1", "--blobPort", str(port)),
    ]
    return command, port, _answers


def _rclone(folder: Path) -> tuple[list[str], int, Callable[[int], bool]]:
    (port,) = free_ports(1)
    files = folder / "files"
    files.mkdir()
    served = ["--addr", f"127.0.0.1:{port}", "--config", os.devnull, str(files)]
    return [_found("rclone"), "serve", "s3", "--auth-key", "key,secret", *served], port, _answers


_STARTS: dict[Kind, Callable[[Path], tuple[list[str], int, Callable[[int], bool]]]] = {
    "moto": _moto,
    "seaweedfs": _seaweedfs,
    "azurite": _azurite,
    "gcs": _gcs,
    "rclone": _rclone,
}


def _found(command: str) -> str:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(command, path=places)
    if found is None:
        msg = f"there is no {command}"
        raise NotHereError(msg)
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, nor on those 10,000 above them."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = held.enter_context(_bound(0)).getsockname()[1]
            try:
                held.enter_context(_bound(port + _GRPC))
            except (OSError, OverflowError):
                continue
            ports.append(port)
    return ports


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", port))
    except BaseException:
        bound.close()
        raise
    return bound


def _wait(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready():
        said = log.read_text("utf-8", "replace")[-2000:]
        assert process.poll() is None, f"{process.args!r} ended: {said}"
        assert time.monotonic() < deadline, f"{process.args!r} does not answer: {said}"
        time.sleep(0.02)


def _answers(port: int) -> bool:
    """Tell whether a server answers anything at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _takes(port: int, *, has_keys: bool) -> bool:
    """Tell whether an S3 server keeps an object: its parts are there one after the other."""
    if not _answers(port):
        return False
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with contextlib.closing(S3Bucket(port, "ready", has_keys=has_keys)) as bucket:
            bucket.put("ready", b"ready")
    except (BotoCoreError, ClientError):
        return False
    return True

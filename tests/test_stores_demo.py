"""The demo, from its first row to its copy, on real object stores that the test starts.

``tox run -e stores -- tests/test_stores_demo.py -k seaweedfs`` is this on a real S3 server.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image
from store_tools import tell

import arrowimg
from arrowimg._cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_proxy import FaultProxy
    from store_servers import Kind, Servers
    from store_tools import Objects

NUM_PICTURES, IMAGES_PER_TAR = 240, 50
KINDS = [
    pytest.param("moto", marks=pytest.mark.stores),
    pytest.param("seaweedfs", marks=pytest.mark.stores),
    pytest.param("azurite", marks=pytest.mark.stores),
    pytest.param("gcs", marks=pytest.mark.stores),
]


class Place:
    """A bucket of a server, and what clients are told of it."""

    def __init__(self, servers: Servers, kind: Kind, stack: contextlib.ExitStack) -> None:
        server = servers.get(kind)
        self._name = f"demo-{uuid.uuid4().hex}"
        self._bucket = stack.enter_context(contextlib.closing(server.bucket(self._name)))
        self.proxy: FaultProxy = stack.enter_context(server.proxy())
        self.options = server.options(self.proxy.port)
        self._server = server

    def url(self, prefix: str) -> str:
        return self._server.url(self._name, prefix)

    def objects(self, prefix: str) -> Objects:
        return self._bucket.objects(f"{prefix}/")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        yield Place(servers, request.param, stack)


def members(objects: Objects) -> dict[str, bytes]:
    """Return the pictures in all tars, as tarfile reads them."""
    found: dict[str, bytes] = {}
    for name, data in objects.items():
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    if member.name.endswith(".jpg"):
                        file = tar.extractfile(member)
                        found[member.name] = file.read() if file else b""
    return found


def requests_per_shard(place: Place) -> Counter[tuple[str, ...]]:
    """Return how many shards were written by which requests."""
    by_shard: dict[str, list[str]] = {}
    for exchange in place.proxy.log:
        name = exchange.target.partition("?")[0].rpartition("/")[2]
        if name.startswith("images-"):
            by_shard.setdefault(name.partition(".")[0], []).append(exchange.method)
    # What follows is the look at all of them before there is a manifest.
    return Counter(tuple(methods[:3]) for methods in by_shard.values())


def test_the_demo_is_written_scanned_fetched_verified_and_resharded(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [f"--storage-option={key}={value}" for key, value in place.options.items()]
    url, copy = place.url("demo"), place.url("copy")
    size = ["--num-images", str(NUM_PICTURES), "--images-per-tar", str(IMAGES_PER_TAR)]
    with place.proxy.injecting():
        assert main(["demo", url, *size, *told]) == 0
        counted = requests_per_shard(place)

    frame = arrowimg.scan(url, storage_options=place.options)
    sharp = frame.filter(pl.col("score") > pl.col("score").median())
    pictures = arrowimg.fetch_images(sharp, storage_options=place.options)
    with place.proxy.injecting() as log:
        report = arrowimg.verify(url, progress=False, storage_options=place.options)
    reads_of_tars = [it.target for it in log if it.method == "GET" and ".tar" in it.target]
    assert main(["reshard", url, copy, "--images-per-tar", "80", *told]) == 0

    stored = members(place.objects("demo"))
    for row in pictures.iter_rows(named=True):
        assert row["image_data"] == stored[row["member_name"]]
        with Image.open(io.BytesIO(row["image_data"])) as picture:
            assert picture.size == (row["width"], row["height"])
    assert (pictures.height, len(stored)) == (NUM_PICTURES // 2, NUM_PICTURES)
    assert members(place.objects("copy")) == stored
    assert (report.is_sound, report.num_rows) == (True, NUM_PICTURES)
    assert len(reads_of_tars) == len(set(reads_of_tars)) == 5
    assert counted == {("HEAD", "PUT", "PUT"): 5}
    tell(
        capsys,
        f"{url.partition(':')[0]}: {NUM_PICTURES} pictures in 5 shards, each by 1 HEAD and 2 PUT; "
        f"{pictures.height} fetched, {report.num_rows} verified, resharded into 3 tars",
    )


def test_a_quarantine_tar_is_one_request_more(place: Place) -> None:
    url = place.url("quarantine")
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG")
    batch = pl.DataFrame({"image_id": ["a", "b"], "image_data": [buffer.getvalue(), b"no picture"]})
    options: dict[str, Any] = {"on_error": "quarantine", "keep_quarantined": True}
    stage = arrowimg.ImageWriterStage(url, storage_options=place.options, **options)
    with place.proxy.injecting():
        stage.process(arrowimg.ImageBatch.from_table(batch))
        names = [
            (it.method, it.target.partition("?")[0].rpartition("/")[2].partition("-")[0])
            for it in place.proxy.log
            if ".arrowimg-" not in it.target and it.method in {"HEAD", "PUT"}
        ]

    assert names == [
        ("HEAD", "images"),
        ("PUT", "images"),
        ("PUT", "quarantine"),
        ("PUT", "images"),
    ]
    rows = next(it for name, it in place.objects("quarantine").items() if "parquet" in name)
    assert pq.read_table(io.BytesIO(rows)).num_rows == 2

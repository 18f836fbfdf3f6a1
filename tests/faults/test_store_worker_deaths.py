"""Two nodes of Ray write to a real S3 server; workers die, and a node: each row is there once."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from fault_tools import say
from folders import content
from ray_nodes import Found, Outcome, find, run_on_two_nodes
from writer_data import dataset

import arrowimg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store_buckets import Bucket
    from store_servers import Server, Servers

pytestmark = [pytest.mark.ray_faults, pytest.mark.timeout(1200)]


class Place(NamedTuple):
    """A bucket of its own on a real S3 server."""

    server: Server
    name: str
    bucket: Bucket

    def job(self, folder: Path, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        folder.mkdir()
        plain = {"scratch": None, "loses_node": True, "url": self.url, "folder": str(folder)}
        return {**plain, "options": self.server.options(), **changes}

    @property
    def url(self) -> str:
        return self.server.url(self.name)


@pytest.fixture
def place(servers: Servers) -> Iterator[Place]:
    server, name = servers.get("seaweedfs"), f"b{uuid.uuid4().hex}"
    with contextlib.closing(server.bucket(name)) as bucket:
        yield Place(server, name, bucket)


def check(
    capsys: pytest.CaptureFixture[str], what: str, place: Place, outcome: Outcome, num_rows: int
) -> None:
    """Hold a bucket against the rows that went in, and print the figures."""
    found = find(place.bucket, "out")
    missing = {f"id{row:03d}" for row in range(num_rows)} - set(found.ids)
    report = arrowimg.verify(place.url, storage_options=place.server.options())
    say(
        capsys,
        f"{what}: {outcome.num_deaths} workers killed, {outcome.num_nodes_lost} nodes killed, "
        f"rows in {num_rows}, rows out {len(found.ids)}, "
        f"duplicates {len(found.ids) - len(set(found.ids))}, missing {len(missing)}, "
        f"damages {len(report.damages)}, notices {len(report.notices)}",
    )
    assert (len(found.ids), set(found.ids), missing) == (num_rows, set(found.ids), set())
    assert (len(set(found.ids)), found.num_pictures, found.others) == (num_rows, num_rows, [])
    assert (report.is_sound, report.notices) == (True, [])
    assert len(outcome.folders) == 2
    assert outcome.local_files == []


@pytest.mark.parametrize("scratch", [None, "scratch"])
def test_full_shards(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place: Place, scratch: str | None
) -> None:
    arrowimg.write_shards(dataset(100), tmp_path / "library", 30)
    apart = place.server.url(place.name, scratch) if scratch else None

    outcome = run_on_two_nodes(
        place.job(tmp_path / "nodes", way="full", num_blocks=4, scratch=apart)
    )

    check(capsys, f"full shards, scratch {scratch}", place, outcome, 100)
    assert (outcome.num_deaths, outcome.num_nodes_lost) == (3 * 4 + 3 * 4, 1)
    assert place.bucket.objects("out") == content(tmp_path / "library")
    assert place.bucket.objects("scratch") == {}


def test_batches(capsys: pytest.CaptureFixture[str], tmp_path: Path, place: Place) -> None:
    outcome = run_on_two_nodes(place.job(tmp_path / "nodes", way="batches", num_blocks=8))

    check(capsys, "batches", place, outcome, 200)
    assert (outcome.num_deaths, outcome.num_nodes_lost) == (3 * 8, 1)


def test_a_writer_with_random_names_writes_duplicates(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place: Place
) -> None:
    """The control: these deaths are seen by a writer that does not care."""
    job = place.job(tmp_path / "nodes", way="anew", num_blocks=4, loses_node=False)

    outcome = run_on_two_nodes(job)

    found: Found = find(place.bucket, "out")
    num_twice = len(found.ids) - len(set(found.ids))
    say(capsys, f"control: {outcome.num_deaths} workers killed, duplicates {num_twice}")
    assert num_twice == 100
    assert not arrowimg.verify(place.url, storage_options=place.server.options()).is_sound

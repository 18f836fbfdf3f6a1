"""Names of files: those that the format states, and what a file is by its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._format.names import (
    FileKind,
    batch_of,
    batch_shard_name,
    is_numbered,
    is_ours,
    kind_of,
    quarantine_name,
    shard_name,
    shard_of,
    sidecar_name,
    tar_name,
)


def test_names_are_those_of_the_format() -> None:
    assert shard_name(41) == "images-000041"
    assert shard_name(1_000_000) == "images-1000000"
    assert batch_shard_name("images-3f2a9c", 1) == "images-3f2a9c-000001"
    assert tar_name("images-000041") == "images-000041.tar"
    assert sidecar_name("images-000041") == "images-000041.parquet"
    assert quarantine_name("images-000041") == "quarantine-images-000041.tar"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("images-000000.tar", FileKind.TAR),
        ("images-000000.parquet", FileKind.SIDECAR),
        ("quarantine-images-000000.tar", FileKind.QUARANTINE),
        ("quarantine-images-000000.parquet", FileKind.SIDECAR),
        ("images-000000.idx", FileKind.INDEX),
        ("images-000000.tar.idx", FileKind.INDEX),
        ("manifest.json", FileKind.MANIFEST),
        (".arrowimg-0123456789abcdef.tmp", FileKind.TEMPORARY),
        (".arrowimg-0123456789abcdef.tar", FileKind.TEMPORARY),
        ("somebody's.tar", FileKind.TAR),
        ("images-000000", FileKind.OTHER),
        ("README.md", FileKind.OTHER),
        ("notes.txt", FileKind.OTHER),
        ("", FileKind.OTHER),
    ],
)
def test_a_file_is_what_its_name_says(name: str, kind: FileKind) -> None:
    assert kind_of(name) is kind


@given(st.integers(0, 10**9))
def test_every_file_of_a_shard_leads_to_its_name(number: int) -> None:
    shard = shard_name(number)
    files = [tar_name(shard), sidecar_name(shard), quarantine_name(shard)]
    indexes = [f"{shard}.idx", f"{shard}.tar.idx"]

    assert {shard_of(name) for name in [*files, *indexes]} == {shard}
    assert is_numbered(shard)
    assert is_ours(shard)


def test_shards_of_batches_lead_to_their_batch() -> None:
    assert batch_of(batch_shard_name("images-3f2a9c", 7)) == "images-3f2a9c"
    assert batch_of("images-3f2a9c") is None
    assert not is_numbered("images-3f2a9c-000007")
    assert is_ours("images-3f2a9c-000007")


@pytest.mark.parametrize("shard", ["", "images-", "pictures-000000", "my-images-000000"])
def test_other_names_are_not_ours(shard: str) -> None:
    assert not is_ours(shard)
    assert not is_numbered(shard)

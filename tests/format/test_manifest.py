from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from arrowimg._format.manifest import Manifest, ShardEntry
from arrowimg._format.names import MANIFEST_NAME
from arrowimg.errors import ManifestError

ENTRY = ShardEntry(
    tar="images-000000.tar",
    tar_nbytes=2560,
    tar_checksum="aa" * 16,
    parquet="images-000000.parquet",
    parquet_nbytes=900,
    parquet_checksum="bb" * 16,
    num_images=1,
    num_rows=2,
)
MANIFEST = Manifest(
    writer={"pyarrow": "1", "arrowimg": "2"},
    options={"zeta": 1, "alpha": {"y": 1, "x": 2}},
    num_shards=1,
    num_images=1,
    num_rows=2,
    shards=[ENTRY],
)


def changed(**fields: Any) -> bytes:  # noqa: ANN401  # whatever JSON holds
    return json.dumps(json.loads(MANIFEST.to_json()) | fields).encode()


def test_the_name_is_no_shards() -> None:
    assert MANIFEST_NAME == "manifest.json"


def test_what_is_written_is_read_back() -> None:
    assert Manifest.from_json(MANIFEST.to_json(), "manifest.json") == MANIFEST


def test_the_json_is_canonical_and_made_for_reading() -> None:
    written = MANIFEST.to_json()

    reordered = msgspec.structs.replace(
        MANIFEST,
        writer={"arrowimg": "2", "pyarrow": "1"},
        options={"alpha": {"x": 2, "y": 1}, "zeta": 1},
    )
    assert written == reordered.to_json()
    assert written.startswith(b'{\n  "format_version": 1,\n')
    assert written.endswith(b"}\n")


def test_files_are_named_without_their_folder() -> None:
    (shard,) = json.loads(MANIFEST.to_json())["shards"]

    assert shard == msgspec.structs.asdict(ENTRY)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b"\xff\xfe", changed(shards=[{}]), changed(num_rows="two")],
    ids=["nothing", "cut", "list", "empty", "binary", "bad shard", "bad type"],
)
def test_other_content_is_refused_with_the_path(data: bytes) -> None:
    with pytest.raises(ManifestError, match=r"^out/manifest\.json: expected") as caught:
        Manifest.from_json(data, "out/manifest.json")

    assert caught.value.path == "out/manifest.json"


def test_a_newer_format_version_is_refused_as_such() -> None:
    with pytest.raises(ManifestError, match="a format version up to 3, found version 4"):
        Manifest.from_json(changed(format_version=4), "manifest.json")


def test_a_newer_format_version_is_told_from_garbage_by_its_version() -> None:
    newer = changed(format_version=4, signature="what version 4 may add")

    with pytest.raises(ManifestError, match="a format version up to 3, found version 4"):
        Manifest.from_json(newer, "manifest.json")

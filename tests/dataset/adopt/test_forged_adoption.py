"""Who hands you adopted tars does not choose which of your files are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest
from adopt_data import picture, samples, tar_of, write_tars

import arrowimg
from arrowimg._core.version import ADOPTED_VERSION
from arrowimg._format.manifest import Manifest
from arrowimg._format.names import adopted_shard
from arrowimg._format.sidecar import parse_footer
from arrowimg.errors import ArrowimgError, ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATHS = [
    "/etc/passwd.tar",
    "../secret.tar",
    "a/../../secret.tar",
    "./a.tar",
    "a//b.tar",
    "a.txt",
    "s3://bucket/a.tar",
    ".tar/",
    "a\0.tar",
    "x" * 2000 + ".tar",
]
OPERATIONS: list[Callable[[Path], Any]] = [
    lambda out: arrowimg.fetch_images(arrowimg.scan(out)),
    lambda out: list(arrowimg.read_batches(out)),
    lambda out: arrowimg.reshard(out, out.parent / "new"),
    arrowimg.export_index,
    lambda out: arrowimg.verify(out).damages or pytest.fail("it is sound"),
]


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    tars = write_tars(tmp_path / "tars", samples(range(3)))
    (tmp_path / "secret.tar").write_bytes((tars / "00000.tar").read_bytes())
    arrowimg.adopt(tars)
    return tars


def pictures_of(place: Path | arrowimg.Adopted) -> list[bytes]:
    assert arrowimg.verify(place).is_sound
    return arrowimg.fetch_images(arrowimg.scan(place))["image_data"].to_list()


@pytest.mark.parametrize("path", PATHS)
def test_a_manifest_names_tars_in_its_folder_or_below(path: str, tars: Path) -> None:
    document = json.loads((tars / "manifest.json").read_bytes())
    document["shards"][0] |= {"tar": path, "parquet": f"{adopted_shard(path)}.parquet"}
    (tars / "manifest.json").write_text(json.dumps(document))

    for operation in OPERATIONS:
        with pytest.raises(ArrowimgError):
            operation(tars)


@pytest.mark.parametrize("path", [*PATHS, "images-000000.tar"])
def test_a_footer_names_the_tar_that_its_sidecar_is_called_after(path: str, tars: Path) -> None:
    sidecar = tars / "adopted-00000.parquet"
    metadata = pq.read_metadata(sidecar).metadata
    document = json.loads(metadata[b"arrowimg"]) | {"tar_file": path}

    if path == "images-000000.tar":
        footer = parse_footer({b"arrowimg": json.dumps(document).encode()}, "")
        assert footer.shard != "adopted-00000"
    else:
        with pytest.raises(ManifestError):
            parse_footer({b"arrowimg": json.dumps(document).encode()}, "")


def test_a_link_in_place_of_a_tar_or_a_folder_is_refused(tmp_path: Path) -> None:
    secret = write_tars(tmp_path / "secret" / "below", samples(range(3)))
    folder = write_tars(tmp_path / "out" / "below", samples(range(3)))
    arrowimg.adopt(tmp_path / "out" / "**" / "*.tar", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert (document["adopted"]["place"], document["shards"][0]["tar"]) == (
        str(folder),
        "00000.tar",
    )
    place = arrowimg.Adopted(tmp_path / "out", tmp_path / "out" / "below")
    assert pictures_of(place) == [picture(number) for number in range(3)]

    (folder / "00000.tar").unlink()
    (folder / "00000.tar").symlink_to(secret / "00000.tar")

    with pytest.raises(ArrowimgError):
        arrowimg.fetch_images(arrowimg.scan(place))
    assert not arrowimg.verify(place).is_sound


def test_a_link_to_a_folder_below_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tars(tmp_path / "out" / name, samples(range(3)))
    arrowimg.adopt(f"{tmp_path}/out/*/*.tar", ids="path")
    assert pictures_of(tmp_path / "out") == [picture(number) for number in range(3)] * 2

    (tmp_path / "out" / "a").rename(tmp_path / "elsewhere")
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ArrowimgError):
        arrowimg.fetch_images(arrowimg.scan(tmp_path / "out"))
    assert not arrowimg.verify(tmp_path / "out").is_sound


@pytest.mark.parametrize(
    "changes",
    [{"format_version": 1}, {"adopted": None}, {"adopted": {"place": 7, "members": [], "ids": ""}}],
)
def test_a_version_is_of_its_own_kind_of_document(changes: dict[str, Any], tars: Path) -> None:
    document = json.loads((tars / "manifest.json").read_bytes()) | changes

    with pytest.raises(ManifestError):
        Manifest.from_json(json.dumps(document).encode(), "")


def test_documents_of_ours_have_the_version_of_before(tars: Path, tmp_path: Path) -> None:
    arrowimg.reshard(tars, tmp_path / "new")

    ours = msgspec.json.decode((tmp_path / "new" / "manifest.json").read_bytes())
    theirs = msgspec.json.decode((tars / "manifest.json").read_bytes())
    assert (ours["format_version"], theirs["format_version"]) == (1, ADOPTED_VERSION)
    assert "adopted" not in ours


def test_offsets_that_lead_out_of_a_tar_are_refused(tars: Path) -> None:
    rows = arrowimg.scan(tars).collect()
    (tars / "00000.tar").write_bytes(tar_of(samples(range(3)))[:3000])

    with pytest.raises(ArrowimgError):
        arrowimg.fetch_images(rows)

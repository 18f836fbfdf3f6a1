"""The description in Croissant, against hashlib and its own references."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from index_data import write_dataset
from writer_data import IDS, windows

from arrowimg import ImageBatch, ImageWriterStage, export_index
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["manifest", "footers"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_dataset(tmp_path / "out", checksum="sha256")
    if request.param == "footers":
        (tmp_path / "out" / "manifest.json").unlink()
    export_index(tmp_path / "out", ("croissant",))
    return tmp_path / "out"


def described(folder: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads((folder / "croissant.json").read_bytes())
    return description


def ids_in(value: object) -> list[str]:
    """Return each ``@id`` that something has, not those that refer to something."""
    if isinstance(value, list):
        return [found for it in value for found in ids_in(it)]
    if not isinstance(value, dict):
        return []
    own = [value["@id"]] if "@id" in value and "@type" in value else []
    return own + [found for it in value.values() for found in ids_in(it)]


def references_in(value: object) -> list[str]:
    if isinstance(value, list):
        return [found for it in value for found in references_in(it)]
    if not isinstance(value, dict):
        return []
    if list(value) == ["@id"]:
        return [value["@id"]]
    return [found for it in value.values() for found in references_in(it)]


def test_every_file_has_its_sha256_and_size(out: Path) -> None:
    files = [it for it in described(out)["distribution"] if it["@type"] == "cr:FileObject"]

    assert sorted(file["contentUrl"] for file in files) == sorted(
        path.name for path in out.glob("images-*")
    )
    for file in files:
        data = (out / file["contentUrl"]).read_bytes()
        is_tar = file["@id"].endswith(".tar")
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"
        assert file["encodingFormat"] == f"application/x-{'tar' if is_tar else 'parquet'}"


def test_the_document_is_croissant_1_1(out: Path) -> None:
    description = described(out)

    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert description["@type"] == "sc:Dataset"
    assert description["@context"]["cr"] == "http://mlcommons.org/croissant/"
    assert description["@context"]["containedIn"] == "cr:containedIn"
    assert description["description"] == "18 JPEG pictures in 3 tar shards."


def test_references_lead_to_something(out: Path) -> None:
    description = described(out)
    description.pop("@context")
    names = ids_in(description)

    assert len(set(names)) == len(names)
    assert {"images-000000.tar", "pictures", "sidecars"} <= set(references_in(description))
    assert set(references_in(description)) <= set(names)


def test_columns_are_those_of_a_sidecar(out: Path) -> None:
    (samples,) = (it for it in described(out)["recordSet"] if it["@id"] == "samples")
    columns = [field["source"]["extract"]["column"] for field in samples["field"]]

    assert set(columns) <= set(pq.read_schema(out / "images-000000.parquet").names)
    assert {"image_id", "member_name", "offset", "size", "error"} <= set(columns)


def test_pictures_are_the_jpg_of_all_tars(out: Path) -> None:
    (pictures,) = (it for it in described(out)["distribution"] if it["@id"] == "pictures")

    assert pictures["includes"] == ["*.jpg"]
    assert pictures["containedIn"] == [{"@id": f"images-{at:06d}.tar"} for at in range(3)]


@pytest.mark.parametrize("has_manifest", [True, False])
def test_other_checksums_are_refused(tmp_path: Path, has_manifest: bool) -> None:  # noqa: FBT001
    if has_manifest:
        write_dataset(tmp_path)
    else:
        ImageWriterStage(tmp_path).process(ImageBatch.from_arrays(windows(2), IDS[:2]))
        ImageWriterStage(tmp_path, checksum="sha256").process(
            ImageBatch.from_arrays(windows(2), IDS[2:4])
        )

    with pytest.raises(OptionError, match=r'only .* written with checksum="sha256"'):
        export_index(tmp_path, ("croissant",))

    assert not (tmp_path / "croissant.json").exists()

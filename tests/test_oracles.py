"""Other libraries read what was written: one dataset with hostile ids, written once."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import logging
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import datasets
import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import webdataset
import xxhash
from photographs import SKIMAGE, SKLEARN
from PIL import Image

from arrowimg import FileGroupTask, ImageBatch, write_shards

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

IDS = [
    "plain",
    "with.dots.v1",
    "folder/name.jpg",
    "/absolute",
    "../../escape",
    "with space and\ttab",
    "naïve café",
    "猫",
    "e\u0301",
    "\u00e9",
    "x" * 300,
    "y" * 299 + "z",
    "UPPER",
    "upper",
    "nul\0inside",
    "",
    ".",
    "-rf",
    "~",
    "|pipe",
    "C:\\windows",
    "line\nbreak",
    "__key__",
    "row-000000001",
    "right\u202eleft",
]
NAMES = [
    *(SKIMAGE / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")),
    *(SKLEARN / name for name in ("china.jpg", "flower.jpg")),
]
PHOTOGRAPHS = [np.asarray(Image.open(name).convert("RGB")) for name in NAMES]
SOURCES: list[npt.NDArray[np.uint8]] = [
    PHOTOGRAPHS[at % 6][100 : 180 + at, 120 : 240 - 2 * at] for at in range(len(IDS))
]
CAPTIONS = [f"picture {at}: naïve 猫\n" for at in range(len(IDS))]
SCORES = [at / 3 for at in range(len(IDS))]

# Readers of tars that leave closing to the garbage collector; it runs while this still holds.
LEAVES_FILES_OPEN = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


class Dataset(NamedTuple):
    folder: Path
    group: FileGroupTask


@pytest.fixture(scope="module", params=["pruned", "kept"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Write the dataset, without and with the pictures in its sidecars."""
    folder = tmp_path_factory.mktemp("oracles")
    batch = ImageBatch.from_arrays(SOURCES, IDS, caption=CAPTIONS, score=SCORES)
    group = write_shards(
        batch,
        folder,
        images_per_tar=10,
        remove_image_data=request.param == "pruned",
        members={"txt": "caption", "json": ["score", "caption"]},
    )
    return Dataset(folder, group)


@pytest.fixture
def cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Let Hugging Face keep its cache in the test's own folder, and be silent."""
    caplog.set_level(logging.ERROR)
    datasets.disable_progress_bars()
    yield str(tmp_path / "cache")
    datasets.enable_progress_bars()


def members_of(dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    for path in dataset.group.tar_paths:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                yield member.name, file.read()


def rows_of(dataset: Dataset) -> list[dict[str, Any]]:
    return [row for path in dataset.group.parquet_paths for row in pq.read_table(path).to_pylist()]


def assert_like(decoded: Image.Image, source: npt.NDArray[np.uint8]) -> None:
    """Compare a decoded JPEG with its source: quality 92, 4:2:0."""
    pixels = np.asarray(decoded, np.int16)
    assert pixels.shape == source.shape
    assert np.abs(pixels - source).mean() < 6
    # A wrong order of channels, or another picture, is far off in the mean of some channel.
    assert np.abs(pixels.mean((0, 1)) - source.mean((0, 1))).max() < 1.5


def test_pillow_decodes_every_picture_to_its_source(dataset: Dataset) -> None:
    pictures = [data for name, data in members_of(dataset) if name.endswith(".jpg")]

    assert len(pictures) == len(SOURCES)
    for data, source in zip(pictures, SOURCES, strict=True):
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert_like(image, source)


@LEAVES_FILES_OPEN
def test_webdataset_returns_every_sample_in_order(dataset: Dataset) -> None:
    reader = webdataset.WebDataset(dataset.group.tar_paths, shardshuffle=False).decode("pil")

    samples = list(reader)
    gc.collect()

    assert [sample["txt"] for sample in samples] == CAPTIONS
    assert [sample["json"] for sample in samples] == [
        {"score": score, "caption": caption}
        for score, caption in zip(SCORES, CAPTIONS, strict=True)
    ]
    assert [f"{sample['__key__']}.jpg" for sample in samples] == [
        row["member_name"] for row in rows_of(dataset)
    ]
    for sample, source in zip(samples, SOURCES, strict=True):
        assert_like(sample["jpg"], source)


@LEAVES_FILES_OPEN
def test_hugging_face_reads_the_tars_as_webdataset(dataset: Dataset, cache: str) -> None:
    loaded = datasets.load_dataset(
        "webdataset", data_files=dataset.group.tar_paths, split="train", cache_dir=cache
    )

    gc.collect()

    assert loaded["txt"][:] == CAPTIONS
    assert [row["score"] for row in loaded["json"]] == SCORES
    for row, source in zip(loaded, SOURCES, strict=True):
        assert_like(row["jpg"], source)


def test_hugging_face_reads_the_sidecars_as_parquet(dataset: Dataset, cache: str) -> None:
    loaded = datasets.load_dataset(
        "parquet", data_files=dataset.group.parquet_paths, split="train", cache_dir=cache
    )

    assert loaded["image_id"][:] == IDS
    assert loaded["score"][:] == SCORES
    if "image_data" in loaded.column_names:
        for row, source in zip(loaded, SOURCES, strict=True):
            assert_like(row["image_data"], source)


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_other_programs_list_the_same_names_in_order(dataset: Dataset, program: str) -> None:
    found = shutil.which(program)
    if found is None and program == "bsdtar":
        pytest.skip("bsdtar is not installed")
    assert found is not None
    names = [name for name, _ in members_of(dataset)]

    listed = []
    for path in dataset.group.tar_paths:
        listing = subprocess.run([found, "-tf", path], capture_output=True, text=True, check=True)
        assert listing.stderr == ""
        listed += listing.stdout.splitlines()

    assert listed == names
    assert len(names) == 3 * len(IDS)


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_nothing_is_extracted_outside_the_folder(
    dataset: Dataset, program: str, tmp_path: Path
) -> None:
    found = shutil.which(program)
    if found is None and program == "bsdtar":
        pytest.skip("bsdtar is not installed")
    assert found is not None
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)

    for path in dataset.group.tar_paths:
        command = [found, "-xf", path, "-C", str(inside)]
        assert subprocess.run(command, capture_output=True, check=True).stderr == b""

    extracted = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.parent for path in extracted} == {inside}
    assert len(extracted) == 3 * len(IDS)


def test_names_are_portable_and_unique(dataset: Dataset) -> None:
    keys = {name.partition(".")[0] for name, _ in members_of(dataset)}

    assert len(keys) == len(IDS)
    assert all(name.isascii() and name.isprintable() for name in keys)
    assert all(len(name) <= 100 and " " not in name for name, _ in members_of(dataset))


def test_duckdb_reads_the_sidecars_of_a_folder_in_one_query(dataset: Dataset) -> None:
    sidecars = duckdb.connect().read_parquet(f"{dataset.folder}/*.parquet")

    (row,) = sidecars.aggregate("sum(score), count(*), count(DISTINCT checksum)").fetchall()

    assert row == (pytest.approx(sum(SCORES)), len(IDS), len(IDS))


def test_polars_reads_the_sidecars_of_a_folder(dataset: Dataset) -> None:
    frame = pl.scan_parquet(dataset.folder / "*.parquet").select(
        "image_id", "caption", "score", "width", "height"
    )

    assert frame.collect().rows() == [
        (image_id, caption, score, source.shape[1], source.shape[0])
        for image_id, caption, score, source in zip(IDS, CAPTIONS, SCORES, SOURCES, strict=True)
    ]


def test_ids_are_kept_verbatim(dataset: Dataset) -> None:
    assert [row["image_id"] for row in rows_of(dataset)] == IDS


def test_a_slice_of_the_tar_is_the_picture_that_the_checksum_is_of(dataset: Dataset) -> None:
    members = dict(members_of(dataset))
    for row in rows_of(dataset):
        tar = (dataset.folder / row["tar_file"]).read_bytes()
        picture = tar[row["offset"] : row["offset"] + row["size"]]

        assert picture == members[row["member_name"]]
        assert row["checksum"] == xxhash.xxh3_128_digest(picture)
        assert row.get("image_data", {}).get("bytes", picture) == picture


def test_checksums_may_be_sha256(tmp_path: Path) -> None:
    batch = ImageBatch.from_arrays(SOURCES[:3], IDS[:3])

    group = write_shards(batch, tmp_path, checksum="sha256")

    for row in rows_of(Dataset(tmp_path, group)):
        picture = Path(group.tar_paths[0]).read_bytes()[row["offset"] :][: row["size"]]
        assert row["checksum"] == hashlib.sha256(picture).digest()
    assert group.data["checksum"].to_pylist() == [
        hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in group.paths
    ]
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert manifest["options"]["checksum"] == "sha256"

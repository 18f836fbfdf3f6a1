"""The name of a batch's shards: the same for the same batch, another for any other."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photographs import SKIMAGE
from PIL import Image

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage, JpegOptions, PixelOptions

if TYPE_CHECKING:
    from collections.abc import Callable

PHOTOGRAPH = SKIMAGE / "camera.png"
PIXELS = np.stack([np.asarray(Image.open(PHOTOGRAPH))[at : at + 9, 200:212] for at in range(6)])

TABLE = ImageBatch.from_arrays(
    PIXELS, ["a", None, None, "d", "e", None], [None, "b.png", None, "d.png", None, None]
).data
BATCH = ImageBatch(TABLE, "cameras", "t1")


def name_of(batch: ImageBatch, **options: Any) -> str:  # noqa: ANN401  # any option
    return ImageWriterStage("out", **options).construct_base_name(batch)


def replaced(column: str, row: int, value: object) -> ImageBatch:
    values = TABLE[column].to_pylist()
    values[row] = value
    at = TABLE.column_names.index(column)
    return ImageBatch(TABLE.set_column(at, column, pa.array(values, pa.string())), "cameras", "t1")


def repainted(row: int) -> ImageBatch:
    pixels = PIXELS.copy()
    pixels[row, 4, 5] ^= 1
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    return ImageBatch(TABLE.set_column(0, "image_data", column), "cameras", "t1")


def test_a_name_has_a_prefix_and_at_least_80_bits() -> None:
    assert re.fullmatch(r"images-[0-9a-f]{20,}", name_of(BATCH))


def test_another_process_gives_the_same_name() -> None:
    stage = ImageWriterStage("out")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        elsewhere = pool.submit(stage.construct_base_name, BATCH).result()

    assert elsewhere == stage.construct_base_name(BATCH)


@given(st.lists(st.integers(0, 6), max_size=6))
def test_chunks_do_not_count(cuts: list[int]) -> None:
    bounds = sorted([0, *cuts, 6])
    pieces = [TABLE.slice(start, stop - start) for start, stop in itertools.pairwise(bounds)]

    assert name_of(ImageBatch(pa.concat_tables(pieces), "cameras", "t1")) == name_of(BATCH)


def test_a_slice_is_named_like_a_copy_of_its_rows() -> None:
    padded = pa.concat_tables([TABLE[3:], TABLE, TABLE[:2]]).combine_chunks()

    assert name_of(ImageBatch(padded.slice(3, 6), "cameras", "t1")) == name_of(BATCH)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.set_column(
            0, "image_data", ImageBatch.from_arrays(list(PIXELS)).data["image_data"]
        ),
        lambda table: table.set_column(1, "image_id", table["image_id"].dictionary_encode()),
        lambda table: table.set_column(1, "image_id", table["image_id"].cast(pa.large_string())),
        lambda table: table.append_column("score", pa.array(range(6))),
        lambda table: table.select(["image_path", "image_id", "image_data"]),
    ],
    ids=["image type", "dictionary ids", "large ids", "metadata", "column order"],
)
def test_what_leaves_the_pictures_alone_does_not_count(
    change: Callable[[pa.Table], pa.Table],
) -> None:
    assert name_of(ImageBatch(change(TABLE), "cameras", "t1")) == name_of(BATCH)


@pytest.mark.parametrize(
    "other",
    [
        ImageBatch(TABLE, "dogs", "t1"),
        ImageBatch(TABLE, "cameras", "t2"),
        ImageBatch(TABLE, "camerast", "1"),
        ImageBatch(TABLE.take([1, 0, 2, 3, 4, 5]), "cameras", "t1"),
        ImageBatch(TABLE[:5], "cameras", "t1"),
        replaced("image_id", 0, "A"),
        replaced("image_id", 0, None),
        replaced("image_path", 3, "e.png"),
        replaced("image_path", 0, ""),
        repainted(2),
        repainted(5),
    ],
    ids=[
        "dataset",
        "task",
        "where one name ends",
        "order",
        "fewer rows",
        "id",
        "no id",
        "path",
        "empty path",
        "picture without id and path",
        "last picture",
    ],
)
def test_another_batch_has_another_name(other: ImageBatch) -> None:
    assert name_of(other) != name_of(BATCH)


def test_the_picture_of_a_row_with_id_or_path_does_not_count() -> None:
    assert {name_of(repainted(row)) for row in (0, 1, 3, 4)} == {name_of(BATCH)}


@pytest.mark.parametrize(
    "options",
    [
        {"images_per_tar": 7},
        {"remove_image_data": True},
        {"jpeg": JpegOptions(quality=91)},
        {"pixels": PixelOptions(alpha="black")},
        {"max_bytes_per_tar": 10_000},
        {"keys": "verbatim"},
        {"checksum": "sha256"},
        {"reencode": True},
        {"members": {"txt": "caption"}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_change_bytes_count(options: dict[str, Any]) -> None:
    assert name_of(BATCH, **options) != name_of(BATCH)


@pytest.mark.parametrize(
    "options",
    [{"encode_threads": 1}, {"encode_threads": 7}, {"on_error": "quarantine"}, {"verbose": True}],
)
def test_options_that_change_no_byte_do_not_count(options: dict[str, Any]) -> None:
    assert name_of(BATCH, **options) == name_of(BATCH)


def test_the_folder_does_not_count() -> None:
    assert ImageWriterStage("elsewhere").construct_base_name(BATCH) == name_of(BATCH)


def test_a_random_name_is_another_each_time() -> None:
    stage = ImageWriterStage("out", deterministic_name=False)

    names = {stage.construct_base_name(BATCH) for _ in range(50)}

    assert len(names) == 50
    assert all(re.fullmatch(r"images-[0-9a-f]{20,}", name) for name in names)


def test_a_random_name_is_another_in_each_fork() -> None:
    code = """if True:
        import os, pyarrow, arrowimg
        stage = arrowimg.ImageWriterStage("out", deterministic_name=False)
        batch = arrowimg.ImageBatch(pyarrow.table({"image_id": ["a"], "image_data": [b"a"]}))
        children = []
        for _ in range(3):
            child = os.fork()
            if not child:
                os.write(1, stage.construct_base_name(batch).encode() + b"\\n")
                os._exit(0)
            os.waitpid(child, 0)
        print(stage.construct_base_name(batch))
    """
    package = Path(arrowimg.__file__).parents[1]
    forked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )

    names = forked.stdout.split()
    assert len(set(names)) == len(names) == 4


def test_a_random_name_is_the_name_of_the_files(tmp_path: Path) -> None:
    stage = ImageWriterStage(tmp_path, deterministic_name=False)

    paths = [*stage.process(BATCH).paths, *stage.process(BATCH).paths]

    assert len({Path(path).stem for path in paths}) == 2
    assert all(Path(path).exists() for path in paths)

"""What the contenders are given: tables of pictures as Arrow files, made once per run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import pyarrow as pa

from benchmarks.pictures import cut_pictures

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.views import Picture

_EMBEDDING_SIZE = 768
_MOST_VALUES = 2**30


@dataclass(frozen=True)
class Input:
    """A table to write.

    Attributes
    ----------
    kind
        ``"pixels"``: ``arrow.fixed_shape_tensor``, or of several shapes a struct of data and shape.
        ``"files"``: the JPEG files of such pictures, ``large_binary``.
    shapes
        Heights and widths, in turn.
    num_rows, quick_rows
        Of a full and of a quick run.
    embedding
        True: each row has an embedding of 768 float32.
    """

    name: str
    kind: Literal["pixels", "files"]
    shapes: tuple[tuple[int, int], ...]
    num_rows: int
    quick_rows: int
    embedding: bool = False


INPUTS = {
    table.name: table
    for table in (
        Input("64", "pixels", ((64, 64),), 8000, 4000),
        Input("256", "pixels", ((256, 256),), 2000, 1000),
        Input("256-embedding", "pixels", ((256, 256),), 2000, 1000, embedding=True),
        Input("1024", "pixels", ((768, 1024),), 500, 150),
        Input(
            "mixed",
            "pixels",
            ((64, 96), (480, 640), (224, 224), (160, 120), (512, 384), (256, 341)),
            1500,
            600,
        ),
        Input("4KB", "files", ((104, 104),), 40_000, 10_000),
        Input("15KB", "files", ((208, 208),), 20_000, 5_000),
        Input("15KB-few", "files", ((208, 208),), 5_000, 2_000),
        Input("100KB", "files", ((480, 640),), 3_000, 600),
        Input("thumbnails", "files", ((64, 64),), 10_000, 10_000),
        Input("few-thumbnails", "files", ((64, 64),), 1_000, 1_000),
        Input("batch-256", "pixels", ((256, 256),), 500, 500),
        Input("batch-15KB", "files", ((208, 208),), 1_000, 1_000),
        Input("batch-100KB", "files", ((480, 640),), 500, 500),
    )
}


def make_input(description: Input, num_rows: int, folder: Path) -> tuple[Path, Path]:
    """Write the table, and the reference of its pictures, unless they are there.

    Returns
    -------
    tuple of Path
        Arrow files of the table, and of the columns image_id and file: each picture as OpenCV
        encodes it at quality 92, or as it was given.
    """
    path, reference = (
        folder / f"{description.name}-{num_rows}{ending}.arrow" for ending in ("", "-reference")
    )
    if not reference.exists():
        pictures = list(cut_pictures(num_rows, list(description.shapes), seed=num_rows))
        with ThreadPoolExecutor() as pool:
            encoded = pa.array(list(pool.map(_encode, pictures)), pa.large_binary())
        ids = pa.array([f"picture-{number:07d}" for number in range(num_rows)])
        images = encoded if description.kind == "files" else _pixels(pictures)
        table = pa.table({"image_data": images, "image_id": ids} | _metadata(description, num_rows))
        _write(table, path)
        _write(pa.table({"image_id": ids, "file": encoded}), reference)
    return path, reference


def _metadata(description: Input, num_rows: int) -> dict[str, pa.Array]:
    random = np.random.default_rng(num_rows)
    subjects = ("a cat", "a rocket", "a temple", "a flower", "a motorcycle", "an astronaut")
    captions = [
        f"a photograph of {subjects[number % len(subjects)]}, detail {number}"
        for number in range(num_rows)
    ]
    columns = {"caption": pa.array(captions), "score": pa.array(random.random(num_rows))}
    if description.embedding:
        values = pa.array(random.standard_normal(num_rows * _EMBEDDING_SIZE, np.float32))
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(values, _EMBEDDING_SIZE)
    return columns


def _pixels(pictures: list[Picture]) -> pa.Array:
    if len({picture.shape for picture in pictures}) == 1:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(pictures))
    starts = np.cumsum([0, *(picture.size for picture in pictures)])
    values = pa.array(np.concatenate([picture.reshape(-1) for picture in pictures]))
    data = pa.LargeListArray.from_arrays(starts, values)
    shapes = pa.array([picture.shape for picture in pictures], pa.list_(pa.int32(), 3))
    return pa.StructArray.from_arrays([data, shapes], ["data", "shape"])


def _encode(picture: Picture) -> bytes:
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]
    )
    return data.tobytes()


def _write(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        # What one batch of an Arrow file holds is counted in 32 bits.
        writer.write_table(table, max_chunksize=max(1, _MOST_VALUES * len(table) // table.nbytes))

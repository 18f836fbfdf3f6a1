"""A corpus with a fixed seed, and the SHA-256 of all that is written of it."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from photographs import SKIMAGE
from PIL import Image

from arrowimg import (
    ImageBatch,
    ImageWriterStage,
    JpegOptions,
    export_index,
    reshard,
    write_shards,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INDEXES = ("*.json", "*.idx")
HOSTILE_IDS = ["../up", "a.b", "naïve 猫", "x" * 200, "", "-first", "__key__", "row-1", "a/b", "\0"]


def write_corpus(folder: Path) -> None:
    """Write 40 tables by the stage, 20 as datasets, one copied anew and one with indexes."""
    for number in range(40):
        table, options = drawn(random.Random(number))  # noqa: S311  # a corpus is no secret
        place = folder / f"stage-{number:02d}"
        ImageWriterStage(place, on_error="quarantine", **options).process(ImageBatch(table))
    for number in range(40, 60):
        table, options = drawn(random.Random(number))  # noqa: S311
        options |= {"on_error": "quarantine", "keep_quarantined": True}
        write_shards(table, folder / f"dataset-{number}", progress=False, **options)
    windows = np.stack([photograph()[at : at + 16, at : at + 24] for at in range(90)])
    batch = ImageBatch.from_arrays(windows, [f"id{at:02d}" for at in range(90)], score=range(90))
    write_shards(batch, folder / "whole", 25, members={"json": ["score"]}, progress=False)
    reshard(folder / "whole", folder / "copied", "score > 9", 7, shuffle_seed=3, progress=False)
    export_index(folder / "whole", ["webdataset", "wids", "dali", "fsspec", "sizes"])


def drawn(choose: random.Random) -> tuple[pa.Table, dict[str, Any]]:
    """Return a table of 1 to 12 pictures of one kind, with ids and columns or without."""
    rows = choose.randint(1, 12)
    columns = {"image_data": choose.choice([tensors, ragged, files, pairs])(choose, rows)}
    if choose.random() < 0.7:
        ids = choose.sample([*HOSTILE_IDS, *(f"id{at}" for at in range(20))], rows)
        columns["image_id"] = pa.array([None if choose.random() < 0.1 else it for it in ids])
    extra: dict[str, Callable[[], pa.Array]] = {
        "score": lambda: pa.array([at / 3 if at % 4 else None for at in range(rows)]),
        "caption": lambda: pa.array([f"naïve {at}" for at in range(rows)]),
        "embedding": lambda: pa.array([[rows, 0.5]] * rows, pa.list_(pa.float32(), 2)),
        "box": lambda: pa.array([{"x": at, "y": None} for at in range(rows)]),
        "when": lambda: pa.array(range(rows), pa.timestamp("us", "UTC")),
    }
    names = choose.sample(sorted(extra), choose.randint(0, 5))
    table = pa.table(columns | {name: extra[name]() for name in names})
    cut = choose.randint(0, rows)
    options: dict[str, Any] = {"images_per_tar": choose.randint(1, 6)}
    options["remove_image_data"] = choose.random() < 0.5
    if choose.random() < 0.3:
        options["max_bytes_per_tar"] = choose.randint(100_000, 400_000)
    if choose.random() < 0.3:
        options["checksum"] = "sha256"
    if choose.random() < 0.3:
        options["jpeg"] = JpegOptions(quality=choose.randint(1, 100), progressive=True)
    if "caption" in names:
        options["members"] = {"txt": "caption", "json": names}
    return pa.concat_tables([table[:cut], table[cut:]]), options


def tensors(choose: random.Random, rows: int) -> pa.Array:
    height, width, channels = choose.randint(5, 20), choose.randint(5, 20), choose.choice([1, 3])
    pixels = [photograph()[at : at + height, at : at + width, :channels] for at in range(rows)]
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(pixels))


def ragged(choose: random.Random, rows: int) -> pa.Array:
    pictures = [
        photograph()[at : at + choose.randint(0, 20), 2 * at : 2 * at + choose.randint(5, 20)]
        if choose.random() < 0.9
        else None
        for at in range(rows)
    ]
    return ImageBatch.from_arrays(pictures).data["image_data"].combine_chunks()


def files(choose: random.Random, rows: int) -> pa.Array:
    jpeg = (SKIMAGE / "rocket.jpg").read_bytes()
    png = (SKIMAGE / "microaneurysms.png").read_bytes()
    values = [
        choose.choice([jpeg, jpeg, png, None, b"no picture", jpeg[:5000]]) for _ in range(rows)
    ]
    return pa.array(values, choose.choice([pa.binary(), pa.large_binary(), pa.binary_view()]))


def pairs(choose: random.Random, rows: int) -> pa.Array:
    values = files(choose, rows).to_pylist()
    named = [
        None if it is None else {"bytes": it, "path": f"p{at}"} for at, it in enumerate(values)
    ]
    return pa.array(named, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def photograph() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(SKIMAGE / "chelsea.png"))


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """Return the SHA-256 of files below a folder, by their path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }

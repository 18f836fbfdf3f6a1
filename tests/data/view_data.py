"""Datasets to look at: one with all that a page tells of, one of hostile texts."""

from __future__ import annotations

import datetime as dt
import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL import Image

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path

ALERT = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
HOSTILE = [
    ALERT,
    "'; alert(3); '",
    "</script><script>alert(4)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe",
    "שלום עולם",
    "a\0b\x1b[31m",
    "x" * 2**20,
    "javascript:alert(5)",
    "<!--",
]


def photographs(num_rows: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Return pictures of sizes of their own, each other than the rest."""
    random = np.random.default_rng(0)
    return [
        random.integers(0, 256, (40 + at % 7, 50 + at % 5, 3), dtype=np.uint8)
        for at in range(num_rows)
    ]


def png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Return pixels as a PNG file."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def write_varied(folder: Path, num_rows: int = 60) -> Path:
    """Write a dataset with all that a page tells of.

    Row 3 has no picture, rows 4 and 5 are the same one, row 6 is blank, row 7 is long and row 8
    small; captions of rows 10 to 12 are null, that of row 13 is a space.
    """
    images: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None] = [*photographs(num_rows)]
    images[3] = None
    images[5] = images[4]
    images[6] = np.full((300, 300, 3), 200, np.uint8)
    images[7] = np.arange(40 * 400 * 3, dtype=np.uint8).reshape(40, 400, 3)
    images[8] = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    captions: list[str | None] = [f"caption {at} of a thing" for at in range(num_rows)]
    captions[10:14] = [None, None, None, " "]
    mask = np.zeros((20, 20), np.uint8)
    batch = arrowimg.ImageBatch.from_arrays(
        images,
        [f"id-{at:03}" for at in range(num_rows)],
        caption=captions,
        score=[at / num_rows for at in range(num_rows)],
        label=[("cat", "dog", "owl")[at % 3] for at in range(num_rows)],
        is_test=[at % 2 == 0 for at in range(num_rows)],
        tags=[["a"] * (at % 4) for at in range(num_rows)],
        embedding=np.stack([np.full(4, at, np.float32) for at in range(num_rows)]),
        captured_at=pa.array(
            [dt.datetime(2026, 1, 1) + dt.timedelta(hours=at) for at in range(num_rows)],  # noqa: DTZ001  # none
            pa.timestamp("us"),
        ),
        mask=[png(mask + at) for at in range(num_rows)],
    )
    arrowimg.write_shards(
        batch, folder, 20, members={"txt": "caption"}, on_error="quarantine", progress=False
    )
    return folder


def write_hostile(folder: Path) -> Path:
    """Write a dataset whose ids, captions and names of columns mean harm."""
    columns = {
        **{name: pa.array(HOSTILE) for name in HOSTILE if len(name) < 1000},
        "caption": pa.array(HOSTILE),
        "^.*$": pa.array(range(len(HOSTILE))),
        "*": pa.array(HOSTILE),
        "column 0": pa.array(HOSTILE),
        "row number": pa.array(HOSTILE),
    }
    table = pa.table(
        {
            "image_id": pa.array(HOSTILE),
            "image_path": pa.array(HOSTILE),
            "image_data": pa.array([png(it) for it in photographs(len(HOSTILE))]),
            **columns,
        }
    )
    arrowimg.write_shards(table, folder, progress=False)
    return folder

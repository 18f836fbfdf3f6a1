"""The limit of encoding: OpenCV's colour swap and JPEG encoder, and nothing else.

Threads take one picture after the other from one iterator; each swaps colours into a picture of its
own that it uses again and again. What is encoded is dropped.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import cv2

from benchmarks.views import Picture, pictures, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa


def prepare(table: pa.Table, **_settings: Any) -> tuple[list[str], list[Picture]]:
    cv2.setNumThreads(1)
    return [row["image_id"] for row in rows(table)], pictures(table)


def write(prepared: tuple[list[str], list[Picture]], _out: str, threads: int) -> None:
    shared = iter(prepared[1])
    others = [threading.Thread(target=_encode, args=(shared,)) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    _encode(shared)
    for thread in others:
        thread.join()


def _encode(views: Iterable[Picture], encode: Callable[..., Any] = cv2.imencode) -> None:
    # As local names: at 64 x 64, looking them up for each picture would show.
    swap, code, parameters = cv2.cvtColor, cv2.COLOR_RGB2BGR, [cv2.IMWRITE_JPEG_QUALITY, 92]
    swapped = None
    for view in views:
        # OpenCV writes into the array it is given where the shape is the same.
        swapped = swap(view, code, swapped)
        encode(".jpg", swapped, parameters)


def read_back(_out: str, prepared: tuple[list[str], list[Picture]]) -> Iterator[tuple[str, bytes]]:
    encoded: list[bytes] = []

    def keep(*arguments: Any) -> None:
        _, data = cv2.imencode(*arguments)
        encoded.append(data.tobytes())

    ids, views = prepared
    _encode(views, keep)
    yield from zip(ids, encoded, strict=True)

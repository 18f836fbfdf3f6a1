"""Real pictures: crops and smaller copies of photographs that two well-known packages carry."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.views import Picture

# Colour photographs only: a gray one would be cheaper to encode.
_PHOTOGRAPHS = (
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/ihc.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/motorcycle_right.png",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
)
_SHRINKS = (1.0, 1.5, 2.0)
# Beyond this size few photographs are large enough, and an enlarged one has no detail.
_MAX_CROP = (384, 512)


def cut_pictures(num_pictures: int, shapes: list[tuple[int, int]], seed: int) -> Iterator[Picture]:
    """Yield pictures of the given heights and widths in turn; the same for the same seed.

    Each is a random crop of a random photograph, as large as it is or shrunk, mirrored or not. One
    beyond 512 x 384 is laid out of four of these.
    """
    random = np.random.default_rng(seed)
    for number in range(num_pictures):
        height, width = shapes[number % len(shapes)]
        yield _cut(height, width, random)


def _cut(height: int, width: int, random: np.random.Generator) -> Picture:
    if height > _MAX_CROP[0] or width > _MAX_CROP[1]:
        halves = [
            [_cut(rows, columns, random) for columns in (width // 2, width - width // 2)]
            for rows in (height // 2, height - height // 2)
        ]
        return np.vstack([np.hstack(half) for half in halves])
    large_enough = [
        photograph
        for photograph in _photographs()
        if photograph.shape[0] >= height and photograph.shape[1] >= width
    ]
    photograph = large_enough[random.integers(len(large_enough))]
    top = random.integers(photograph.shape[0] - height + 1)
    left = random.integers(photograph.shape[1] - width + 1)
    crop = photograph[top : top + height, left : left + width]
    mirrored = cv2.flip(crop, 1) if random.integers(2) else crop
    return np.ascontiguousarray(mirrored, np.uint8)


@cache
def _photographs() -> list[Picture]:
    """Return each photograph in several sizes."""
    return [_shrunk(photo, by) for photo in map(_read, _PHOTOGRAPHS) for by in _SHRINKS]


def _shrunk(picture: Picture, by: float) -> Picture:
    small = cv2.resize(picture, None, fx=1 / by, fy=1 / by, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _read(name: str) -> Picture:
    package, path = name.split("/", 1)
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package}: `pip install --group bench` brings it")
    pixels = cv2.imread(str(Path(spec.origin).parent / path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FileNotFoundError(name)
    return np.ascontiguousarray(pixels[:, :, ::-1], np.uint8)

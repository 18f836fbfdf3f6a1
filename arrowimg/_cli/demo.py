"""Real photographs to try things on: cut out of those that two well-known packages carry."""

from __future__ import annotations

import datetime as dt
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowimg._images.batch import ImageBatch
from arrowimg._images.codec.decode import decode_rgb
from arrowimg.errors import MissingDependencyError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_PHOTOGRAPHS = {
    "skimage/data/astronaut.png": "an astronaut",
    "skimage/data/camera.png": "a man with a camera",
    "skimage/data/chelsea.png": "a cat",
    "skimage/data/coffee.png": "a cup of coffee",
    "skimage/data/coins.png": "old coins",
    "skimage/data/gravel.png": "gravel",
    "skimage/data/hubble_deep_field.jpg": "galaxies",
    "skimage/data/ihc.png": "stained tissue",
    "skimage/data/motorcycle_left.png": "a motorcycle",
    "skimage/data/retina.jpg": "a retina",
    "skimage/data/rocket.jpg": "a rocket",
    "sklearn/datasets/images/china.jpg": "a Chinese temple",
    "sklearn/datasets/images/flower.jpg": "a flower",
}
_SIDES = (64, 96, 128, 160, 224, 256)
_EMBEDDING_SIDE = 8
_FIRST_DAY = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_IMAGES_PER_BATCH = 250


class DemoImages:
    """Varied pictures with ids, captions, scores, embeddings and timestamps, in batches.

    Parameters
    ----------
    num_rows
        How many pictures.
    seed
        The same seed gives the same pictures.
    """

    def __init__(self, num_rows: int, seed: int = 0) -> None:
        self.num_rows = num_rows
        self._seed = seed

    def __iter__(self) -> Iterator[ImageBatch]:
        return demo_batches(self.num_rows, self._seed)


def demo_batches(num_images: int, seed: int = 0) -> Iterator[ImageBatch]:
    """Yield the batches of `DemoImages`.

    Raises
    ------
    MissingDependencyError
        When scikit-image or scikit-learn is not installed.
    """
    photographs = [(caption, _read_photograph(name)) for name, caption in _PHOTOGRAPHS.items()]
    random = np.random.default_rng(seed)
    for first in range(0, num_images, _IMAGES_PER_BATCH):
        numbers = range(first, min(first + _IMAGES_PER_BATCH, num_images))
        yield _batch([_sample(number, photographs, random) for number in numbers])


def _read_photograph(name: str) -> npt.NDArray[np.uint8]:
    """Return a photograph as (H, W) or (H, W, C=3) RGB."""
    package, path = name.split("/", 1)
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        feature = "the demo"
        raise MissingDependencyError(feature, "demo")
    pixels = decode_rgb(memoryview((Path(spec.origin).parent / path).read_bytes()))
    if isinstance(pixels, Problem):
        raise OSError(f"{name}: {pixels.found}")  # noqa: TRY003, EM102  # a broken installation
    return pixels[:, :, :3] if pixels.ndim == 3 else pixels


def _sample(
    number: int,
    photographs: list[tuple[str, npt.NDArray[np.uint8]]],
    random: np.random.Generator,
) -> dict[str, Any]:
    caption, photograph = photographs[random.integers(len(photographs))]
    height, width = random.choice(_SIDES, 2)
    top = random.integers(photograph.shape[0] - height + 1)
    left = random.integers(photograph.shape[1] - width + 1)
    crop = photograph[top : top + height, left : left + width]
    gray = crop if crop.ndim == 2 else crop.mean(axis=2)
    return {
        "image": crop,
        "image_id": f"demo-{number:06d}",
        "caption": f"{caption}, {width} x {height} pixels from ({left}, {top})",
        "score": float(np.abs(np.diff(gray.astype(np.float64), axis=1)).mean()),
        "embedding": _embedding(gray),
        "captured_at": _FIRST_DAY + dt.timedelta(minutes=number),
    }


def _embedding(gray: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the mean luminance of 8 x 8 tiles, 0 to 1: 64 numbers that look like the picture."""
    side = _EMBEDDING_SIDE
    height, width = (size - size % side for size in gray.shape)
    tiles = gray[:height, :width].reshape(side, height // side, side, width // side)
    return (tiles.mean(axis=(1, 3)) / 255).astype(np.float32).reshape(-1)


def _batch(samples: list[dict[str, Any]]) -> ImageBatch:
    columns = {name: [sample[name] for sample in samples] for name in samples[0]}
    return ImageBatch.from_arrays(
        columns["image"],
        image_ids=columns["image_id"],
        caption=columns["caption"],
        score=columns["score"],
        embedding=np.stack(columns["embedding"]),
        captured_at=pa.array(columns["captured_at"], pa.timestamp("us", "UTC")),
    )

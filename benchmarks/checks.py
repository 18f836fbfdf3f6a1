"""Whether a contender wrote what it was given: a figure counts only then."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.views import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_PSNR = 40.0
"""Decibels between the pixels of two encodings of one picture, both of quality 92 or better."""


class ContentError(ValueError):
    """What was read back is not what was given."""


def compare(
    pictures: Iterable[tuple[str | None, bytes]],
    reference: str,
    repeats: int = 1,
    num_rows: int | None = None,
) -> str:
    """Return in words how the pictures equal those of the reference.

    Parameters
    ----------
    pictures
        Ids, None where they are not kept, and encoded pictures, in any order; without ids, in the
        order of the reference.
    reference
        An Arrow file with columns image_id and file.
    repeats
        How often the reference was written, see `repeated_ids`.
    num_rows
        How many of its rows, from the first; None: all.

    Raises
    ------
    ContentError
        When a picture is missing, is there twice, or differs.
    """
    ids, files = _read_reference(reference, repeats, num_rows)
    place_of = {image_id: place for place, image_id in enumerate(ids)}
    seen = np.zeros(len(ids), np.bool_)
    worst, same_bytes, has_ids = np.inf, True, True
    for number, (image_id, data) in enumerate(pictures):
        has_ids = has_ids and image_id is not None
        place = number if image_id is None else place_of.get(image_id, -1)
        if not 0 <= place < len(ids) or seen[place]:
            raise ContentError(f"picture {number}, id {image_id!r}, was not asked for, or is twice")
        seen[place] = True
        expected = files[place % len(files)]
        if data != expected:
            same_bytes = False
            worst = min(worst, psnr(_decode(data), _decode(expected)))
            if worst < MIN_PSNR:
                raise ContentError(f"picture {number}, id {image_id!r}: {worst:.1f} dB")
    if not seen.all():
        raise ContentError(f"{len(ids) - seen.sum()} of {len(ids)} pictures are missing")
    same = "same bytes" if same_bytes else f"same pictures, at least {worst:.0f} dB"
    return f"{same}, {'same ids' if has_ids else 'same order, no ids'}"


def repeated_ids(ids: list[str], repeats: int) -> list[str]:
    """Return the ids of a table that is written several times: distinct ones.

    Once, they are as they are; else the number of the repetition is appended.
    """
    if repeats == 1:
        return ids
    return [f"{image_id}-{number}" for number in range(repeats) for image_id in ids]


def psnr(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return how alike two pictures are, in decibels; -inf where the shapes differ."""
    if one.shape != other.shape:
        return -np.inf
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(10 * np.log10(255**2 / error)) if error else np.inf


def _read_reference(path: str, repeats: int, num_rows: int | None) -> tuple[list[str], list[bytes]]:
    table = read_table(path).slice(0, num_rows)
    return repeated_ids(table["image_id"].to_pylist(), repeats), table["file"].to_pylist()


def _decode(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))

"""Names of the files that are indexes: what `export_index` writes, and a new dataset takes away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

IndexFormat = Literal["webdataset", "wids", "dali", "energon", "hf", "croissant", "fsspec", "sizes"]
INDEX_FORMATS: tuple[IndexFormat, ...] = get_args(IndexFormat)

WEBDATASET = "webdataset.json"
WIDS = "wids.json"
FSSPEC = "fsspec.json"
SIZES = "sizes.json"
CROISSANT = "croissant.json"
README = "README.md"
"""May hold a person's own text, and says nothing of single shards: it is never taken away."""

ENERGON_INFO = ".nv-meta/.info.json"
ENERGON_SPLIT = ".nv-meta/split.yaml"
ENERGON_DATASET = ".nv-meta/dataset.yaml"
ENERGON_DATABASE = ".nv-meta/index.sqlite"
ENERGON_UUID = ".nv-meta/index.uuid"

OF_DATASET = (
    WEBDATASET,
    WIDS,
    FSSPEC,
    SIZES,
    CROISSANT,
    ENERGON_INFO,
    ENERGON_SPLIT,
    ENERGON_DATASET,
    ENERGON_DATABASE,
    ENERGON_UUID,
)


def indexes_of_tar(tar: str) -> list[str]:
    """Return the names of a tar's own indexes: DALI's and Energon's."""
    return [f"{tar.removesuffix('.tar')}.idx", f"{tar}.idx"]


def indexes_with(tars: Iterable[str]) -> set[str]:
    """Return the names that indexes of a dataset of these tars may have."""
    return {*OF_DATASET, *(name for tar in tars for name in indexes_of_tar(tar))}


def indexes_among(names: Iterable[str]) -> list[str]:
    """Return the indexes of the dataset, be they there or not, and those of tars among `names`."""
    return [*OF_DATASET, *(name for name in names if name.endswith(".idx"))]

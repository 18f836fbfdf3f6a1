"""Names of the files that are indexes: what `export_index` writes, and a new dataset takes away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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

OF_DATASET = (WEBDATASET, WIDS, FSSPEC, SIZES, CROISSANT)
OF_ENERGON = (ENERGON_INFO, ENERGON_SPLIT, ENERGON_DATASET, ENERGON_DATABASE, ENERGON_UUID)

_OF_TAR = re.compile(r"images-.+\.idx")


def indexes_of_tar(tar: str) -> list[str]:
    """Return the names of a tar's own indexes: DALI's and Energon's."""
    return [f"{tar.removesuffix('.tar')}.idx", f"{tar}.idx"]


def indexes_with(tars: Iterable[str]) -> set[str]:
    """Return the names that indexes beside these tars may have."""
    return {*OF_DATASET, *(name for tar in tars for name in indexes_of_tar(tar))}


def indexes_among(names: Sequence[str]) -> list[str]:
    """Return the names of indexes, given those of all files of a folder."""
    there = [name for name in names if name in OF_DATASET or _OF_TAR.fullmatch(name)]
    has_energon = any(name.endswith(".tar.idx") for name in there)
    return [*there, *OF_ENERGON] if has_energon else there


QUARANTINE_PREFIX = "quarantine-"

"""The kinds of indexes that there are. A new one is a module beside these, and its name here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from arrowimg._dataset.index.croissant import CROISSANT
from arrowimg._dataset.index.dali import DALI
from arrowimg._dataset.index.energon import ENERGON
from arrowimg._dataset.index.fsspec import FSSPEC
from arrowimg._dataset.index.hugging_face import HUGGING_FACE
from arrowimg._dataset.index.webdataset import SIZES, WEBDATASET, WIDS
from arrowimg._format.names import FileKind, is_ours, kind_of, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arrowimg._dataset.index.source import Format

IndexFormat = Literal["webdataset", "wids", "dali", "energon", "hf", "croissant", "fsspec", "sizes"]

FORMATS: dict[IndexFormat, Format] = {
    "webdataset": WEBDATASET,
    "wids": WIDS,
    "dali": DALI,
    "energon": ENERGON,
    "hf": HUGGING_FACE,
    "croissant": CROISSANT,
    "fsspec": FSSPEC,
    "sizes": SIZES,
}


def indexes_with(shards: Iterable[str]) -> set[str]:
    """Return the names that indexes may have beside these shards."""
    stems = list(shards)
    names = {f"{stem}{it.suffix}" for it in FORMATS.values() if it.suffix for stem in stems}
    return names.union(*(it.names for it in FORMATS.values()))


def indexes_among(names: Sequence[str]) -> list[str]:
    """Return the names of the indexes that a new dataset takes away, given those of a folder."""
    of_tars = [it for it in names if kind_of(it) is FileKind.INDEX and is_ours(shard_of(it))]
    found = list(of_tars)
    for index in FORMATS.values():
        # Those in a folder below are not among the names, but never there without a tar's own.
        has_own = index.suffix is not None and any(it.endswith(index.suffix) for it in of_tars)
        found += [name for name in index.names if has_own or name in names]
    return found

"""Indexes: what readers want to know before they open a tar, from the sidecars alone."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np

from arrowimg._checksums import checksum
from arrowimg._dataset import sidecar_names
from arrowimg._image_options import check_option
from arrowimg._layout import Layout, read_layout
from arrowimg._storage import LocalStorage
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

IndexFormat = Literal[
    "webdataset", "wids", "dali", "energon", "hf", "croissant", "fsspec", "sizes"
]
File: TypeAlias = tuple[str, bytes]
"""Path of an index below the folder of the shards, and its content."""

_NUMBERED = re.compile(r"(.*?)([0-9]+)(\.tar)")
_ENERGON = ".nv-meta"


def export_index(
    output_dir: str | Path, formats: Sequence[IndexFormat] = ("webdataset",)
) -> list[str]:
    """Write indexes of a dataset beside its shards. No tar is opened.

    An index that is there is replaced. Each is written aside and then made visible, so that a
    reader has the old one or the new one.

    Parameters
    ----------
    output_dir
        Folder of the shards.
    formats
        Which: see ``docs/how-to/index.md``.

    Returns
    -------
    list of str
        Paths of the indexes.

    Raises
    ------
    OptionError
        When a format is unknown, or ``"croissant"`` is asked for of a dataset that was not written
        with ``checksum="sha256"``.
    ManifestError
        When there is neither a manifest nor a sidecar, or one cannot be read.
    """
    known = get_args(IndexFormat)
    for name in formats:
        check_option(name in known, "formats", ", ".join(map(repr, known)), name)
    storage = LocalStorage(output_dir)
    layouts = [read_layout(storage, name) for name in sidecar_names(storage)]
    written = []
    for name in dict.fromkeys(formats):
        for path, content in _FORMATS[name](layouts):
            _publish(storage, path, content)
            written.append(storage.path_of(path))
    return written


def _publish(storage: LocalStorage, path: str, content: bytes) -> None:
    folder, _, name = path.rpartition("/")
    place = LocalStorage(Path(storage.folder) / folder) if folder else storage
    with place.stage("xxh3_128") as staging:
        staging.create(name).write(content)
        staging.publish("overwrite")


def _webdataset(layouts: list[Layout]) -> Iterator[File]:
    """Yield the shards as brace ranges, which `webdataset.WebDataset` takes, and their counts."""
    tars = [layout.footer.tar_file for layout in layouts]
    shards = [
        {"url": layout.footer.tar_file, "nsamples": len(layout.keys)} for layout in layouts
    ]
    index = {
        "urls": "::".join(brace_ranges(tars)),
        "num_shards": len(tars),
        "num_samples": sum(len(layout.keys) for layout in layouts),
        "shards": shards,
    }
    yield "webdataset.json", _json(index)


def brace_ranges(names: Iterable[str]) -> list[str]:
    """Return file names in sorted order as brace ranges: ``images-{000000..000041}.tar``."""
    found = [(name, _NUMBERED.fullmatch(name)) for name in names]

    def run_of(at: int, match: re.Match[str] | None) -> tuple[object, ...]:
        # In a range, numbers grow with their places, and have one width.
        return (
            (match[1], len(match[2]), int(match[2]) - at) if match else (found[at][0],)
        )

    ranges = []
    for _, group in groupby(enumerate(found), key=lambda it: run_of(it[0], it[1][1])):
        run = [entry for _, entry in group]
        (first, match), (_, last) = run[0], run[-1]
        if match is None or last is None or len(run) == 1:
            ranges.append(first)
        else:
            ranges.append(f"{match[1]}{{{match[2]}..{last[2]}}}{match[3]}")
    return ranges


def _wids(layouts: list[Layout]) -> Iterator[File]:
    """Yield the index of `wids.ShardListDataset`."""
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": [
            {
                "url": layout.footer.tar_file,
                "nsamples": len(layout.keys),
                "filesize": layout.footer.tar_nbytes,
            }
            for layout in layouts
        ],
    }
    yield "wids.json", _json(index)


def _dali(layouts: list[Layout]) -> Iterator[File]:
    """Yield an index per tar for `nvidia.dali.fn.readers.webdataset`."""
    for layout in layouts:
        lines = [f"v1.2 {len(layout.keys)}"]
        for key, offsets, sizes in _samples(layout):
            places = zip(layout.extensions, offsets, sizes, strict=True)
            lines.append(" ".join(f"{it} {at} {size} {key}.{it}" for it, at, size in places))
        yield f"{Path(layout.footer.tar_file).stem}.idx", ("\n".join(lines) + "\n").encode()


def _fsspec(layouts: list[Layout]) -> Iterator[File]:
    """Yield references of version 1 for fsspec's ``reference://``."""
    references = {
        f"{key}.{extension}": [f"{{{{root}}}}/{layout.footer.tar_file}", at, size]
        for layout in layouts
        for key, offsets, sizes in _samples(layout)
        for extension, at, size in zip(layout.extensions, offsets, sizes, strict=True)
    }
    yield "fsspec.json", _json({"version": 1, "templates": {"root": "."}, "refs": references})


def _sizes(layouts: list[Layout]) -> Iterator[File]:
    """Yield the number of samples of each tar, as open_clip's tools have it."""
    yield "sizes.json", _json({it.footer.tar_file: len(it.keys) for it in layouts})


def _samples(layout: Layout) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield key, offsets and sizes of each sample."""
    return zip(layout.keys, layout.offsets.tolist(), layout.sizes.tolist(), strict=True)


def _json(value: Any) -> bytes:  # noqa: ANN401  # anything that JSON has
    return msgspec.json.encode(value) + b"\n"

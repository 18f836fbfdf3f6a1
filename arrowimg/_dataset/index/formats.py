"""Indexes of WebDataset, wids, open_clip, DALI and fsspec: from what is listed to files."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._core.binary import value_bytes, value_offsets
from arrowimg._format.names import FSSPEC, SIZES, WEBDATASET, WIDS, indexes_of_tar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._core.checksums import BytesLike
    from arrowimg._dataset.folder import Listing
    from arrowimg._format.layout import Layout

File: TypeAlias = "tuple[str, Iterable[BytesLike]]"
"""Path of an index below the folder of the shards, and its content piece by piece."""

_NUMBERED = re.compile(r"(.*?)([0-9]+)(\.tar)")


def webdataset_index(listing: Listing) -> Iterator[File]:
    """Yield the shards with their counts, and as brace ranges.

    ``::`` between ranges is how ``webdataset.WebDataset`` takes several in one string:
    https://github.com/webdataset/webdataset/blob/main/src/webdataset/shardlists.py
    """
    index = {
        "urls": "::".join(brace_ranges(shard.tar for shard in listing.shards)),
        "num_shards": len(listing.shards),
        "num_samples": listing.num_samples,
        "shards": [
            {"url": shard.tar, "nsamples": shard.num_images, "filesize": shard.tar_nbytes}
            for shard in listing.shards
        ],
    }
    yield WEBDATASET, [json_bytes(index)]


def brace_ranges(names: Iterable[str]) -> list[str]:
    """Return file names, in their order, as brace ranges: ``images-{000000..000041}.tar``."""
    found = [(name, _NUMBERED.fullmatch(name)) for name in names]

    def run_of(entry: tuple[int, tuple[str, re.Match[str] | None]]) -> tuple[object, ...]:
        # In a range, numbers grow with their places, and have one width.
        at, (name, match) = entry
        return (match[1], len(match[2]), int(match[2]) - at) if match else (name,)

    ranges = []
    for _, group in groupby(enumerate(found), key=run_of):
        run = [entry for _, entry in group]
        (first, start), (_, stop) = run[0], run[-1]
        if start is None or stop is None or len(run) == 1:
            ranges.append(first)
        else:
            ranges.append(f"{start[1]}{{{start[2]}..{stop[2]}}}{start[3]}")
    return ranges


def file_patterns(names: Iterable[str]) -> list[str]:
    """Return patterns that cover file names: one for all that writers number, else the names."""
    patterns = (
        f"images-*.{name.rpartition('.')[2]}" if name.startswith("images-") else name
        for name in names
    )
    return list(dict.fromkeys(patterns))


def wids_index(listing: Listing) -> Iterator[File]:
    """Yield the index of ``wids.ShardListDataset``.

    Its fields: https://github.com/webdataset/webdataset/blob/main/wids/wids_specs.py. wids keeps
    copies of shards under the dataset's name and takes them again, so the name is one of content.
    """
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"arrowimg-{listing.uuid}",
        "shardlist": [
            {"url": shard.tar, "nsamples": shard.num_images, "filesize": shard.tar_nbytes}
            for shard in listing.shards
        ],
    }
    yield WIDS, [json_bytes(index)]


def sizes_index(listing: Listing) -> Iterator[File]:
    """Yield the number of samples of each tar, which open_clip looks for beside the tars.

    https://github.com/mlfoundations/open_clip/blob/main/src/open_clip_train/data.py
    """
    yield SIZES, [json_bytes({shard.tar: shard.num_images for shard in listing.shards})]


def dali_index(layout: Layout) -> list[File]:
    """Return the index of a tar for ``nvidia.dali.fn.readers.webdataset``; none of an empty tar.

    Version 1.2, as https://github.com/NVIDIA/DALI/blob/main/tools/wds2idx.py writes it: the number
    of samples, then per sample extension, offset, size and name of each member.
    """
    if not len(layout.keys):
        return []  # DALI refuses an index of no samples
    columns: list[pa.Array | str] = []
    for at, extension in enumerate(layout.extensions):
        start = " " if at else ""
        offsets, sizes = _digits(layout.offsets[:, at]), _digits(layout.sizes[:, at])
        columns += [f"{start}{extension} ", offsets, " ", sizes, " ", layout.keys, f".{extension}"]
    head = f"v1.2 {len(layout.keys)}\n".encode()
    return [(indexes_of_tar(layout.tar_file)[0], [head, _text([*columns, "\n"])])]


def fsspec_index(references: Iterable[BytesLike]) -> Iterator[File]:
    """Yield the references of all tars for fsspec's ``reference://``, as `references_in` gave them.

    Version 1 of https://fsspec.github.io/kerchunk/spec.html.
    """
    yield FSSPEC, _joined(references)


def references_in(layout: Layout) -> BytesLike:
    """Return where each member of a tar is, as entries of a JSON object: a comma before each."""
    tar = msgspec.json.encode(layout.tar_file).decode()
    columns: list[pa.Array | str] = []
    for at, extension in enumerate(layout.extensions):
        offsets, sizes = _digits(layout.offsets[:, at]), _digits(layout.sizes[:, at])
        head, middle = ',\n"', f'.{extension}":[{tar},'
        columns += [head, layout.keys, middle, offsets, ",", sizes, "]"]
    return _text(columns)


def _joined(references: Iterable[BytesLike]) -> Iterator[BytesLike]:
    yield b'{"version":1,"refs":{'
    texts = (text for text in references if len(text))
    for first in texts:
        yield first[1:]
        break
    yield from texts
    yield b"\n}}\n"


def _digits(numbers: object) -> pa.StringArray:
    return pa.array(numbers, pa.int64()).cast(pa.string())


def _text(columns: list[pa.Array | str]) -> BytesLike:
    """Return the text of all rows, each the texts of its columns and those of all rows."""
    texts = [pa.scalar(it) if isinstance(it, str) else it for it in columns]
    rows = pc.binary_join_element_wise(*texts, pa.scalar(""))
    return value_bytes(rows)[: value_offsets(rows)[-1]]


def json_bytes(value: object) -> bytes:
    """Return a JSON document, indented, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"

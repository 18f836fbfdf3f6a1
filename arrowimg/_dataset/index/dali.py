"""Indexes of NVIDIA DALI: one of each tar, as its ``wds2idx`` writes it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._dataset.index.source import Format
from arrowimg._dataset.index.text import digits, joined_rows, texts_where
from arrowimg._format.names import INDEX_SUFFIX, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._core.checksums import BytesLike
    from arrowimg._dataset.index.source import File, Source
    from arrowimg._format.layout import Layout


def _dali_index(source: Source) -> Iterator[File]:
    return chain.from_iterable(source.of_each_tar(_tar_index))


def _tar_index(layout: Layout) -> list[File]:
    """Return the index of a tar for ``nvidia.dali.fn.readers.webdataset``; none of an empty tar.

    Version 1.2, as https://github.com/NVIDIA/DALI/blob/main/tools/wds2idx.py writes it: the number
    of samples, then per sample extension, offset, size and name of each member.
    """
    if not len(layout.keys):
        return []  # DALI refuses an index of no samples
    entries = list[list[pa.Array | str]]()
    for at, extension in enumerate(layout.extensions):
        offsets, sizes = digits(layout.offsets[:, at]), digits(layout.sizes[:, at])
        entries.append([f"{extension} ", offsets, " ", sizes, " ", layout.keys, f".{extension} "])
    head = f"v1.2 {len(layout.keys)}\n".encode()
    return [(f"{shard_of(layout.tar_file)}{INDEX_SUFFIX}", [head, _lines(entries, layout)])]


def _lines(entries: list[list[pa.Array | str]], layout: Layout) -> BytesLike:
    """Return a line for each sample, of those of its entries that are there."""
    if layout.is_there.all():
        *texts, last = chain.from_iterable(entries)
        return joined_rows([*texts, last.rstrip(), "\n"])
    columns = map(texts_where, layout.is_there.T, entries)
    lines = pc.utf8_rtrim(pc.binary_join_element_wise(*columns, ""), " ")
    return joined_rows([lines, "\n"])


DALI = Format(_dali_index, suffix=INDEX_SUFFIX)

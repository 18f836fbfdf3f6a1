"""Samples into a staged tar, and where their pictures came to stand in it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._checksums import ChecksumName, digest_function
from arrowimg._plan import cut_rows
from arrowimg._tar import TarPart, tar_nbytes, tar_part

if TYPE_CHECKING:
    from arrowimg._samples import Samples
    from arrowimg._staging import StagedFile

_CACHED_NBYTES = 2**19
_CACHED_MEMBERS = 512
_NOTHING = slice(0)


def write_samples(tar: StagedFile, samples: Samples, checksum_name: ChecksumName) -> pa.Table:
    """Write the members of consecutive samples.

    Returns
    -------
    pyarrow.Table
        Columns ``offset`` (int64) and ``checksum`` (binary) of each row's picture; null where it
        has none.
    """
    pictures = slice(samples.extensions.index("jpg"), None, len(samples.extensions))
    offsets = (tar.nbytes + samples.members.offsets())[pictures]
    checksums = write_part(tar, samples.members, pictures, checksum_name)
    places = pa.table(
        {"offset": pa.array(offsets, pa.int64()), "checksum": pa.array(checksums, pa.binary())}
    )
    if samples.num_errors:
        has_picture = samples.stored["error"].is_null().to_numpy()
        places = places.take(pa.array(np.cumsum(has_picture) - 1, mask=~has_picture))
    return places


def write_quarantined(tar: StagedFile, stored: pa.Table) -> None:
    """Write the offending bytes that are kept, as ``<key>.<error code>``."""
    columns = stored.select(["key", "error", "quarantined"])
    kept = columns.filter(columns["quarantined"].is_valid())
    names = pc.binary_join_element_wise(kept["key"], kept["error"], ".")
    data = kept["quarantined"].combine_chunks()
    write_part(tar, tar_part([names.combine_chunks()], [data], np.arange(len(data))))


def write_part(
    tar: StagedFile,
    part: TarPart,
    hashed: slice = _NOTHING,
    checksum_name: ChecksumName = "xxh3_128",
) -> list[bytes]:
    """Write members; returns the checksums of some of them, taken while they are in the cache."""
    buffers, vectors = part.buffers(), part.vectors()
    digest, checksums = digest_function(checksum_name), list[bytes]()
    chosen = range(len(part.members))[hashed]
    for rows in cut_rows(tar_nbytes(part.sizes), _CACHED_NBYTES, _CACHED_MEMBERS):
        pieces = slice(2 * rows.start, 2 * rows.stop + (rows.stop == len(part.members)))
        tar.write_vectors(vectors[pieces], buffers[pieces])
        first, last = (bisect_left(chosen, row) for row in (rows.start, rows.stop))
        checksums += [digest(part.members[row]) for row in chosen[first:last]]
    return checksums

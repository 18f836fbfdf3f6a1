"""Samples into a staged tar, and where their pictures came to stand in it."""

from __future__ import annotations

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


def write_quarantined(tar: StagedFile, stored: pa.Table, checksum_name: ChecksumName) -> None:
    """Write the offending bytes that are kept, as ``<key>.<error code>``."""
    columns = stored.select(["key", "error", "quarantined"])
    kept = columns.filter(columns["quarantined"].is_valid())
    names = pc.binary_join_element_wise(kept["key"], kept["error"], ".")
    data = kept["quarantined"].combine_chunks()
    part = tar_part([names.combine_chunks()], [data], np.arange(len(data)))
    write_part(tar, part, slice(0, 0), checksum_name)


def write_part(
    tar: StagedFile, part: TarPart, hashed: slice, checksum_name: ChecksumName
) -> list[bytes]:
    """Write members; returns the checksums of some of them, taken while they are in the cache."""
    buffers, vectors = part.buffers(), part.vectors()
    digest, checksums = digest_function(checksum_name), list[bytes]()
    step, num_members = hashed.step or 1, len(part.members)
    next_hashed, end = hashed.start or 0, num_members if hashed.stop is None else hashed.stop
    for rows in cut_rows(tar_nbytes(part.sizes), _CACHED_NBYTES, _CACHED_MEMBERS):
        pieces = slice(2 * rows.start, 2 * rows.stop + (rows.stop == num_members))
        tar.write_vectors(vectors[pieces], buffers[pieces])
        to_hash = part.members[next_hashed : min(rows.stop, end) : step]
        checksums += map(digest, to_hash)
        next_hashed += step * len(to_hash)
    return checksums

"""Samples into a tar, and where their pictures are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from arrowimg._core.checksums import ChecksumName, digest_function
from arrowimg._core.splits import split_by_size
from arrowimg._format.tar import END_OF_ARCHIVE, Frames, Members, column_members, sample_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt
    import pyarrow as pa

    from arrowimg._core.pieces import PiecesWriter
    from arrowimg._format.samples import Samples

_LAID_OUT_ROWS = 1024
_CACHED_ROWS = 256
_CACHED_NBYTES = 2**22


class TarWriter:
    """Writes members into a tar.

    Parameters
    ----------
    tar
        Where to.
    checksum_name
        How pictures are hashed.
    """

    def __init__(self, tar: PiecesWriter, checksum_name: ChecksumName) -> None:
        self._tar = tar
        self._digest = digest_function(checksum_name)
        self._frames = Frames()

    def write_samples(self, samples: Samples) -> tuple[npt.NDArray[np.int64], list[bytes]]:
        """Write the members of consecutive samples.

        Returns
        -------
        tuple
            Of the rows that have a picture: where it begins in the tar, (N,) int64, and its
            checksum.
        """
        data = samples.data()
        each = len(data)
        pictures = slice(sorted(data).index("jpg"), None, each)
        offsets, checksums = [np.zeros(0, np.int64)], list[bytes]()
        for members in _laid_out(samples.stored["key"].chunk(0), data):
            nbytes = members.sizes.reshape(-1, each).sum(axis=1)
            for rows in split_by_size(nbytes, _CACHED_NBYTES, _CACHED_ROWS):
                some = members.slice(each * rows.start, each * rows.stop)
                offsets.append(self.write(some)[pictures])
                # Now, since what was written just now is in the processor's cache.
                checksums += map(self._digest, some.data.views[pictures])
        return np.concatenate(offsets), checksums

    def write_quarantined(self, stored: pa.Table) -> None:
        """Write the offending bytes that are kept, as ``<key>.<error code>``."""
        columns = stored.select(["key", "error", "quarantined"])
        kept = columns.filter(columns["quarantined"].is_valid())
        names = pc.binary_join_element_wise(kept["key"], kept["error"], ".")
        data = kept["quarantined"].combine_chunks()
        self.write(column_members([names.combine_chunks()], [data], np.arange(len(data))))

    def write(self, members: Members) -> npt.NDArray[np.int64]:
        """Write members; returns where the data of each begins in the tar, (N,) int64."""
        pieces = self._frames.surround(members)
        ends = self._tar.nbytes + np.cumsum(pieces.sizes[:-1])
        self._tar.write_pieces(pieces)
        return ends[0::2]

    def finish(self) -> None:
        """Write the end of the archive."""
        self._tar.write(END_OF_ARCHIVE)


def _laid_out(keys: pa.StringArray, data: Mapping[str, pa.LargeBinaryArray]) -> Iterator[Members]:
    """Yield the members of samples, of a bounded number at once."""
    for start in range(0, len(keys), _LAID_OUT_ROWS):
        columns = {
            extension: column.slice(start, _LAID_OUT_ROWS) for extension, column in data.items()
        }
        yield sample_members(keys.slice(start, _LAID_OUT_ROWS), columns)

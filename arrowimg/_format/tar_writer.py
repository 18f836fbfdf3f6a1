"""Samples into a tar, and where their pictures are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.binary import binary_views, is_valid
from arrowimg._core.checksums import ChecksumName, digest_function
from arrowimg._core.splits import split_by_size
from arrowimg._format.tar import (
    BLOCK,
    END_OF_ARCHIVE,
    framed_members,
    member_names,
    member_nbytes,
    sample_nbytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from arrowimg._core.pieces import PiecesWriter
    from arrowimg._format.samples import Samples

_FRAMED_ROWS = 1024
_CACHED_NBYTES = 2**20


class PicturePlaces(Struct, frozen=True):
    """Where pictures of one name are in a tar.

    Attributes
    ----------
    offsets
        Where each begins, (N,) int64.
    checksums
        Of each.
    """

    offsets: npt.NDArray[np.int64]
    checksums: list[bytes]


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

    def write_samples(self, samples: Samples) -> dict[str, PicturePlaces]:
        """Write the members of consecutive samples.

        Returns
        -------
        dict
            Where the pictures are, by name: ``"image_data"``, and those of further pictures.
        """
        keys, data, files = samples.stored["key"].chunk(0), samples.extra_data(), samples.files()
        for each in files.values():
            data |= each
        extensions = sorted(data)
        columns = [data[extension] for extension in extensions]
        nbytes = member_nbytes(columns)
        begins = self._tar.nbytes + nbytes.cumsum().reshape(nbytes.shape) - nbytes + BLOCK
        checksums: dict[str, list[bytes]] = {name: [] for name in files}
        names = [member_names(keys, it) for it in extensions]
        for rows in self._written(names, columns, nbytes.sum(axis=1)):
            for name, each in files.items():
                some = [it.slice(rows.start, rows.stop - rows.start) for it in each.values()]
                # Now, since what was written just now is in the processor's cache.
                checksums[name] += map(self._digest, _values(some))
        chosen = {name: [extensions.index(it) for it in each] for name, each in files.items()}
        offsets = {name: begins[:, at][nbytes[:, at] > 0] for name, at in chosen.items()}
        return {name: PicturePlaces(offsets[name], checksums[name]) for name in files}

    def write_quarantined(self, stored: pa.Table) -> None:
        """Write the offending bytes that are kept, as ``<key>.<error code>``."""
        columns = stored.select(["key", "error", "quarantined"])
        kept = columns.filter(columns["quarantined"].is_valid())
        names = pc.binary_join_element_wise(kept["key"], kept["error"], ".")
        self.write(names.combine_chunks(), kept["quarantined"].combine_chunks())

    def write(self, names: pa.StringArray, data: pa.LargeBinaryArray) -> None:
        """Write members: their names, ASCII of at most 100 bytes, and their data."""
        for _ in self._written([names], [data], sample_nbytes([data])):
            pass

    def finish(self) -> None:
        """Write the end of the archive."""
        self._tar.write(END_OF_ARCHIVE)

    def _written(
        self,
        names: Sequence[pa.StringArray],
        data: Sequence[pa.LargeBinaryArray],
        nbytes: npt.NDArray[np.int64],
    ) -> Iterator[slice]:
        """Write members row by row, of some rows at once that fit into the processor's cache.

        Yields
        ------
        slice
            Which rows were written just now.
        """
        for first in range(0, len(data[0]), _FRAMED_ROWS):
            columns = [
                column
                for each in zip(names, data, strict=True)
                for column in framed_members(*(it.slice(first, _FRAMED_ROWS) for it in each))
            ]
            some = nbytes[first : first + _FRAMED_ROWS]
            for rows in split_by_size(some, _CACHED_NBYTES, _FRAMED_ROWS):
                num_rows = rows.stop - rows.start
                self._tar.write_rows([column.slice(rows.start, num_rows) for column in columns])
                yield slice(first + rows.start, first + rows.stop)


def _values(columns: Sequence[pa.LargeBinaryArray]) -> list[memoryview]:
    """Return views of the values, row by row; each row has one in one of the columns at most."""
    if len(columns) == 1 and not columns[0].null_count:
        return binary_views(columns[0])
    found: dict[int, memoryview] = {}
    for column in columns:
        views = binary_views(column)
        found |= {row: views[row] for row in np.flatnonzero(is_valid(column)).tolist()}
    return [found[row] for row in sorted(found)]

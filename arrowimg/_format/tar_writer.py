"""Samples into a tar, and where their pictures are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.checksums import ChecksumName, digest_function
from arrowimg._core.splits import split_by_size
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.tar import (
    END_OF_ARCHIVE,
    Frames,
    Members,
    column_members,
    is_there,
    sample_members,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from arrowimg._core.pieces import PiecesWriter
    from arrowimg._format.samples import Samples

_LAID_OUT_ROWS = 1024
_CACHED_ROWS = 256
_CACHED_NBYTES = 2**22


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
        self._frames = Frames()

    def write_samples(self, samples: Samples) -> dict[str, PicturePlaces]:
        """Write the members of consecutive samples.

        Returns
        -------
        dict
            Where the pictures are, by name: ``"image_data"``, and those of further pictures.
        """
        data = samples.data()
        pictures = [IMAGE_DATA, *samples.pictures.column_names]
        named = {extension: name for name in pictures for extension, _ in samples.files(name)}
        columns = [pictures.index(named[it]) if it in named else -1 for it in sorted(data)]
        offsets = [[np.zeros(0, np.int64)] for _ in pictures]
        checksums: list[list[bytes]] = [[] for _ in pictures]
        for members, counts, which in _laid_out(samples.stored["key"].chunk(0), data, columns):
            ends = np.concatenate([[0], np.cumsum(counts)])
            nbytes = np.diff(np.concatenate([[0], np.cumsum(members.sizes)])[ends])
            for rows in split_by_size(nbytes, _CACHED_NBYTES, _CACHED_ROWS):
                part = slice(ends[rows.start], ends[rows.stop])
                some = members.slice(part.start, part.stop)
                begins = self.write(some)
                for number in range(len(pictures)):
                    chosen = np.flatnonzero(which[part] == number)
                    offsets[number].append(begins[chosen])
                    # Now, since what was written just now is in the processor's cache.
                    views = (some.data.views[at] for at in chosen.tolist())
                    checksums[number] += map(self._digest, views)
        places = map(PicturePlaces, map(np.concatenate, offsets), checksums)
        return dict(zip(pictures, places, strict=True))

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


def _laid_out(
    keys: pa.StringArray, data: Mapping[str, pa.LargeBinaryArray], columns: Sequence[int]
) -> Iterator[tuple[Members, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield the members of samples, of a bounded number at once.

    With how many each sample has, and the number of each member's column: `columns` has them in
    the order of the extensions.
    """
    for start in range(0, len(keys), _LAID_OUT_ROWS):
        part = {it: column.slice(start, _LAID_OUT_ROWS) for it, column in data.items()}
        present = np.stack([is_there(part[extension]) for extension in sorted(part)], axis=1)
        members = sample_members(keys.slice(start, _LAID_OUT_ROWS), part)
        yield members, present.sum(axis=1), np.array(columns)[np.nonzero(present)[1]]

"""Stored rows whose pictures are read to where they belong in the new tar, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.binary import binary_views, is_valid, value_offsets
from arrowimg._core.checksums import ChecksumName, digest_function
from arrowimg._core.splits import split_by_size
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.tar import BLOCK, member_headers, member_names, tar_nbytes
from arrowimg._format.tar_writer import PicturePlaces
from arrowimg._storage.base import Storage
from arrowimg._storage.ranges import read_runs

if TYPE_CHECKING:
    from arrowimg._core.pieces import PiecesWriter

_PIECE_NBYTES = 2**22
"""What is read, hashed and written at once, by a thread that has it in the processor's cache then.

With less, threads wait more often for the lock of the interpreter than they gain by the cache."""

_ZEROS = [bytes(nbytes) for nbytes in range(BLOCK)]


class _Column(NamedTuple):
    """The members of one extension.

    Attributes
    ----------
    extension
        Theirs.
    sizes
        (N,) int64: bytes of each; -1 where a row has none.
    name
        Of the picture that they are; empty where they are none.
    offsets
        (N,) int64: where each is in the tar that is copied, if they are pictures.
    values
        The data of each, if they are none.
    """

    extension: str
    sizes: npt.NDArray[np.int64]
    name: str
    offsets: npt.NDArray[np.int64]
    values: list[memoryview]


class UnreadSamples(Struct, frozen=True):
    """Rows of one tar, as `Samples` are, but with sizes and offsets in place of the pictures.

    Attributes
    ----------
    stored, metadata, members, pictures
        As of `Samples`; ``stored`` and the structs of ``pictures`` have ``size`` and ``offset``
        where those have ``image_data``.
    tar
        Where the pictures are, at places that `check_places` lets pass.
    """

    stored: pa.Table
    metadata: pa.Table
    members: pa.Table
    pictures: pa.Table
    tar: tuple[Storage, str]

    @property
    def lacks_members(self) -> bool:
        """As of `Samples`."""
        num_images = self.stored["error"].null_count
        return any(np.count_nonzero(it.sizes >= 0) < num_images for it in self._extras())

    def write_to(self, tar: PiecesWriter, checksum_name: ChecksumName) -> dict[str, PicturePlaces]:
        """Write the members, as `TarWriter.write_samples` does.

        Raises
        ------
        ChecksumError, MissingFileError, StorageError
            When the tar that is copied is not there any more, or cannot be read.
        """
        columns = sorted([*self._files(), *self._extras()], key=lambda it: it.extension)
        sizes = np.stack([column.sizes for column in columns], axis=1)
        nbytes = np.where(sizes >= 0, tar_nbytes(sizes), 0)
        begins = nbytes.cumsum().reshape(nbytes.shape) - nbytes + BLOCK
        keys, names = self.stored["key"].chunk(0), [IMAGE_DATA, *self.pictures.column_names]
        headers = [member_headers(member_names(keys, it.extension), it.sizes) for it in columns]
        chosen = {it: [at for at, one in enumerate(columns) if one.name == it] for it in names}
        digest, first = digest_function(checksum_name), tar.nbytes
        checksums: dict[str, list[bytes]] = {name: [] for name in names}
        each = nbytes.sum(axis=1)
        pieces = split_by_size(each, _PIECE_NBYTES, max(1, len(each)))
        memory = np.empty(max((int(each[rows].sum()) for rows in pieces), default=0), np.uint8)
        for rows in pieces:
            piece = memory[: int(each[rows].sum())]
            starts = begins[rows] - (begins[rows.start, 0] - BLOCK)
            self._read(piece, columns, starts, rows)
            for at, column in enumerate(columns):
                _write_around(piece, column, headers[at], starts[:, at], rows)
            for name, mine in chosen.items():
                ranges = _ranges(starts[:, mine], sizes[rows][:, mine])
                checksums[name] += [digest(piece[start:stop]) for start, stop in ranges]
            tar.write(piece)
        offsets = {it: first + begins[:, mine][sizes[:, mine] >= 0] for it, mine in chosen.items()}
        return {name: PicturePlaces(offsets[name], checksums[name]) for name in names}

    def _read(
        self,
        piece: npt.NDArray[np.uint8],
        columns: list[_Column],
        starts: npt.NDArray[np.int64],
        rows: slice,
    ) -> None:
        """Read the pictures of rows to where they belong.

        Those that are as far apart in both tars are read in one go, with what is between: headers,
        and members that are made anew, which are written over that.
        """
        read = [at for at, column in enumerate(columns) if column.name]
        sizes = np.stack([columns[at].sizes[rows] for at in read], axis=1)
        is_there = sizes >= 0
        to, sizes = starts[:, read][is_there], sizes[is_there]
        begins = np.stack([columns[at].offsets[rows] for at in read], axis=1)[is_there]
        if not len(to):
            return
        edges = np.flatnonzero(np.diff(begins - to)) + 1
        firsts, lasts = np.append(0, edges), np.append(edges - 1, len(to) - 1)
        nbytes = to[lasts] + sizes[lasts] - to[firsts]
        data = memoryview(piece)
        views = [data[start:stop] for start, stop in _ranges(to[firsts], nbytes)]
        read_runs(self.tar, begins[firsts], nbytes, views)

    def _files(self) -> list[_Column]:
        """Return the pictures, by extension; of those of all samples at least one."""
        found = []
        for name in (IMAGE_DATA, *self.pictures.column_names):
            if name == IMAGE_DATA:
                columns = [self.stored[it].chunk(0) for it in ("extension", "size", "offset")]
            else:
                struct = self.pictures[name].chunk(0)
                columns = [struct.field(it) for it in ("extension", "size", "offset")]
            sizes, offsets = (pc.fill_null(it, -1).to_numpy() for it in columns[1:])
            extensions = pc.unique(columns[0]).drop_null().to_pylist()
            for extension in extensions or ["jpg"] * (name == IMAGE_DATA):
                is_it = pc.equal(columns[0], extension).fill_null(False)  # noqa: FBT003
                there = np.where(is_it.to_numpy(zero_copy_only=False), sizes, -1)
                found.append(_Column(extension, there, name, offsets, []))
        return found

    def _extras(self) -> list[_Column]:
        """Return the members that are no pictures; a row with an error has none."""
        has_picture = is_valid(self.stored["extension"].chunk(0))
        found = []
        for extension in self.members.column_names:
            data = self.members[extension].chunk(0)
            is_there = is_valid(data) & has_picture
            sizes = np.where(is_there, np.diff(value_offsets(data)), -1)
            found.append(_Column(extension, sizes, "", sizes, binary_views(data)))
        return found


def _ranges(starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> zip[tuple[int, int]]:
    """Return where those begin and end that are there."""
    starts, sizes = starts[sizes >= 0], sizes[sizes >= 0]
    return zip(starts.tolist(), (starts + sizes).tolist(), strict=True)


def _write_around(
    piece: npt.NDArray[np.uint8],
    column: _Column,
    headers: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    rows: slice,
) -> None:
    """Write headers, the zeros after each member, and the members that are no pictures."""
    sizes = column.sizes[rows]
    is_there = sizes >= 0
    piece.reshape(-1, BLOCK)[starts[is_there] // BLOCK - 1] = headers[rows][is_there]
    data = memoryview(piece)
    ends = starts[is_there] + sizes[is_there]
    for end, nbytes in zip(ends.tolist(), (-ends % BLOCK).tolist(), strict=True):
        data[end : end + nbytes] = _ZEROS[nbytes]
    if not column.name:
        values = [column.values[row] for row in (rows.start + np.flatnonzero(is_there)).tolist()]
        for value, (start, stop) in zip(values, _ranges(starts, sizes), strict=True):
            data[start:stop] = value

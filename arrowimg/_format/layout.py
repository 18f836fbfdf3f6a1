"""Where every member of a tar stands, known from its sidecar alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.binary import value_bytes, value_offsets
from arrowimg._format.tar import BLOCK, END_OF_ARCHIVE, tar_nbytes
from arrowimg.errors import ManifestError

_COLUMNS = ("member_name", "offset", "size")
_SUFFIX = ".jpg"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_%~-/."
_IS_LETTER = np.isin(np.arange(256), list(_LETTERS))


class Layout(Struct, frozen=True):
    """The members of one tar.

    Attributes
    ----------
    tar_file
        Name of the tar.
    keys
        (N,) strings, without nulls: of the samples that have a picture, in the order of the tar.
    extensions
        (E,) Of the members of each sample, in the order of the tar.
    offsets, sizes
        (N, E) int64: where the data of each member begins in the tar, and its bytes.
    """

    tar_file: str
    keys: pa.StringArray
    extensions: list[str]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """Where the first header of each sample begins, and last where the last sample ends.

        (N + 1,) int64.
        """
        ends = self.offsets[:, -1] - BLOCK + tar_nbytes(self.sizes[:, -1])
        return np.concatenate([np.zeros(1, np.int64), ends])


def _layout(
    rows: pa.Table, sizes: dict[str, npt.NDArray[np.int64]], tar: str, nbytes: int, path: str
) -> Layout:
    names, shape = _only(rows["member_name"]), (len(rows), len(sizes))
    table = np.stack(list(sizes.values()), axis=1).astype(np.int64, copy=False)
    taken = tar_nbytes(table)
    ends = np.cumsum(taken).reshape(shape)
    offsets = ends - taken + BLOCK
    of_pictures = offsets[:, list(sizes).index("jpg")]
    found_nbytes = int(taken.sum()) + len(END_OF_ARCHIVE)
    if not np.array_equal(of_pictures, rows["offset"].to_numpy()) or found_nbytes != nbytes:
        expected = "offsets and a size of the tar that follow from the sizes of its members"
        raise ManifestError(path, expected, "others")
    # Whatever is written from here on needs no escapes: names hold neither quotes nor spaces.
    if not _are_names_of_pictures(names):
        raise ManifestError(path, f"portable member names that end in {_SUFFIX}", "others")
    keys = pc.utf8_slice_codeunits(names, 0, -len(_SUFFIX))
    return Layout(tar, keys, list(sizes), offsets, table)


def _are_names_of_pictures(names: pa.StringArray) -> bool:
    """Tell whether names are of the letters of keys, and have one dot, that of their suffix."""
    offsets = value_offsets(names)
    letters = value_bytes(names)[offsets[0] : offsets[-1]]
    return bool(
        _IS_LETTER[letters].all()
        and np.count_nonzero(letters == ord(".")) == len(names)
        and pc.all(pc.ends_with(names, _SUFFIX), min_count=0).as_py()
    )


def _only(column: pa.ChunkedArray) -> pa.Array:
    """Return the values of a column of one chunk, or of none."""
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)

"""Where every member of a tar is, known from its sidecar alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.binary import bytes_among, value_bytes, value_offsets
from arrowimg._format.members import extra_members, list_columns
from arrowimg._format.tar import BLOCK, END_OF_ARCHIVE, tar_nbytes
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from arrowimg._format.sidecar import Footer

_SUFFIX = ".jpg"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_%~-/."
_IS_LETTER = bytes_among(_LETTERS)


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


def layout_columns(footer: Footer) -> list[str]:
    """Return the columns of a sidecar that tell the layout of its tar."""
    return list(dict.fromkeys(["member_name", "offset", "size", *list_columns(_members(footer))]))


def tar_layout(footer: Footer, rows: pa.Table, path: str) -> Layout:
    """Return the layout of a tar, given its sidecar.

    Parameters
    ----------
    footer
        Of the sidecar.
    rows
        Those that have a picture, with the columns that `layout_columns` names, one chunk each.
    path
        Of the sidecar, for errors.

    Raises
    ------
    ManifestError
        When offsets, sizes and names contradict one another.
    """
    names, by_extension = rows["member_name"].chunk(0), _member_sizes(rows, _members(footer))
    sizes = np.stack(list(by_extension.values()), axis=1).astype(np.int64, copy=False)
    taken = tar_nbytes(sizes)
    ends = np.cumsum(taken).reshape(sizes.shape)
    offsets = ends - taken + BLOCK
    of_pictures = offsets[:, list(by_extension).index("jpg")]
    nbytes = int(taken.sum()) + len(END_OF_ARCHIVE)
    are_there = np.array_equal(of_pictures, rows["offset"].to_numpy())
    if not are_there or nbytes != footer.tar_nbytes:
        expected = "offsets and a size of the tar that follow from the sizes of its members"
        raise ManifestError(path, expected, "others")
    # Whatever is written from here on needs no escapes: names hold neither quotes nor spaces.
    if not _are_names_of_pictures(names):
        raise ManifestError(path, f"portable member names that end in {_SUFFIX}", "others")
    keys = pc.utf8_slice_codeunits(names, 0, -len(_SUFFIX))
    return Layout(footer.tar_file, keys, list(by_extension), offsets, sizes)


def _members(footer: Footer) -> dict[str, str | list[str]]:
    members: dict[str, str | list[str]] = footer.options.get("members", {})
    return members


def _member_sizes(
    rows: pa.Table, members: dict[str, str | list[str]]
) -> dict[str, npt.NDArray[np.int64]]:
    """Return the bytes of each extension's members, (N,) int64 each, in the order of the tar."""
    data = extra_members(rows, members)
    sizes = {name: np.diff(value_offsets(data[name].chunk(0))) for name in data.column_names}
    sizes["jpg"] = rows["size"].to_numpy()
    return dict(sorted(sizes.items()))


def _are_names_of_pictures(names: pa.StringArray) -> bool:
    """Tell whether names are of the letters of keys, and have one dot, that of their suffix."""
    offsets = value_offsets(names)
    letters = value_bytes(names)[offsets[0] : offsets[-1]]
    return bool(
        _IS_LETTER[letters].all()
        and np.count_nonzero(letters == ord(".")) == len(names)
        and pc.all(pc.ends_with(names, _SUFFIX), min_count=0).as_py()
    )

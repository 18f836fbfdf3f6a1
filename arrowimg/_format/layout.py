"""Where every member of a tar is, known from its sidecar alone."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.binary import is_valid, value_bytes, value_offsets, value_sizes
from arrowimg._core.version import PICTURES_VERSION
from arrowimg._format.members import extra_members, list_columns
from arrowimg._format.tar import BLOCK, END_OF_ARCHIVE, tar_nbytes
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from arrowimg._format.sidecar import Footer

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_%~-/."


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
        (N, E) int64: where the data of each member begins in the tar, and its bytes; -1 and 0
        where a sample has no member of an extension.
    pictures
        The extensions of the picture that every sample has one of.
    """

    tar_file: str
    keys: pa.StringArray
    extensions: list[str]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    pictures: list[str]

    @property
    def is_there(self) -> npt.NDArray[np.bool_]:
        """Which samples have a member of which extension: (N, E)."""
        return self.offsets >= 0

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """Where the first header of each sample begins, and last where the last sample ends.

        (N + 1,) int64.
        """
        taken = np.where(self.is_there, tar_nbytes(self.sizes), 0).sum(axis=1)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(taken)])


def layout_columns(footer: Footer) -> list[str]:
    """Return the columns of a sidecar that tell the layout of its tar."""
    named = [*picture_names(footer.options).values(), *list_columns(_members(footer))]
    return list(dict.fromkeys(["member_name", "offset", "size", *named]))


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
    names, allowed = rows["member_name"].chunk(0), picture_extensions(footer.options)
    # Whatever is written from here on needs no escapes: names hold neither quotes nor spaces.
    if not _are_names_of_pictures(names, allowed):
        expected = f"portable member names that end in {', '.join(f'.{it}' for it in allowed)}"
        raise ManifestError(path, expected, "others")
    extensions = _extensions(names, allowed)
    stated, by_extension = _stated(rows, footer, extensions)
    sizes = np.stack([by_extension[it] for it in sorted(by_extension)], axis=1)
    is_there, sizes = sizes >= 0, np.maximum(sizes, 0)
    taken = np.where(is_there, tar_nbytes(sizes), 0)
    ends = np.cumsum(taken).reshape(sizes.shape)
    offsets = np.where(is_there, ends - taken + BLOCK, -1)
    nbytes = int(taken.sum()) + len(END_OF_ARCHIVE)
    are_there = all(
        np.array_equal(offsets[:, at], stated[it])
        for at, it in enumerate(sorted(by_extension))
        if it in stated
    )
    if not are_there or nbytes != footer.tar_nbytes:
        expected = "offsets and a size of the tar that follow from the sizes of its members"
        raise ManifestError(path, expected, "others")
    keys = _keys(names, extensions)
    return Layout(footer.tar_file, keys, sorted(by_extension), offsets, sizes, sorted(extensions))


def picture_extensions(options: dict[str, Any]) -> list[str]:
    """Return the extensions that the picture of all samples may have, given recorded options."""
    return sorted({"jpg", *options.get("keep", [])})


def picture_names(options: dict[str, Any]) -> dict[str, str]:
    """Return the column of each further picture by its extension, given recorded options."""
    return {extension: it["column"] for extension, it in options.get("images", {}).items()}


def _members(footer: Footer) -> dict[str, str | list[str]]:
    members: dict[str, str | list[str]] = footer.options.get("members", {})
    return members


_BySize: TypeAlias = "dict[str, npt.NDArray[np.int64]]"
_Rows: TypeAlias = "dict[str, npt.NDArray[np.bool_]]"


def _stated(rows: pa.Table, footer: Footer, extensions: _Rows) -> tuple[_BySize, _BySize]:
    """Return where pictures are said to begin, and how many bytes each member has, by extension.

    (N,) int64 each; -1 for a sample without such a member.

    Parameters
    ----------
    extensions
        Of the picture of each sample.
    """
    data = extra_members(
        rows, _members(footer), keeps_nulls=footer.format_version >= PICTURES_VERSION
    )
    sizes = {
        name: np.where(is_valid(data[name].chunk(0)), value_sizes(data[name].chunk(0)), -1)
        for name in data.column_names
    }
    offsets: _BySize = {}
    for extension, is_it in extensions.items():
        sizes[extension] = np.where(is_it, rows["size"].to_numpy(), -1)
        offsets[extension] = np.where(is_it, rows["offset"].to_numpy(), -1)
    for extension, name in picture_names(footer.options).items():
        offset, size = (pc.struct_field(rows[name], it) for it in ("offset", "size"))
        sizes[extension] = pc.fill_null(size, -1).to_numpy()
        offsets[extension] = pc.fill_null(offset, -1).to_numpy()
    return offsets, sizes


def _are_names_of_pictures(names: pa.StringArray, extensions: list[str]) -> bool:
    """Tell whether names are of the letters of keys, and have one dot, that of their suffix."""
    suffixes = [pc.ends_with(names, f".{extension}") for extension in extensions]
    offsets = value_offsets(names)
    letters = value_bytes(names)[offsets[0] : offsets[-1]]
    return bool(
        not letters.tobytes().translate(None, _LETTERS)
        and np.count_nonzero(letters == ord(".")) == len(names)
        and pc.all(reduce(pc.or_, suffixes), min_count=0).as_py()
    )


def _extensions(names: pa.StringArray, allowed: list[str]) -> _Rows:
    """Return which names have which extension: those that a name has, ``jpg`` of no names."""
    found = {
        it: pc.ends_with(names, f".{it}").to_numpy(zero_copy_only=False)
        for it in (allowed if len(names) else ["jpg"])
    }
    return {it: is_it for it, is_it in found.items() if is_it.any() or not len(names)}


def _keys(names: pa.StringArray, extensions: _Rows) -> pa.StringArray:
    """Return names without their extensions."""
    if len(extensions) > 1:
        return pc.list_element(pc.split_pattern(names, "."), 0)
    (extension,) = extensions
    return pc.utf8_slice_codeunits(names, 0, -len(extension) - 1)

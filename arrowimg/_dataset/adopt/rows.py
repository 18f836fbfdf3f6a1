"""One tar that others wrote: its samples as rows, read once; no picture is decoded."""

from __future__ import annotations

from collections import Counter
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.checksums import digest_function
from arrowimg._dataset.adopt.samples import Samples, is_picture
from arrowimg._format.adopted.samples import split_names
from arrowimg._format.adopted.walk import MemberKind, TarWalk
from arrowimg._format.names import TAR_SUFFIX
from arrowimg._images.formats.content import MAX_SIDE
from arrowimg._images.formats.jpeg_headers import find_plain_jpegs
from arrowimg._images.headers import read_header
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arrowimg._core.checksums import BytesLike
    from arrowimg._dataset.adopt.options import TarOptions
    from arrowimg._format.adopted.walk import Window

    Numbers = npt.NDArray[np.int64]

_NO_ROLE, _PICTURE, _CONTENT = -1, 1, 2
_OTHER = 0
_CODES = {
    MemberKind.TOO_LARGE: ErrorCode.TOO_LARGE,
    MemberKind.CUT: ErrorCode.TRUNCATED,
    MemberKind.SPARSE: ErrorCode.UNREADABLE,
}


class Found(Struct, frozen=True):
    """What was found of consecutive members.

    Attributes
    ----------
    names, keys, extensions
        (N,) strings, see `MemberNames`.
    starts, sizes
        (N,) int64: where the data of each is in the tar.
    roles
        (N,) int8: a picture, content of a column, another, or of no sample.
    shapes
        (N, 3) int32: width, height and channels of pictures.
    errors
        What is wrong with the bytes of a member, by its number among these.
    checksums
        Of pictures, by number.
    contents
        Bytes of those that are columns, by number.
    """

    names: pa.StringArray
    keys: pa.StringArray
    extensions: pa.StringArray
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    roles: npt.NDArray[np.int8]
    shapes: npt.NDArray[np.int32]
    errors: dict[int, str]
    checksums: dict[int, bytes]
    contents: dict[int, bytes]


class TarRows(Struct, frozen=True):
    """The samples of a tar.

    Attributes
    ----------
    table
        Columns of sidecars, but for ``tar_file``, one row for each sample, in their order.
    keys
        (N,) of the samples, without nulls.
    contents
        Data of the members that are columns, by extension: (N,) large_binary, null where a sample
        has none.
    nbytes, checksum
        Of the tar.
    notices
        What is not as it should be and yet stopped nobody: how often, by what it is.
    """

    table: pa.Table
    keys: pa.StringArray
    contents: dict[str, pa.LargeBinaryArray]
    nbytes: int
    checksum: str
    notices: Counter[str]


def read_tar(file: IO[bytes], tar_file: str, options: TarOptions) -> TarRows:
    """Return the samples of a tar.

    Parameters
    ----------
    file
        The tar; it is read once, from start to end.
    tar_file
        Its path below the folder of all tars.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    walk = TarWalk(file, options.checksum)
    digest = digest_function(options.checksum)
    notices = Counter[str]()
    found = _joined([_look(window, options, digest, notices) for window in walk.windows()])
    notices.update(f"a tar that is damaged: {problem}" for problem in walk.problems)
    present = np.flatnonzero(found.roles != _NO_ROLE)
    names = (found.keys, found.extensions)
    samples = Samples(*(it.take(pa.array(present)) for it in names))
    keys = found.keys.take(pa.array(present[samples.firsts]))
    pictures = _members(present, samples.pictures(found.roles[present] == _PICTURE))
    table = _rows(found, pictures, _ids(keys, tar_file, options, notices))
    contents = {it: _contents_of(it, found, present, samples, notices) for it in options.members}
    held = {name: column for name, column in contents.items() if column.null_count < len(column)}
    return TarRows(table, keys, held, walk.nbytes, walk.checksum, notices)


def _look(
    window: Window,
    options: TarOptions,
    digest: Callable[[BytesLike], bytes],
    notices: Counter[str],
) -> Found:
    """Return what is to be known of the members of a window."""
    split = split_names(window.names)
    roles = _roles(split.extensions, options.members)
    is_file = window.kinds == MemberKind.FILE
    is_none = (window.kinds == MemberKind.LINK) | (window.kinds == MemberKind.OTHER)
    notices["links"] += int((window.kinds == MemberKind.LINK).sum())
    notices["members that no sample can have, by their names"] += int(
        ((roles == _NO_ROLE) & ~is_none).sum()
    )
    roles[is_none] = _NO_ROLE
    starts, stops = window.starts - window.begin, window.starts - window.begin + window.sizes
    view = memoryview(window.data)
    pictures = np.flatnonzero(is_file & (roles == _PICTURE))
    contents = np.flatnonzero(is_file & (roles == _CONTENT))
    shapes, errors = _read_headers(window.data, starts, stops, pictures)
    for at in np.flatnonzero(~is_file & (roles != _NO_ROLE)).tolist():
        errors[at] = _CODES[MemberKind(window.kinds[at])]
    ranges = list(zip(starts.tolist(), stops.tolist(), strict=True))
    return Found(
        split.names,
        split.keys,
        split.extensions,
        window.starts,
        window.sizes,
        roles,
        shapes,
        errors,
        {at: digest(view[ranges[at][0] : ranges[at][1]]) for at in pictures.tolist()},
        {at: bytes(view[ranges[at][0] : ranges[at][1]]) for at in contents.tolist()},
    )


def _roles(extensions: pa.StringArray, members: Sequence[str]) -> npt.NDArray[np.int8]:
    encoded = extensions.dictionary_encode()
    roles = [_role(extension, members) for extension in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(roles)).to_numpy(zero_copy_only=False)
    of_members: npt.NDArray[np.int8] = np.array([*roles, _NO_ROLE], np.int8)[codes]
    return of_members


def _role(extension: str, members: Sequence[str]) -> int:
    if extension in members:
        return _CONTENT
    return _PICTURE if is_picture(extension) else _OTHER


def _read_headers(
    data: npt.NDArray[np.uint8], starts: Numbers, stops: Numbers, pictures: Numbers
) -> tuple[npt.NDArray[np.int32], dict[int, str]]:
    """Return width, height and channels of pictures, and the codes of those that are none."""
    shapes, errors = np.zeros((len(starts), 3), np.int32), dict[int, str]()
    if not len(pictures):
        return shapes, errors
    found = find_plain_jpegs(data, starts[pictures], stops[pictures], MAX_SIDE**2)
    shapes[pictures] = np.where(found.is_plain[:, None], found.sizes, 0)
    for at in pictures[~found.is_plain].tolist():
        header = read_header(memoryview(data[starts[at] : stops[at]]), MAX_SIDE**2)
        if isinstance(header, Problem):
            errors[at] = header.code
        else:
            # Those of JPEG tell which pictures can be copied into shards of our own.
            channels = header.channels if header.format == "jpeg" else 0
            shapes[at] = header.width, header.height, channels
    return shapes, errors


def _joined(parts: list[Found]) -> Found:
    """Return what was found in all windows; members are numbered through."""
    errors, checksums, contents = dict[int, str](), dict[int, bytes](), dict[int, bytes]()
    first = 0
    for part in parts:
        errors.update((first + at, it) for at, it in part.errors.items())
        checksums.update((first + at, it) for at, it in part.checksums.items())
        contents.update((first + at, it) for at, it in part.contents.items())
        first += len(part.starts)
    return Found(
        pa.concat_arrays([part.names for part in parts]),
        pa.concat_arrays([part.keys for part in parts]),
        pa.concat_arrays([part.extensions for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.roles for part in parts]),
        np.concatenate([part.shapes for part in parts]),
        errors,
        checksums,
        contents,
    )


def _contents_of(
    extension: str, found: Found, present: Numbers, samples: Samples, notices: Counter[str]
) -> pa.LargeBinaryArray:
    """Return the data of each sample's member of an extension, null where there is none: (N,)."""
    at = samples.of_extension(extension)
    num_twice = len(samples.all_of(extension)) - int((at >= 0).sum())
    notices["members that are in their sample twice"] += num_twice
    members = _members(present, at)
    return pa.array(map(found.contents.get, members.tolist()), pa.large_binary())


def _members(present: Numbers, at: Numbers) -> Numbers:
    """Return members by their number among all, given those among the present ones."""
    return np.where(at < 0, -1, present[at])


def _rows(found: Found, pictures: Numbers, ids: pa.StringArray) -> pa.Table:
    errors = [ErrorCode.MISSING if at < 0 else found.errors.get(at) for at in pictures.tolist()]
    has_error = np.array([error is not None for error in errors], np.bool_)
    present = pictures[~has_error]
    at = pa.array(np.cumsum(~has_error) - 1, mask=has_error)
    shapes = found.shapes[present]

    def of_rows(values: pa.Array) -> pa.Array:
        return values.take(at)

    checksums = [found.checksums[member] for member in present.tolist()]
    columns = {
        "member_name": found.names.take(pa.array(present)),
        "offset": pa.array(found.starts[present]),
        "size": pa.array(found.sizes[present]),
        "width": pa.array(shapes[:, 0]),
        "height": pa.array(shapes[:, 1]),
        "channels": pa.array(shapes[:, 2], mask=shapes[:, 2] == 0),
        "checksum": pa.array(checksums, pa.binary()),
        "action": pa.array(["adopted"] * len(present), pa.string()),
    }
    own = {
        "image_id": ids,
        "original_path": pa.nulls(len(ids), pa.string()),
        "error": pa.array(errors, pa.string()),
    }
    return pa.table(own | {name: of_rows(values) for name, values in columns.items()})


def _ids(
    keys: pa.StringArray, tar_file: str, options: TarOptions, notices: Counter[str]
) -> pa.StringArray:
    """Return an id for each sample: its key, or that below the tar's; null where it comes again."""
    encoded = keys.dictionary_encode()
    if len(encoded.dictionary) < len(keys):
        codes = encoded.indices.to_numpy()
        is_first = np.zeros(len(keys), np.bool_)
        is_first[np.unique(codes, return_index=True)[1]] = True
        notices["samples without an id, whose key is in the tar before"] += int((~is_first).sum())
        keys = pc.if_else(pa.array(is_first), keys, pa.scalar(None, pa.string()))
    if options.ids == "key":
        return keys
    prefix = pa.scalar(tar_file.removesuffix(TAR_SUFFIX))
    return pc.binary_join_element_wise(prefix, keys, "/")

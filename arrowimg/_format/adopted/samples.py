"""Members grouped into samples, as webdataset groups them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

if TYPE_CHECKING:
    import numpy.typing as npt

_NAME = r"^(?P<key>(?:.*/|)[^.]+)[.](?P<extension>[^/]*)$"
"""https://github.com/webdataset/webdataset/blob/main/src/webdataset/tariterators.py"""

_META = r"^__[^/]*__($|/)"


class MemberNames(Struct, frozen=True):
    r"""Names of members, taken apart.

    Attributes
    ----------
    names
        (N,) strings. Bytes that are no UTF-8 are spelled ``\\xff``.
    keys, extensions
        (N,) strings, extensions in lower case. Null for a name that makes no sample: one without
        an extension, or one of meta data.
    """

    names: pa.StringArray
    keys: pa.StringArray
    extensions: pa.StringArray


def split_names(stored: list[bytes]) -> MemberNames:
    """Return names of members, taken apart by webdataset's rule.

    The key is the path up to the first dot of its last part, the extension all that follows.
    """
    names = _texts(stored)
    if any(name.startswith(b"__") for name in stored):
        is_meta = pc.match_substring_regex(names, _META)
        made = pc.if_else(is_meta, pa.scalar(None, pa.string()), names)
    else:
        made = names
    parts = pc.extract_regex(made, _NAME)
    keys, extensions = pc.struct_field(parts, [0]), pc.struct_field(parts, [1])
    return MemberNames(names, keys, pc.utf8_lower(extensions))


def sample_numbers(keys: pa.StringArray) -> npt.NDArray[np.int64]:
    """Return which sample each member belongs to, counted from 0: (N,).

    Members of one sample follow one another; a key that comes back later begins another sample.

    Parameters
    ----------
    keys
        Of the members that make samples, without nulls.
    """
    if not len(keys):
        return np.zeros(0, np.int64)
    is_other = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(is_other)])


def _texts(stored: list[bytes]) -> pa.StringArray:
    try:
        return pa.array(stored, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([name.decode(errors="backslashreplace") for name in stored], pa.string())

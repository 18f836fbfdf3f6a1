"""Sample keys: the portable, unique member names made from ids.

An id is data and stays verbatim in the sidecar; the key is the name that every tar reader, file
system and index can carry. ``docs/reference/format.md`` states the rules.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._core.binary import bytes_among, value_bytes, value_offsets
from arrowimg._format.tar import MAX_NAME_LENGTH
from arrowimg.errors import DuplicateIdError, SampleKeyError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("arrowimg")

MAX_EXTENSION_LENGTH = 15
MAX_KEY_LENGTH = MAX_NAME_LENGTH - 1 - MAX_EXTENSION_LENGTH
"""With a dot and the longest extension, a member name fits its field."""

KeyStyle: TypeAlias = Literal["escaped", "verbatim"]
"""How ids become keys, see `WriteOptions.keys`."""

UNNAMED_PREFIX = "row-"
"""Keys of rows without an id start with this; keys made from ids never do."""

_SAFE = re.compile(r"(?!row-|__)[A-Za-z0-9_][A-Za-z0-9_-]*")
_VERBATIM = re.compile(r"(?!row-|__)[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*")
_EXTENSION = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_MEMBER_NAME = re.compile(r"[A-Za-z0-9_%][A-Za-z0-9_%~.-]*(/[A-Za-z0-9_%][A-Za-z0-9_%~.-]*)*")
_SAFE_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_LONG_PREFIX_LENGTH = 54
_IS_SAFE = bytes_among(_SAFE_BYTES)


def is_extension(text: str) -> bool:
    """Tell whether members beside the pictures can have this extension."""
    is_short = len(text) <= MAX_EXTENSION_LENGTH
    return is_short and text != "jpg" and _EXTENSION.fullmatch(text) is not None


def sample_key(image_id: str) -> str:
    """Return the key of an id: the id itself where it is safe, else an escaped form.

    Pure and injective. A key matches ``[A-Za-z0-9_%][A-Za-z0-9_%~-]{0,83}``. Bytes of the id's
    UTF-8 outside ``[A-Za-z0-9_-]`` become ``%XX``, also a first ``-``, the first byte of a leading
    ``__`` or ``row-`` (reserved), and the empty id becomes ``%``. A key that would be longer than
    84 bytes is cut and ends in ``%~`` and the base-32 BLAKE2b-128 of the whole id.

    Examples
    --------
    >>> sample_key("cat_0017")
    'cat_0017'
    >>> sample_key("cats/0017.v2")
    'cats%2F0017%2Ev2'
    """
    if len(image_id) <= MAX_KEY_LENGTH and _SAFE.fullmatch(image_id):
        return image_id
    raw = image_id.encode()
    first_is_reserved = raw.startswith((b"-", b"__", UNNAMED_PREFIX.encode()))
    pieces = [
        chr(byte) if byte in _SAFE_BYTES and not (first_is_reserved and at == 0) else f"%{byte:02X}"
        for at, byte in enumerate(raw)
    ]
    key = "".join(pieces) or "%"
    return key if len(key) <= MAX_KEY_LENGTH else _long_key(pieces, raw)


def sample_keys(
    image_ids: Sequence[str | None],
    unnamed_prefix: str,
    first_row: int,
    style: KeyStyle = "escaped",
) -> list[str]:
    """Return one key per row, all different.

    Parameters
    ----------
    image_ids
        Ids, verbatim; None where a row has none.
    unnamed_prefix
        What the keys of rows without an id start with; differs from batch to batch where row
        numbers start anew in each.
    first_row
        Number of the first row; the key of a row without an id ends in its row number.
    style
        ``"escaped"`` or ``"verbatim"``, see `WriteOptions.keys`.

    Raises
    ------
    DuplicateIdError
        When an id is in two rows, or two ids give one key.
    SampleKeyError
        In verbatim style, when an id is missing or is no portable name.
    """
    if style == "verbatim":
        _check_verbatim(image_ids, first_row)
    keys = [
        f"{unnamed_prefix}{row:09d}"
        if image_id is None
        else (image_id if style == "verbatim" else sample_key(image_id))
        for row, image_id in enumerate(image_ids, first_row)
    ]
    check_unique(keys, image_ids, first_row)
    if len({key.casefold() for key in keys}) < len(keys):
        logger.warning(
            "some of %d sample keys differ by case only; file systems that ignore case would "
            "extract them over one another",
            len(keys),
        )
    return keys


def sample_key_column(
    image_ids: pa.StringArray,
    unnamed_prefix: str,
    first_row: int,
    style: KeyStyle = "escaped",
) -> pa.StringArray:
    """Return what `sample_keys` returns, of a column; the ids themselves where all are keys."""
    if _are_keys(image_ids):
        return image_ids
    keys = sample_keys(image_ids.to_pylist(), unnamed_prefix, first_row, style)
    return pa.array(keys, pa.string())


def _are_keys(image_ids: pa.StringArray) -> bool:
    """Tell whether ids are their own keys, and different even where case does not count."""
    if image_ids.null_count or not len(image_ids):
        return False
    offsets = value_offsets(image_ids)
    nbytes = np.diff(offsets)
    return bool(
        nbytes.min() > 0
        and nbytes.max() <= MAX_KEY_LENGTH
        and _IS_SAFE[value_bytes(image_ids)[offsets[0] : offsets[-1]]].all()
        and not any(
            pc.any(pc.starts_with(image_ids, reserved)).as_py()
            for reserved in ("-", "__", UNNAMED_PREFIX)
        )
        and are_unique(pc.ascii_lower(image_ids))
    )


def are_unique(texts: pa.StringArray | pa.ChunkedArray) -> bool:
    """Tell whether no text is there twice, nulls apart."""
    return bool(pc.count_distinct(texts).as_py() == len(texts) - texts.null_count)


def check_unique_column(keys: pa.ChunkedArray, image_ids: pa.ChunkedArray) -> None:
    """Raise `DuplicateIdError` when two rows have one key."""
    if not are_unique(keys):
        check_unique(keys.to_pylist(), image_ids.to_pylist())


def check_unique(
    keys: Sequence[str | None], image_ids: Sequence[str | None], first_row: int = 0
) -> None:
    """Raise `DuplicateIdError` when two rows have one key.

    Parameters
    ----------
    keys
        None where a row has none.
    image_ids
        What the error names the rows by.
    first_row
        Number of the first row.
    """
    present = [key for key in keys if key is not None]
    if len(set(present)) == len(present):
        return
    repeated = {key for key, count in Counter(present).items() if count > 1}
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None and key in repeated:
            rows.setdefault(key, []).append(row)
    lines = [
        f"{image_ids[at[0]]!r} in rows {', '.join(str(first_row + row) for row in at)}"
        for at in rows.values()
    ]
    expected = "every image_id once"
    raise DuplicateIdError(expected, lines)


def check_member_names(names: Sequence[str]) -> None:
    """Raise `SampleKeyError` when a name is no portable relative path of 1 to 100 characters."""
    offenders = [
        name for name in names if len(name) > MAX_NAME_LENGTH or not _MEMBER_NAME.fullmatch(name)
    ]
    if offenders:
        most = f"at most {MAX_NAME_LENGTH} characters"
        expected = f"member names of {most} of [A-Za-z0-9_%~.-], folders by '/'"
        raise SampleKeyError(expected, [repr(name) for name in offenders])
    check_unique(names, names)


def _long_key(pieces: list[str], raw: bytes) -> str:
    kept, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > _LONG_PREFIX_LENGTH:
            break
        kept.append(piece)
    digest = base64.b32encode(hashlib.blake2b(raw, digest_size=16).digest())
    return "".join(kept) + "%~" + digest.decode().rstrip("=").lower()


def _check_verbatim(image_ids: Sequence[str | None], first_row: int) -> None:
    offenders = [
        f"row {row}: {image_id!r}"
        for row, image_id in enumerate(image_ids, first_row)
        if image_id is None or len(image_id) > MAX_KEY_LENGTH or not _VERBATIM.fullmatch(image_id)
    ]
    if offenders:
        expected = (
            "ids that are portable names (segments of [A-Za-z0-9_-] joined by '/', at most "
            f'{MAX_KEY_LENGTH} characters); pass keys="escaped" to have others escaped'
        )
        raise SampleKeyError(expected, offenders)

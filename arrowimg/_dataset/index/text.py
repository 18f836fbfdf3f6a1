"""Texts that several indexes are made of: JSON, ranges and patterns of names, rows of columns."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._core.binary import whole_value
from arrowimg._format.names import SHARD_PREFIX, is_ours, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

    from arrowimg._core.checksums import BytesLike

_NUMBERED = re.compile(r"(.*?)([0-9]+)(\.tar)")


def json_bytes(value: object) -> bytes:
    """Return a JSON document, indented, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def brace_ranges(names: Iterable[str]) -> list[str]:
    """Return file names, in their order, as brace ranges: ``images-{000000..000041}.tar``."""
    found = [(name, _NUMBERED.fullmatch(name)) for name in names]

    def run_of(entry: tuple[int, tuple[str, re.Match[str] | None]]) -> tuple[object, ...]:
        # In a range, numbers grow with their places, and have one width.
        at, (name, match) = entry
        return (match[1], len(match[2]), int(match[2]) - at) if match else (name,)

    ranges = []
    for _, group in groupby(enumerate(found), key=run_of):
        run = [entry for _, entry in group]
        (first, start), (_, stop) = run[0], run[-1]
        if start is None or stop is None or len(run) == 1:
            ranges.append(first)
        else:
            ranges.append(f"{start[1]}{{{start[2]}..{stop[2]}}}{start[3]}")
    return ranges


def file_patterns(names: Iterable[str]) -> list[str]:
    """Return patterns that cover file names: one for all that writers number, else the names."""
    patterns = (
        f"{SHARD_PREFIX}*.{name.rpartition('.')[2]}" if is_ours(shard_of(name)) else name
        for name in names
    )
    return list(dict.fromkeys(patterns))


def digits(numbers: object) -> pa.StringArray:
    """Return whole numbers in decimal."""
    return pa.array(numbers, pa.int64()).cast(pa.string())


def joined_rows(columns: list[pa.Array | str]) -> BytesLike:
    """Return the text of all rows, each the texts of its columns and those of all rows."""
    return whole_value(_joined(columns))


def texts_where(is_there: npt.NDArray[np.bool_], columns: list[pa.Array | str]) -> pa.StringArray:
    """Return the texts of columns, those of each row joined, nothing where there is nothing."""
    texts = _joined(columns)
    return texts if is_there.all() else pc.if_else(pa.array(is_there), texts, "")


def _joined(columns: list[pa.Array | str]) -> pa.StringArray:
    if len(columns) == 1 and not isinstance(columns[0], str):
        return columns[0]
    texts = [pa.scalar(it) if isinstance(it, str) else it for it in columns]
    return pc.binary_join_element_wise(*texts, pa.scalar(""))

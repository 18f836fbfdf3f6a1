"""Arrow values as text and as JSON: the same letters whatever else is installed.

PyArrow's own way to Python makes pandas' objects of nanoseconds where pandas is there, fails or
drops digits where it is not, and takes time zones from whichever package it finds.
"""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import pyarrow as pa

from arrowimg._core.plain_types import types_within
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

Style = Literal["text", "json"]
"""How dates, times and durations are spelled: as Python's ``str`` does, or as JSON has them."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY = dt.timedelta(days=1)
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")


def texts_of(column: pa.ChunkedArray, name: str) -> list[str | bytes | None]:
    """Return the values of a column that is not nested: as text, but bytes as they are.

    Raises
    ------
    SchemaError
        When a date is not of the years 1 to 9999, or a time zone is not known here.
    """
    values = _checked_values(column, name, "text")
    return [it if it is None or isinstance(it, bytes) else str(it) for it in values]


def json_values(column: pa.ChunkedArray, name: str) -> list[Any]:
    """Return the values of any column as what JSON is made of, bytes and decimals besides.

    Raises
    ------
    SchemaError
        See `texts_of`.
    """
    return _checked_values(column, name, "json")


def shown_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column to be looked at, as JSON has them; those without are counts."""
    try:
        return json_values(column, "")
    except SchemaError:
        counts = pa.types.is_temporal(column.type) and not pa.types.is_nested(column.type)
        kind = column.type
        found = [
            it.value if counts and it.is_valid else f"{kind} beyond the year 9999" for it in column
        ]
        return [value if it.is_valid else None for value, it in zip(found, column, strict=True)]


def _checked_values(column: pa.ChunkedArray, name: str, style: Style) -> list[Any]:
    try:
        return [value for chunk in column.chunks for value in _values(chunk, style)]
    except (OverflowError, ValueError) as error:
        expected = "dates of the years 1 to 9999, to be spelled out"
        raise SchemaError(name, expected, f"{column.type} ({error})") from error
    except ZoneInfoNotFoundError as error:
        expected, advice = "a time zone that is known here", "pip install tzdata"
        raise SchemaError(name, expected, f"{column.type} ({error})", advice) from error


def _values(array: pa.Array, style: Style) -> list[Any]:
    """Return the values of an array of a plain type."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        values = [*_values(array.dictionary, style), None]
        return [values[-1 if at is None else at] for at in array.indices.to_pylist()]
    if pa.types.is_temporal(kind):
        spell = _speller(kind, style)
        return [None if it is None else spell(it) for it in _counts(array).to_pylist()]
    if pa.types.is_float16(kind):
        return list(array.cast(pa.float32()).to_pylist())
    if not any(map(_is_spelled, types_within(kind))):
        return list(array.to_pylist())
    return _nested_values(array, style)


def _is_spelled(kind: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(kind) or pa.types.is_float16(kind))


def _nested_values(array: pa.Array, style: Style) -> list[Any]:
    kind, is_valid = array.type, array.is_valid().to_pylist()
    if not is_valid:
        return []
    if pa.types.is_struct(kind):
        columns = [_values(array.field(at), style) for at in range(kind.num_fields)]
        names = [field.name for field in kind]
        rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
        return [row if there else None for row, there in zip(rows, is_valid, strict=True)]
    if pa.types.is_fixed_size_list(kind):
        child = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        starts = list(range(0, len(child) + 1, kind.list_size))
    else:
        child, starts = array.values, array.offsets.to_pylist()
        child, starts = (
            child.slice(starts[0], starts[-1] - starts[0]),
            [it - starts[0] for it in starts],
        )
    if pa.types.is_map(kind):
        values: list[Any] = list(
            zip(*(_values(child.field(at), style) for at in range(2)), strict=True)
        )
    else:
        values = _values(child, style)
    parts = (values[start:stop] for start, stop in pairwise(starts))
    return [part if there else None for part, there in zip(parts, is_valid, strict=True)]


def _counts(array: pa.Array) -> pa.Array:
    """Return how many units a temporal array's values are."""
    return (
        array.cast(pa.int32()).cast(pa.int64())
        if array.type.bit_width == 32
        else array.cast(pa.int64())
    )


def _speller(kind: pa.DataType, style: Style) -> Callable[[int], str]:
    if pa.types.is_date32(kind):
        return lambda days: str((_EPOCH + days * _DAY).date())
    if pa.types.is_date64(kind):
        return lambda ms: str((_EPOCH + dt.timedelta(milliseconds=ms)).date())
    factor = _NANOSECONDS[kind.unit]
    if pa.types.is_time(kind):
        return lambda count: _time_text(*divmod(count * factor, 1000))
    if pa.types.is_duration(kind):
        spell = _duration_text if style == "text" else _duration_json
        return lambda count: spell(count * factor)
    zone = _zone(kind.tz)
    return lambda count: _timestamp_text(*divmod(count * factor, 1000), zone, style)


def _zone(name: str | None) -> dt.tzinfo | None:
    if not name:
        return None
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return ZoneInfo(name)
    minutes = 60 * int(offset[2]) + int(offset[3])
    return dt.timezone(dt.timedelta(minutes=-minutes if offset[1] == "-" else minutes))


def _timestamp_text(
    microseconds: int, nanoseconds: int, zone: dt.tzinfo | None, style: Style
) -> str:
    moment = _EPOCH + dt.timedelta(microseconds=microseconds)
    moment = moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)
    whole = moment.replace(microsecond=0)
    text = str(whole) if style == "text" else msgspec.json.decode(msgspec.json.encode(whole))
    # What follows the seconds is the offset from UTC.
    return text[:19] + _fraction(moment.microsecond, nanoseconds) + text[19:]


def _time_text(microseconds: int, nanoseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 10**6)
    return str((_EPOCH + dt.timedelta(seconds=seconds)).time()) + _fraction(fraction, nanoseconds)


def _duration_text(count: int) -> str:
    microseconds, nanoseconds = divmod(count, 1000)
    span = dt.timedelta(microseconds=microseconds)
    whole = str(dt.timedelta(span.days, span.seconds))
    return whole + _fraction(span.microseconds, nanoseconds)


def _duration_json(count: int) -> str:
    """Return a duration as ISO 8601 has it: days and seconds, a sign before all of it."""
    sign, (seconds, nanoseconds) = "-" if count < 0 else "", divmod(abs(count), 10**9)
    days, seconds = divmod(seconds, 86_400)
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    time = f"T{seconds}{fraction}S" if seconds or nanoseconds else ""
    return f"{sign}P{f'{days}D' if days or not time else ''}{time}"


def _fraction(microseconds: int, nanoseconds: int) -> str:
    """Return what follows the seconds: nothing, six digits, or nine where six do not suffice."""
    if nanoseconds:
        return f".{microseconds:06}{nanoseconds:03}"
    return f".{microseconds:06}" if microseconds else ""

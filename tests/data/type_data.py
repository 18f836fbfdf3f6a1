"""Arrow types of all constructors that PyArrow has, arrays of them, and their values compared."""

from __future__ import annotations

import inspect
import random
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Choose = random.Random

READS_NULL_VECTORS = int(pa.__version__.split(".")[0]) >= 26
NO_CONSTRUCTORS = {"infer_type", "type_for_alias", "from_numpy_dtype"}
"""They find a type, and make none that others do not."""

CONSTRUCTORS: dict[str, list[pa.DataType]] = {
    **{
        name: [getattr(pa, name)()]
        for name in (
            *("null", "bool_", "bool8", "json_", "uuid", "month_day_nano_interval"),
            *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
            *("float16", "float32", "float64", "date32", "date64"),
            *("string", "utf8", "large_string", "large_utf8", "string_view"),
            *("large_binary", "binary_view"),
        )
    },
    "binary": [pa.binary(), pa.binary(3), pa.binary(16), pa.binary(0)],
    "time32": [pa.time32("s"), pa.time32("ms")],
    "time64": [pa.time64("us"), pa.time64("ns")],
    "timestamp": [
        pa.timestamp(unit, zone)
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Berlin", "+02:00", "+05:30")
    ],
    "duration": [pa.duration(unit) for unit in ("s", "ms", "us", "ns")],
    "decimal32": [pa.decimal32(1, 0), pa.decimal32(9, 2)],
    "decimal64": [pa.decimal64(18, 2)],
    "decimal128": [pa.decimal128(5, 5), pa.decimal128(38, 2), pa.decimal128(5, -2)],
    "decimal256": [pa.decimal256(38, 2), pa.decimal256(39, 2), pa.decimal256(76, 0)],
    "list_": [pa.list_(pa.int8()), pa.list_(pa.float32(), 2), pa.list_(pa.int8(), 0)],
    "large_list": [pa.large_list(pa.string())],
    "list_view": [pa.list_view(pa.int64())],
    "large_list_view": [pa.large_list_view(pa.string_view())],
    "map_": [pa.map_(pa.string(), pa.int32()), pa.map_(pa.int8(), pa.string(), keys_sorted=True)],
    "struct": [
        pa.struct([("a", pa.int8()), ("b", pa.string())]),
        pa.struct([]),
        pa.struct([("a", pa.int8()), ("a", pa.int8())]),
        pa.struct([pa.field("a", pa.int8(), nullable=False)]),
    ],
    "union": [pa.union([pa.field("a", pa.int8())], "sparse")],
    "sparse_union": [pa.sparse_union([pa.field("a", pa.int8()), pa.field("b", pa.string())])],
    "dense_union": [pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.string())])],
    "dictionary": [
        *(pa.dictionary(getattr(pa, code)(), pa.string()) for code in ("int8", "uint16", "int64")),
        pa.dictionary(pa.uint32(), pa.string_view()),
        pa.dictionary(pa.int32(), pa.large_string(), ordered=True),
    ],
    "run_end_encoded": [pa.run_end_encoded(pa.int32(), pa.string())],
    "fixed_shape_tensor": [pa.fixed_shape_tensor(pa.float32(), [2, 1])],
    "opaque": [pa.opaque(pa.int32(), "counter", "nobody")],
}
"""Types that each constructor makes."""


def constructors() -> set[str]:
    """Return the functions of PyArrow that make a type, by what they return and say of it."""
    names = set()
    for name, function in inspect.getmembers(pa, callable):
        if name.startswith("_") or inspect.isclass(function) or inspect.isfunction(function):
            continue
        document = inspect.getdoc(function) or ""
        returned = re.search(r"^Returns\n-+\n(.*)", document, re.MULTILINE)
        is_said = re.search(r"^Create .*\btype\b", document, re.MULTILINE)
        takes_nothing = document.startswith(f"{name}()")
        is_maker = takes_nothing and isinstance(function(), pa.DataType)
        if is_said or is_maker or (returned and re.search(r"Type\b", returned[1])):
            names.add(name)
    return names - NO_CONSTRUCTORS


def nested_in(kind: pa.DataType) -> Iterator[pa.DataType]:
    """Yield the types that have this one as their only child."""
    yield pa.list_(kind)
    yield pa.large_list(kind)
    yield pa.list_view(kind)
    yield pa.large_list_view(kind)
    yield pa.list_(kind, 2)
    yield pa.struct([("a", kind), ("b", pa.int8())])
    yield pa.map_(pa.string(), kind)
    if not pa.types.is_null(kind):
        yield pa.map_(kind, pa.int8())
    if not isinstance(kind, pa.BaseExtensionType):
        yield pa.dictionary(pa.int16(), kind)
    if not pa.types.is_run_end_encoded(kind):
        yield pa.run_end_encoded(pa.int16(), kind)


def is_refused(kind: pa.DataType) -> bool:
    """Tell whether a type, or one that it is made of, is documented as one that is refused."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_refused(kind.storage_type)
    if pa.types.is_dictionary(kind):
        values = decoded(kind.value_type)
        is_flat = not (
            pa.types.is_nested(values) or pa.types.is_dictionary(values) or is_null(values)
        )
        return not is_flat or pa.types.is_interval(values) or is_refused(values)
    if pa.types.is_run_end_encoded(kind):
        return is_refused(kind.value_type)
    names = [kind.field(at).name for at in range(kind.num_fields)]
    is_empty = pa.types.is_struct(kind) and not names
    is_ambiguous = pa.types.is_struct(kind) and len(set(names)) < len(names)
    is_of_no_size = kind == pa.binary(0) or getattr(kind, "list_size", 1) == 0
    is_long = pa.types.is_decimal(kind) and (kind.precision > 38 or kind.scale < 0)
    is_odd = pa.types.is_timestamp(kind) and kind.tz == "+05:30"
    keys = kind.key_type if pa.types.is_map(kind) else None
    is_keyless = keys is not None and is_null(decoded(keys))
    is_whole = pa.types.is_union(kind) or is_empty or is_ambiguous or is_of_no_size or is_keyless
    children = (kind.field(at).type for at in range(kind.num_fields))
    return is_whole or is_long or is_odd or any(map(is_refused, children))


def decoded(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values that a type only wraps."""
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    is_wrapper = pa.types.is_run_end_encoded(kind) or is_written_decoded(kind)
    return decoded(kind.value_type) if is_wrapper else kind


def is_written_decoded(kind: pa.DataType) -> bool:
    """Tell whether a type is a dictionary of what Parquet's dictionaries would not bring back."""
    if not pa.types.is_dictionary(kind):
        return False
    values = decoded(kind.value_type)
    is_zoned = pa.types.is_timestamp(values) and values.tz is not None
    return is_zoned or pa.types.is_duration(values) or bool(pa.types.is_float16(values))


def has_vectors(kind: pa.DataType) -> bool:
    """Tell whether a type is made of fixed-size lists."""
    if isinstance(kind, pa.BaseExtensionType):
        return has_vectors(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return has_vectors(kind.value_type)
    children = (kind.field(at).type for at in range(kind.num_fields))
    return pa.types.is_fixed_size_list(kind) or any(map(has_vectors, children))


def is_null(kind: pa.DataType) -> bool:
    """Tell whether a type has no values."""
    return bool(pa.types.is_null(kind))


def array_of(  # noqa: PLR0911  # a type each
    kind: pa.DataType, size: int, choose: Choose, *, nullable: bool = True
) -> pa.Array:
    """Return an array of a type, some of its rows null where it may be."""
    # Before PyArrow 26, such columns are refused where anything is null.
    nullable = nullable and (READS_NULL_VECTORS or not has_vectors(kind))
    is_null_row = [nullable and choose.random() < 0.3 for _ in range(size)]
    if isinstance(kind, pa.BaseExtensionType):
        storage = array_of(kind.storage_type, size, choose, nullable=nullable)
        return pa.ExtensionArray.from_storage(kind, storage)
    if pa.types.is_dictionary(kind):
        values = array_of(kind.value_type, 4, choose, nullable=nullable and choose.random() < 0.5)
        codes = [None if there else choose.randrange(4) for there in is_null_row]
        indices = pa.array(codes, kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, values, ordered=kind.ordered)
    if pa.types.is_run_end_encoded(kind):
        ends = sorted({*choose.choices(range(1, size + 1), k=2), size}) if size else []
        values = array_of(kind.value_type, len(ends), choose, nullable=nullable)
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, kind.run_end_type), values, kind)
    if pa.types.is_union(kind):
        children = [array_of(it.type, size, choose) for it in kind]
        codes = pa.array([choose.randrange(len(children)) for _ in range(size)], pa.int8())
        if kind.mode == "sparse":
            return pa.UnionArray.from_sparse(codes, children, [it.name for it in kind])
        places = pa.array(range(size), pa.int32())
        return pa.UnionArray.from_dense(codes, places, children, [it.name for it in kind])
    if pa.types.is_nested(kind):
        return _nested_array(kind, is_null_row, choose)
    make = _leaf_maker(kind, choose)
    values = [None if there else make() for there in is_null_row]
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.array(values, width).cast(kind)
    if pa.types.is_decimal(kind) and kind.scale < 0:
        return pa.array(values, pa.decimal128(38, 0)).cast(kind)
    return pa.array(values, kind)


def _nested_array(  # noqa: PLR0911  # a type each
    kind: pa.DataType, is_null_row: list[bool], choose: Choose
) -> pa.Array:
    size = len(is_null_row)
    mask = pa.array(is_null_row, pa.bool_())
    if pa.types.is_struct(kind):
        children = [array_of(it.type, size, choose, nullable=it.nullable) for it in kind]
        if not children:
            return pa.array([None if there else {} for there in is_null_row], kind)
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)
    if pa.types.is_fixed_size_list(kind) and kind.list_size == 0:
        return pa.array([None if there else [] for there in is_null_row], kind)
    if pa.types.is_fixed_size_list(kind):
        child = array_of(kind.value_type, size * kind.list_size, choose)
        mask = mask if READS_NULL_VECTORS else None
        return pa.FixedSizeListArray.from_arrays(child, type=kind, mask=mask)
    # At most one key to a map, so that none is there twice.
    sizes = [choose.randrange(2 if pa.types.is_map(kind) else 3) for _ in range(size)]
    sizes = [0 if there else it for it, there in zip(sizes, is_null_row, strict=True)]
    offsets = [sum(sizes[:at]) for at in range(size + 1)]
    if pa.types.is_map(kind):
        keys = array_of(kind.key_type, sum(sizes), choose, nullable=False)
        items = array_of(kind.item_type, sum(sizes), choose)
        return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items, kind, mask=mask)
    is_large = pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind)
    width = pa.int64() if is_large else pa.int32()
    child = array_of(kind.value_type, sum(sizes) + 1, choose)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        made = pa.LargeListArray if is_large else pa.ListArray
        return made.from_arrays(pa.array(offsets, width), child, kind, mask=mask)
    # Views need not follow one another, and may overlap.
    starts = [choose.randrange(len(child) - it + 1) for it in sizes]
    made = pa.LargeListViewArray if is_large else pa.ListViewArray
    return made.from_arrays(pa.array(starts, width), pa.array(sizes, width), child, kind, mask=mask)


def _leaf_maker(kind: pa.DataType, choose: Choose) -> Callable[[], Any]:  # noqa: PLR0911
    if is_null(kind):
        return lambda: None
    if pa.types.is_boolean(kind):
        return lambda: choose.random() < 0.5
    if pa.types.is_integer(kind):
        is_signed = pa.types.is_signed_integer(kind)
        least = -(2 ** (kind.bit_width - 1)) if is_signed else 0
        return lambda: choose.randint(least, least + 2**kind.bit_width - 1)
    if pa.types.is_floating(kind):
        floats = [1.5, -0.0, float("inf"), 2.0**-14, 1 / 3]
        dtype = np.dtype(f"f{kind.bit_width // 8}").type
        return lambda: dtype(choose.choice(floats))
    if pa.types.is_fixed_size_binary(kind):
        return lambda: choose.randbytes(kind.byte_width)
    if pa.types.is_decimal(kind):
        step, most = Decimal(1).scaleb(-kind.scale), 10**kind.precision - 1
        return lambda: Decimal(choose.randint(-most, most)) * step
    if pa.types.is_interval(kind):
        return lambda: tuple(choose.randint(-(2**31), 2**31 - 1) for _ in range(3))
    if pa.types.is_temporal(kind):
        return _temporal_maker(kind, choose)
    is_text = "string" in str(kind)
    texts = ["", "a", "naïve 猫", "x" * 20, "\0"]
    return lambda: choose.choice(texts) if is_text else choose.randbytes(choose.randrange(20))


def _temporal_maker(kind: pa.DataType, choose: Choose) -> Callable[[], int]:
    if pa.types.is_date32(kind):
        return lambda: choose.randint(-700_000, 2_000_000)
    if pa.types.is_date64(kind):
        return lambda: 86_400_000 * choose.randint(-700_000, 2_000_000)
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
    if pa.types.is_time(kind):
        return lambda: choose.randrange(86_400 * factor)
    return lambda: choose.randint(-(10**9) * factor, 10**9 * factor)


def rows_of(array: pa.Array | pa.ChunkedArray) -> list[Any]:  # noqa: PLR0911  # a type each
    """Return values that are equal where they are the same, whatever type a reader gives them.

    Moments and spans are nanoseconds, since 1970 where they have a date.
    """
    if isinstance(array, pa.ChunkedArray):
        return [row for chunk in array.chunks for row in rows_of(chunk)]
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return rows_of(array.storage)
    if pa.types.is_dictionary(kind):
        values = [*rows_of(array.dictionary), None]
        return [values[-1 if it is None else it] for it in array.indices.to_pylist()]
    if pa.types.is_run_end_encoded(kind):
        values, ends = rows_of(array.values), array.run_ends.to_numpy()
        places = np.searchsorted(ends, array.offset + np.arange(len(array)), side="right")
        return [values[at] for at in places]
    if pa.types.is_struct(kind):
        columns = {field.name: rows_of(array.field(at)) for at, field in enumerate(kind)}
        is_there = array.is_valid().to_pylist()
        rows = ({name: it[at] for name, it in columns.items()} for at in range(len(array)))
        return [row if there else None for row, there in zip(rows, is_there, strict=True)]
    if pa.types.is_nested(kind):
        return [rows_of(it.values) if it.is_valid else None for it in array]
    return [_value(it) if it.is_valid else None for it in array]


def _value(scalar: Any) -> Any:  # noqa: ANN401  # any scalar
    kind = scalar.type
    if pa.types.is_interval(kind):
        return dict(zip(("months", "days", "nanoseconds"), scalar.as_py(), strict=True))
    if pa.types.is_date32(kind):
        return 86_400 * 10**9 * scalar.value
    if pa.types.is_date64(kind):
        return 10**6 * scalar.value
    if pa.types.is_temporal(kind):
        return {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit] * scalar.value
    return float(scalar.as_py()) if pa.types.is_floating(kind) else scalar.as_py()

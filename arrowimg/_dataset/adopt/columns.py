"""Members beside pictures as columns: JSON objects, texts, classes, and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._dataset.adopt.documents import document_columns
from arrowimg._format.sidecar import RESERVED, TAR_PATH

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from arrowimg._dataset.adopt.options import Clashes

_RESERVED = frozenset((*RESERVED, "image_path", TAR_PATH))
_TEXTS = ("txt", "text", "caption")
_CLASSES = ("cls", "cls2", "index", "inx", "id")


def member_columns(
    contents: Mapping[str, pa.LargeBinaryArray],
    clashes: Clashes,
    place: str,
    notices: Counter[str],
) -> pa.Table:
    """Return the members of samples as columns.

    Parameters
    ----------
    contents
        Data of the members by extension: (N,), null where a sample has none.
    clashes
        What becomes of a field of JSON whose values have no type in common.
    place
        Where they are, for errors.
    notices
        What is not as it should be is counted here.

    Raises
    ------
    SchemaError
        See `document_columns`.
    """
    columns = dict[str, pa.Array]()
    for extension, data in contents.items():
        last = extension.rpartition(".")[2]
        if last == "json":
            found = document_columns(data, clashes, place)
        else:
            found = {column_name(extension): _plain_column(data, last, notices)}
        for name, column in found.items():
            columns[free_name(name, columns)] = column
    return pa.table(columns)


def column_name(extension: str) -> str:
    """Return the name of the column of an extension's members.

    Examples
    --------
    >>> column_name("seg.png")
    'seg_png'
    """
    return extension.replace(".", "_").replace("-", "_")


def free_name(name: str, taken: Mapping[str, object]) -> str:
    """Return a column's name, with a prefix where it is one of arrowimg's own, or taken."""
    while name in _RESERVED or name in taken:
        name = f"source_{name}"
    return name


def _plain_column(data: pa.LargeBinaryArray, extension: str, notices: Counter[str]) -> pa.Array:
    if extension in _TEXTS:
        return _texts(data, notices)
    if extension in _CLASSES:
        texts = _texts(data, notices)
        try:
            return pc.utf8_trim_whitespace(texts).cast(pa.int64())
        except pa.ArrowInvalid:
            return texts
    return data if data.nbytes > 2**30 else data.cast(pa.binary())


def _texts(data: pa.LargeBinaryArray, notices: Counter[str]) -> pa.Array:
    kind = pa.large_string() if data.nbytes > 2**30 else pa.string()
    try:
        return data.cast(kind)
    except pa.ArrowInvalid:
        notices["texts that are no UTF-8"] += 1
        texts = [
            None if it is None else it.decode(errors="backslashreplace") for it in data.to_pylist()
        ]
        return pa.array(texts, kind)

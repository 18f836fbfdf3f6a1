"""Tars as a source: samples as webdataset makes them, the other members of each as columns."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct

from arrowimg._dataset.adopt.columns import member_columns
from arrowimg._dataset.adopt.find import find_tars
from arrowimg._dataset.adopt.rows import is_picture
from arrowimg._format.adopted.samples import split_names
from arrowimg._format.adopted.walk import MemberKind, TarWalk
from arrowimg._write.sources.items import Item
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._format.adopted.walk import Window
    from arrowimg._storage.base import Storage, StorageOptions


class _Sample(Struct, frozen=True):
    """The members of a sample: its key, and name and data of each by extension."""

    key: str
    names: dict[str, str]
    data: dict[str, bytes]


def item_of_tars(source: object, storage_options: StorageOptions | None) -> Item:
    """Return tars as an item: the samples of a window of a tar at a time are a table.

    Columns are ``image_id``, the key; ``image_path``, tar and member; ``image_data``, null where a
    sample has no picture; and one for each of the other members. A tar that cannot be read, or is
    damaged, is a `SourceError` when its rows are asked for.

    Parameters
    ----------
    source
        See `find_tars`.

    Raises
    ------
    SourceError
        When there is no tar.
    """
    tars = find_tars(source, storage_options)

    def tables() -> Iterator[pa.Table]:
        for name in tars.names:
            yield from _tables_of_tar(tars.storage, name)

    return Item(tables, place=tars.storage.path_of(""), has_same_columns=False)


def _tables_of_tar(storage: Storage, name: str) -> Iterator[pa.Table]:
    path = storage.path_of(name)
    expected = "a tar that can be read"
    try:
        with storage.open(name) as file:
            walk, unfinished = TarWalk(file, "xxh3_128"), list[_Sample]()
            for window in walk.windows():
                begun = [*unfinished, *_samples_of(window, unfinished)]
                # The last one may go on in the next window.
                samples, unfinished = begun[:-1], begun[-1:]
                if samples:
                    yield _table(samples, path)
    except OSError as error:
        raise SourceError(expected, str(error), path) from error
    if unfinished:
        yield _table(unfinished, path)
    if walk.problems:
        advice = "arrowimg.adopt takes what is left"
        raise SourceError(expected, walk.problems[0], path, advice)


def _samples_of(window: Window, unfinished: list[_Sample]) -> Iterator[_Sample]:
    """Yield the samples that begin in a window; members of an unfinished one are added to it."""
    split = split_names(window.names)
    view, sample = memoryview(window.data), unfinished[0] if unfinished else None
    columns = (split.names, split.keys, split.extensions)
    starts = (window.starts - window.begin).tolist()
    members = zip(*(it.to_pylist() for it in columns), starts, window.sizes.tolist(), strict=True)
    for kind, (name, key, extension, start, size) in zip(window.kinds, members, strict=True):
        if key is None or kind in (MemberKind.LINK, MemberKind.OTHER):
            continue
        if sample is None or sample.key != key:
            sample = _Sample(key, {}, {})
            yield sample
        if kind == MemberKind.FILE and extension not in sample.data:
            sample.names[extension] = name
            sample.data[extension] = bytes(view[start : start + size])


def _table(samples: list[_Sample], path: str) -> pa.Table:
    pictures = [_picture_of(sample) for sample in samples]
    names = [
        None if at is None else f"{path}/{sample.names[at]}"
        for sample, at in zip(samples, pictures, strict=True)
    ]
    data = [
        None if at is None else sample.data[at]
        for sample, at in zip(samples, pictures, strict=True)
    ]
    extensions = dict.fromkeys(
        extension
        for sample, picture in zip(samples, pictures, strict=True)
        for extension in sample.data
        if extension != picture
    )
    others = {
        extension: pa.array(
            [
                None if extension == picture else sample.data.get(extension)
                for sample, picture in zip(samples, pictures, strict=True)
            ],
            pa.large_binary(),
        )
        for extension in extensions
    }
    columns = {
        "image_id": pa.array([sample.key for sample in samples], pa.string()),
        "image_path": pa.array(names, pa.string()),
        "image_data": pa.array(data, pa.large_binary()),
    }
    members = member_columns(others, "raise", path, Counter())
    return pa.table(columns | dict(zip(members.column_names, members.columns, strict=True)))


def _picture_of(sample: _Sample) -> str | None:
    """Return the extension of a sample's picture: the first, but better one of a single part."""
    found = sorted(filter(is_picture, sample.data), key=lambda extension: "." in extension)
    return found[0] if found else None

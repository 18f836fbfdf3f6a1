"""Tars as a source: samples as webdataset makes them, the other members of each as columns."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from arrowimg._core.binary import join_values
from arrowimg._core.checksums import BytesLike
from arrowimg._dataset.adopt.columns import member_columns
from arrowimg._dataset.adopt.find import find_tars
from arrowimg._dataset.adopt.samples import Samples, is_picture
from arrowimg._format.adopted.samples import split_names
from arrowimg._format.adopted.walk import MemberKind, TarWalk
from arrowimg._images.columns import FILES_AND_FAULTS
from arrowimg._write.sources.items import Item
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._format.adopted.walk import Window
    from arrowimg._storage.base import Storage, StorageOptions


_FAULTS = {
    MemberKind.TOO_LARGE: "a member of more than 256 MiB",
    MemberKind.CUT: "a member that is cut",
    MemberKind.SPARSE: "a sparse member",
}


class _Member(Struct, frozen=True):
    """A member of a sample: its bytes, or why they cannot be had."""

    name: str
    key: str
    extension: str
    data: BytesLike | None
    fault: str | None

    def kept(self) -> _Member:
        """Return the same, with bytes that stay when the next window is read."""
        return replace(self, data=None if self.data is None else bytes(self.data))


def item_of_tars(source: object, storage_options: StorageOptions | None) -> Item:
    """Return tars as an item: the samples of a window of a tar at a time are a table.

    Columns are ``image_id``, the key; ``image_path``, tar and member; ``image_data``, null where a
    sample has no picture, with what is wrong where its bytes cannot be had; and one for each of the
    other members. A tar that cannot be read, or is damaged, is a `SourceError` when its rows are
    asked for.

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
            walk, unfinished = TarWalk(file, "xxh3_128"), list[_Member]()
            for window in walk.windows():
                members = [*unfinished, *_members_of(window)]
                # The last sample may go on in the next window.
                begin = _begin_of_last(members)
                if begin:
                    yield _table(members[:begin], path)
                unfinished = [it.kept() for it in members[begin:]]
    except OSError as error:
        raise SourceError(expected, str(error), path) from error
    if unfinished:
        yield _table(unfinished, path)
    if walk.problems:
        advice = "arrowimg.adopt takes what is left"
        raise SourceError(expected, walk.problems[0], path, advice)


def _begin_of_last(members: list[_Member]) -> int:
    """Return how many members are before the last sample."""
    at = len(members)
    while at and members[at - 1].key == members[-1].key:
        at -= 1
    return at


def _members_of(window: Window) -> Iterator[_Member]:
    """Yield the members of a window that make samples; their bytes are in it."""
    split, view = split_names(window.names), memoryview(window.data)
    columns = (it.to_pylist() for it in (split.names, split.keys, split.extensions))
    starts = (window.starts - window.begin).tolist()
    places = zip(window.kinds.tolist(), starts, window.sizes.tolist(), strict=True)
    members = zip(zip(*columns, strict=True), places, strict=True)
    for (name, key, extension), (kind, start, size) in members:
        if key is not None and kind not in (MemberKind.LINK, MemberKind.OTHER):
            data = view[start : start + size] if kind == MemberKind.FILE else None
            yield _Member(name, key, extension, data, _FAULTS.get(kind))


def _table(members: list[_Member], path: str) -> pa.Table:
    keys, extensions = ([getattr(it, name) for it in members] for name in ("key", "extension"))
    samples = Samples(pa.array(keys, pa.string()), pa.array(extensions, pa.string()))
    at = samples.pictures(np.array([is_picture(it) for it in extensions], np.bool_))
    pictures = [None if it < 0 else members[it] for it in at.tolist()]
    beside = list[tuple[int, str, pa.LargeBinaryArray]]()
    for extension in dict.fromkeys(extensions):
        found = samples.of_extension(extension)
        found[found == at] = -1
        data = _data([None if it < 0 else members[it] for it in found.tolist()])
        if data.null_count < len(data):
            beside.append((int(found[found >= 0].min()), extension, data))
    # In the order in which they are met.
    others = {extension: data for _, extension, data in sorted(beside, key=itemgetter(0))}
    columns = {
        "image_id": pa.array([keys[it] for it in samples.firsts.tolist()], pa.string()),
        "image_path": pa.array([it and f"{path}/{it.name}" for it in pictures], pa.string()),
        "image_data": _files(pictures),
    }
    table = member_columns(others, "raise", path, Counter())
    return pa.table(columns | dict(zip(table.column_names, table.columns, strict=True)))


def _data(members: list[_Member | None]) -> pa.LargeBinaryArray:
    return join_values([None if it is None else it.data for it in members])


def _files(pictures: list[_Member | None]) -> pa.Array:
    """Return the files of pictures, and what is wrong with those that cannot be had."""
    files = _data(pictures)
    faults = pa.array([it and it.fault for it in pictures], pa.string())
    if faults.null_count == len(faults):
        return files
    return pa.StructArray.from_arrays([files, faults], fields=list(FILES_AND_FAULTS))

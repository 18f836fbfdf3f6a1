"""A source: anything that holds images, handed out as batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arrowimg._core.binary import table_nbytes
from arrowimg._core.mistakes import wrong_item, wrong_source
from arrowimg._core.threads import usable_cores
from arrowimg._images.batch import ImageBatch
from arrowimg._write.sources.file_columns import FileColumns
from arrowimg._write.sources.items import Item, item_in_memory
from arrowimg._write.sources.paths import Reader, is_image_path, is_path
from arrowimg._write.sources.table_files import NBYTES_PER_BATCH, ROWS_PER_BATCH
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections import Counter

    import pyarrow as pa

    from arrowimg._storage.base import StorageOptions
    from arrowimg._write.sources.items import Piece

_CORES_OF_A_BATCH = 4
"""Of more, each would have too little of one: threads wait for one another where a batch ends."""

_EXPECTED = "a source of images (a table, a batch, a folder, paths, or an iterable of these)"


class Source:
    """Anything that holds images.

    Parameters
    ----------
    source
        See `write_shards`.
    storage_options
        What object stores are told, where it is a URL or some are in it.
    file_columns
        What picture files bring along.

    Attributes
    ----------
    num_rows
        Where that is known without reading it, else None.

    Raises
    ------
    SourceError
        When a path holds no images, or a folder cannot be listed.
    OptionError
        When captions or labels are asked for, and there are no picture files.
    """

    def __init__(
        self,
        source: object,
        storage_options: StorageOptions | None = None,
        file_columns: FileColumns | None = None,
    ) -> None:
        self._reader = Reader(file_columns or FileColumns(), storage_options)
        self._schemas: list[tuple[str, pa.Schema]] | None = None
        self._items = list(_items_of(source, self._reader))
        if self._items and not any(item.is_of_pictures for item in self._items):
            self._reader.file_columns.check_unasked()
        counts = [item.num_rows for item in self._items]
        known = [count for count in counts if count is not None]
        self.num_rows = sum(known) if len(known) == len(counts) else None

    @property
    def nbytes(self) -> int | None:
        """Bytes of its files, about; None where others than files are among its items."""
        sizes = [item.nbytes for item in self._items if item.pieces is not None]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(self._items) else None

    @property
    def is_lent(self) -> bool:
        """True where whoever hands out its rows may use their memory again for the next."""
        return any(item.is_lent for item in self._items)

    @property
    def knows_columns(self) -> bool:
        """True where its first rows and `schemas` tell all columns that it has."""
        if len(self._items) == 1:
            return self._items[0].has_same_columns
        return all(item.schema is not None for item in self._items)

    @property
    def passed_over(self) -> Counter[str]:
        """Number of files and folders left out by rule, by reason. Grows as folders are read."""
        return self._reader.passed_over

    def schemas(self) -> list[tuple[str, pa.Schema]]:
        """Return the columns of the items where there are several, and where each is.

        Those of streams are not known. One item says itself what it has.

        Raises
        ------
        SourceError
            When a file cannot be read.
        """
        if self._schemas is None:
            items = self._items if len(self._items) > 1 else []
            self._schemas = [
                (item.place or f"item {number} of the source", item.schema())
                for number, item in enumerate(items, 1)
                if item.schema is not None
            ]
        return self._schemas

    def batches(self) -> Iterator[ImageBatch]:
        """Yield the rows, in order, in batches of bounded rows and bytes, larger for many cores.

        Raises
        ------
        SourceError
            When the source is nothing that holds images, or cannot be read.
        """
        times = max(1, usable_cores() // _CORES_OF_A_BATCH)
        for item in self._items:
            for table in item.tables():
                yield from map(ImageBatch, split_table(table, times))

    def pieces(self) -> Iterator[ImageBatch | Piece]:
        """Yield the same rows; those of files as pieces that are yet to be read.

        Raises
        ------
        SourceError
            When the source is nothing that holds images, or cannot be read.
        """
        for item in self._items:
            if item.pieces is not None:
                yield from item.pieces()
                continue
            for table in item.tables():
                yield from map(ImageBatch, split_table(table))


def _items_of(source: Any, reader: Reader) -> Iterator[Item]:  # noqa: ANN401  # this is where it is found out
    item = item_in_memory(source)
    if item is not None:
        yield item
    elif is_path(source):
        yield from reader.items_of_path(source)
    elif isinstance(source, list | tuple):
        yield from _items_of_iterable(source, reader)
    elif _is_iterable(source):
        yield _item_of_stream(source, reader)
    else:
        raise wrong_source(source, _EXPECTED)


def _items_of_iterable(source: Iterable[Any], reader: Reader) -> Iterator[Item]:
    """Yield the items of each; paths of pictures that follow one another are one."""
    pictures = list[Path]()
    for each in source:
        if is_image_path(each):
            pictures.append(Path(each))
            continue
        item = item_in_memory(each)
        if item is None and not (is_path(each) or _is_iterable(each)):
            if pictures:
                expected = "a list of paths of image files"
                raise SourceError(expected, f"{type(each).__qualname__} among them")
            raise wrong_item(each, _EXPECTED)
        if pictures:
            yield reader.item_of_pictures(pictures)
            pictures = []
        yield from _items_of(each, reader) if item is None else [item]
    if pictures:
        yield reader.item_of_pictures(pictures)


def _item_of_stream(source: Iterable[Any], reader: Reader) -> Item:
    """Return an iterable of sources as one item; each is looked at when it comes."""

    def tables() -> Iterator[pa.Table]:
        are_of_pictures = set[bool]()
        for item in _items_of_iterable(iter(source), reader):
            are_of_pictures.add(item.is_of_pictures)
            yield from item.tables()
        if are_of_pictures == {False}:
            reader.file_columns.check_unasked()

    num_rows = getattr(source, "num_rows", None)
    known = num_rows if isinstance(num_rows, int) else None
    return Item(tables, known, has_same_columns=False, is_of_pictures=True, is_lent=True)


def split_table(table: pa.Table, times: int = 1) -> Iterator[pa.Table]:
    """Yield the rows in tables of at most `ROWS_PER_BATCH` rows and `NBYTES_PER_BATCH` bytes.

    Or so many times as much. A row that is larger is a table by itself. Nothing is copied.
    """
    most_rows, most_nbytes = times * ROWS_PER_BATCH, times * NBYTES_PER_BATCH
    waiting = [
        table.slice(start, most_rows) for start in reversed(range(0, table.num_rows, most_rows))
    ]
    while waiting:
        part = waiting.pop()
        if part.num_rows > 1 and table_nbytes(part) > most_nbytes:
            half = part.num_rows // 2
            waiting += [part.slice(half), part.slice(0, half)]
        else:
            yield part


def count_rows(source: object) -> int | None:
    """Return how many rows a source has, where that is known without reading it."""
    return Source(source).num_rows


def _is_iterable(source: object) -> bool:
    """Tell whether a source may be an iterable of sources; numbers in a row are none."""
    is_known = type(source).__module__.split(".")[0] in {"numpy", "PIL", "torch", "pandas"}
    is_other = isinstance(source, (dict, bytes, bytearray, memoryview)) or is_known
    return isinstance(source, Iterable) and not is_other

"""A source: anything that holds images, handed out as batches of bounded size."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import pyarrow as pa

from arrowimg._core.binary import table_nbytes
from arrowimg._core.frames.pandas_frames import is_pandas
from arrowimg._core.frames.polars_frames import is_polars
from arrowimg._core.mistakes import wrong_item, wrong_source
from arrowimg._core.tables import as_table, naming
from arrowimg._images.batch import ImageBatch
from arrowimg._images.files import IMAGE_SUFFIXES, as_paths, find_images, ids_of_files, read_files
from arrowimg._storage.open import is_in_store
from arrowimg._write.sources import table_files
from arrowimg._write.sources.store_files import find_store_files, tables_of_store
from arrowimg._write.sources.table_files import NBYTES_PER_BATCH, ROWS_PER_BATCH
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from arrowimg._storage.base import StorageOptions

logger = logging.getLogger("arrowimg.sources")

_NOTHING = object()
_ROWS_OF_UNKNOWN_SIZE = 100
_EXPECTED = "a source of images (a table, a batch, a folder, paths, or an iterable of these)"
_EXPECTED_PATH = "a folder of images, a Parquet or Arrow file, or an image file"


class Source:
    """Anything that holds images.

    Parameters
    ----------
    source
        See `write_shards`.
    storage_options
        What object stores are told, where it is a URL or some are in it.

    Attributes
    ----------
    num_rows
        Where that is known without reading it, else None.
    passed_over
        Number of files and folders left out by rule, by reason. Grows as folders are read.

    Raises
    ------
    SourceError
        When a path holds no images, or a folder cannot be listed.
    """

    def __init__(self, source: object, storage_options: StorageOptions | None = None) -> None:
        self.passed_over: Counter[str] = Counter()
        self._storage_options = storage_options
        self._source = source
        self._files: list[Path] | None = None
        if is_path(source) and not is_in_store(source) and Path(source).is_dir():
            self._files = self._find(Path(source))
        self.num_rows = len(self._files) if self._files is not None else count_rows(source)

    def batches(self) -> Iterator[ImageBatch]:
        """Yield the rows, in order, in batches of bounded rows and bytes.

        Raises
        ------
        SourceError
            When the source is nothing that holds images, or cannot be read.
        """
        if is_path(self._source) and self._files is not None:
            files, self._files = self._files, None
            tables = read_files(files, ids_of_files(files, Path(self._source)))
        else:
            tables = self._tables(self._source)
        for table in tables:
            yield from map(ImageBatch, split_table(table))

    def _tables(self, source: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # this is where it is found out
        if isinstance(source, (pa.Table, pa.RecordBatch)):
            yield as_table(source)
        elif isinstance(source, ImageBatch):
            yield source.data
        elif is_path(source):
            yield from self._tables_of_path(source)
        elif _is_of(source, "polars", "collect"):
            yield from _tables_of_lazy_frame(source)
        elif _is_of(source, "datasets", "with_format") and hasattr(source, "iter"):
            yield from _tables_of_hugging_face(source)
        elif is_polars(source) or is_pandas(source):
            yield as_table(source)
        elif hasattr(source, "__arrow_c_stream__"):
            yield from _tables_of_stream(source)
        elif hasattr(source, "__arrow_c_array__"):
            yield as_table(source)
        elif _is_iterable(source):
            yield from self._tables_of_iterable(source)
        else:
            raise wrong_source(source, _EXPECTED)

    def _tables_of_path(self, source: str | os.PathLike[str]) -> Iterator[pa.Table]:
        path = Path(source)
        if isinstance(source, str) and is_in_store(source):
            in_store = find_store_files(source, self._storage_options)
            self.passed_over += in_store.passed_over
            yield from tables_of_store(in_store)
        elif path.is_dir():
            files = self._find(path)
            yield from read_files(files, ids_of_files(files, path))
        elif path.suffix.lower() in IMAGE_SUFFIXES and os.path.lexists(path):
            yield from read_files([path], ids_of_files([path]))
        else:
            table_files.check_is_file(path, _EXPECTED_PATH)
            if not table_files.is_table_file(path):
                raise table_files.no_table_file(path, _EXPECTED_PATH)
            yield from table_files.tables_of_file(path)

    def _tables_of_iterable(self, source: Iterable[Any]) -> Iterator[pa.Table]:
        items = iter(source)
        first = next(items, _NOTHING)
        if (
            is_path(first)
            and not is_in_store(first)
            and Path(first).suffix.lower() in IMAGE_SUFFIXES
        ):
            files = as_paths([first, *items])
            yield from read_files(files, ids_of_files(files))
        elif first is not _NOTHING:
            rest = chain((first,), items)
            del first  # or the first table would stay in memory until the last
            for item in rest:
                if not (is_path(item) or _holds_rows(item)):
                    raise wrong_item(item, _EXPECTED)
                yield from self._tables(item)

    def _find(self, folder: Path) -> list[Path]:
        found = find_images(folder)
        self.passed_over += found.passed_over
        if not found.paths:
            raise _no_images(folder, found.passed_over)
        if found.passed_over:
            logger.warning("%s: passed over %s", folder, passed_over_text(found.passed_over))
        return found.paths


def passed_over_text(passed_over: dict[str, int]) -> str:
    """Return how many files and folders were left out and why, the most frequent first."""
    ordered = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} ({reason})" for reason, count in ordered)


def split_table(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows in tables of at most `ROWS_PER_BATCH` rows and `NBYTES_PER_BATCH` bytes.

    A row that is larger is a table by itself. Nothing is copied.
    """
    waiting = [
        table.slice(start, ROWS_PER_BATCH)
        for start in reversed(range(0, table.num_rows, ROWS_PER_BATCH))
    ]
    while waiting:
        part = waiting.pop()
        if part.num_rows > 1 and table_nbytes(part) > NBYTES_PER_BATCH:
            half = part.num_rows // 2
            waiting += [part.slice(half), part.slice(0, half)]
        else:
            yield part


def count_rows(source: object) -> int | None:
    """Return how many rows a source has, where that is known without reading it."""
    if isinstance(source, ImageBatch):
        return source.num_items
    if is_path(source) and not is_in_store(source):
        return table_files.count_rows(Path(source))
    found = [getattr(source, name, None) for name in ("num_rows", "height")]
    return next((num_rows for num_rows in found if isinstance(num_rows, int)), None)


def is_path(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Tell whether a source is a path."""
    return isinstance(source, (str, os.PathLike))


def _no_images(folder: Path, passed_over: Counter[str]) -> SourceError:
    expected = f"image files ({', '.join(sorted(IMAGE_SUFFIXES))})"
    found = (
        f"none below it, but {passed_over_text(passed_over)}" if passed_over else "none below it"
    )
    tables = [
        f"*{suffix}" for suffix in (".parquet", ".arrow") if f"suffix {suffix}" in passed_over
    ]
    advice = ""
    if tables:
        advice = (
            f"in Python, pass the files: sorted(pathlib.Path({str(folder)!r}).rglob({tables[0]!r}))"
        )
    elif "suffix .tar" in passed_over:
        advice = "tars are no source: unpack them, or read them into tables with webdataset"
    return SourceError(expected, found, str(folder), advice)


def _tables_of_stream(source: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # any with the protocol
    # DuckDB would make a million rows one batch.
    is_duckdb = _is_of(source, "duckdb", "to_arrow_reader")
    with naming(source):
        reader = source.to_arrow_reader(ROWS_PER_BATCH) if is_duckdb else source
        yield from map(as_table, pa.RecordBatchReader.from_stream(reader))


def _tables_of_hugging_face(source: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # datasets is not imported
    return _joined(source.with_format("arrow").iter(_ROWS_OF_UNKNOWN_SIZE))


def _tables_of_lazy_frame(frame: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # polars is not imported
    if hasattr(frame, "collect_batches"):
        return _joined(map(as_table, frame.collect_batches(chunk_size=_ROWS_OF_UNKNOWN_SIZE)))
    return iter([as_table(frame.collect())])


def _joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables together as long as they are a batch; rows are asked for a few at a time.

    How large a row is is known only once it is there.
    """
    waiting, num_rows, nbytes = list[pa.Table](), 0, 0
    for table in tables:
        more = table_nbytes(table)
        is_full = num_rows + table.num_rows > ROWS_PER_BATCH
        if waiting and (is_full or nbytes + more > NBYTES_PER_BATCH):
            yield pa.concat_tables(waiting)
            waiting, num_rows, nbytes = [], 0, 0
        waiting.append(table)
        num_rows += table.num_rows
        nbytes += more
        del table
    if waiting:
        yield pa.concat_tables(waiting)


def _holds_rows(item: object) -> bool:
    """Tell whether an item of an iterable may be a source itself."""
    if isinstance(item, (pa.Table, pa.RecordBatch, ImageBatch)) or hasattr(item, "with_format"):
        return True
    speaks = hasattr(item, "__arrow_c_stream__") or hasattr(item, "__arrow_c_array__")
    return speaks or _is_of(item, "polars", "collect") or _is_iterable(item)


def _is_iterable(source: object) -> bool:
    """Tell whether a source may be an iterable of sources; numbers in a row are none."""
    is_known = type(source).__module__.split(".")[0] in {"numpy", "PIL", "torch", "pandas"}
    is_other = isinstance(source, (dict, bytes, bytearray, memoryview)) or is_known
    return isinstance(source, Iterable) and not is_other


def _is_of(source: object, package: str, method: str) -> bool:
    """Tell whether an object is a package's own, without importing the package."""
    return type(source).__module__.split(".")[0] == package and hasattr(source, method)

"""Sources: anything that holds images, handed out as batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._core.tables import as_table, is_pandas, is_polars, text_column
from arrowimg._format.keys import check_unique
from arrowimg._images.batch import ImageBatch
from arrowimg._images.files import IMAGE_SUFFIXES, as_paths, find_images, ids_of_files, read_files
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from arrowimg._write.metadata import MetadataFrame

_READ_NBYTES = 2**20
_NOTHING = object()

ROWS_PER_BATCH = 1000
"""Most rows handed out at once: what is encoded and not yet written stays this small."""

_IPC_SUFFIXES = (".arrow", ".feather", ".ipc")
_EXPECTED = (
    "a table (something with __arrow_c_stream__), a polars.LazyFrame, a Hugging Face Dataset, "
    "an ImageBatch, an iterable of these, a folder of images, a Parquet or Arrow file, "
    "or paths of image files"
)


def read_batches(source: object) -> Iterator[ImageBatch]:
    """Yield what a source holds, in order, in batches of at most `ROWS_PER_BATCH` rows.

    Raises
    ------
    SourceError
        When `source` is nothing that holds images.
    """
    for table in _tables(source):
        for start in range(0, table.num_rows, ROWS_PER_BATCH):
            yield ImageBatch(table.slice(start, ROWS_PER_BATCH))


def read_table(path: str | Path) -> pa.Table:
    """Return a Parquet or Arrow file as one table.

    Raises
    ------
    SourceError
        When the file is neither.
    """
    return pa.concat_tables(_tables_of_path(Path(path)))


def count_rows(source: object) -> int | None:
    """Return how many rows a source has, where that is known without reading it."""
    if isinstance(source, ImageBatch):
        return source.num_items
    if isinstance(source, (str, Path)) and Path(source).suffix == ".parquet":
        return int(pq.read_metadata(source).num_rows)
    found = [getattr(source, name, None) for name in ("num_rows", "height")]
    return next((num_rows for num_rows in found if isinstance(num_rows, int)), None)


def known_ids(source: Any) -> pa.ChunkedArray | None:  # noqa: ANN401  # any source
    """Return the ids of a source that is in memory as a whole, None of others or without ids."""
    table = source.data if isinstance(source, ImageBatch) else source
    if isinstance(table, pa.RecordBatch) or is_polars(table):
        table = as_table(table)
    if not isinstance(table, pa.Table) or table.column_names.count("image_id") != 1:
        return None
    return text_column(table["image_id"], "image_id")


def check_known_ids(source: object, metadata: MetadataFrame | None) -> None:
    """Find what is wrong with the ids of a source that is in memory, before a batch is written.

    Raises
    ------
    DuplicateIdError, MetadataJoinError
        When an id is there twice, or the metadata does not match, one row to one image.
    """
    image_ids = known_ids(source)
    if image_ids is None:
        return
    ids = image_ids.to_pylist()
    check_unique(ids, ids)
    if metadata is not None:
        metadata.check_ids(image_ids)


def open_metadata(source: object) -> MetadataFrame | None:
    """Return metadata as what hands it out batch by batch; None where there is none.

    Raises
    ------
    SchemaError, MetadataJoinError
        See `MetadataFrame`.
    """
    if source is None:
        return None
    from arrowimg._write.metadata import MetadataFrame  # noqa: PLC0415  # imports Polars

    return source if isinstance(source, MetadataFrame) else MetadataFrame(source)


def _tables(source: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # this is where it is found out
    if isinstance(source, (pa.Table, pa.RecordBatch)):
        yield as_table(source)
    elif isinstance(source, ImageBatch):
        yield source.data
    elif isinstance(source, (str, Path)):
        yield from _tables_of_path(Path(source))
    elif _is_of(source, "polars", "collect"):
        yield from _tables_of_lazy_frame(source)
    elif _is_of(source, "datasets", "with_format") and hasattr(source, "iter"):
        yield from source.with_format("arrow").iter(ROWS_PER_BATCH)
    elif is_polars(source) or is_pandas(source):
        yield as_table(source)
    elif hasattr(source, "__arrow_c_stream__"):
        yield from map(as_table, _open_stream(source))
    elif hasattr(source, "__arrow_c_array__"):
        yield as_table(source)
    elif isinstance(source, Iterable):
        yield from _tables_of_iterable(source)
    else:
        raise SourceError(_EXPECTED, f"{type(source).__module__}.{type(source).__qualname__}")


def _open_stream(source: Any) -> pa.RecordBatchReader:  # noqa: ANN401  # any with the protocol
    try:
        return pa.RecordBatchReader.from_stream(source)
    except pa.ArrowInvalid as error:
        found = f"a stream of something else than rows ({type(source).__qualname__}: {error})"
        raise SourceError(_EXPECTED, found) from error


def _tables_of_lazy_frame(frame: Any) -> Iterator[pa.Table]:  # noqa: ANN401  # polars is not imported
    if hasattr(frame, "collect_batches"):
        yield from map(as_table, frame.collect_batches(chunk_size=ROWS_PER_BATCH))
    else:
        yield as_table(frame.collect())


def _tables_of_path(path: Path) -> Iterator[pa.Table]:
    if path.is_dir():
        files = find_images(path)
        yield from read_files(files, ids_of_files(files, path))
    elif path.suffix == ".parquet":
        # Without these two, a reader of small batches keeps the whole file in memory.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_NBYTES) as file:
            yield from map(as_table, file.iter_batches(ROWS_PER_BATCH))
    elif path.suffix in _IPC_SUFFIXES:
        yield from _tables_of_ipc(path)
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        yield from read_files([path], ids_of_files([path]))
    else:
        problem = "that is none of these" if path.exists() else "where there is nothing"
        raise SourceError(_EXPECTED, f"a path {problem}: {path}")


def _tables_of_ipc(path: Path) -> Iterator[pa.Table]:
    with pa.memory_map(str(path)) as file:
        try:
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid:
            file.seek(0)
            yield from map(as_table, pa.ipc.open_stream(file))
        else:
            for at in range(reader.num_record_batches):
                yield as_table(reader.get_batch(at))


def _tables_of_iterable(source: Iterable[Any]) -> Iterator[pa.Table]:
    items = iter(source)
    first = next(items, _NOTHING)
    if isinstance(first, (str, Path)) and Path(first).suffix.lower() in IMAGE_SUFFIXES:
        files = as_paths([first, *items])
        yield from read_files(files, ids_of_files(files))
    elif first is not _NOTHING:
        rest = chain((first,), items)
        del first  # or the first table would stay in memory until the last
        for item in rest:
            yield from _tables(item)


def _is_of(source: object, package: str, method: str) -> bool:
    """Tell whether an object is a package's own, without importing the package."""
    return type(source).__module__.startswith(f"{package}.") and hasattr(source, method)

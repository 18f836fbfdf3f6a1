"""Paths as items: folders, patterns, picture files, files of tables."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from msgspec import Struct, field

from arrowimg._dataset.adopt.find import names_tars
from arrowimg._images.files import (
    IMAGE_SUFFIXES,
    file_nbytes,
    find_files,
    find_images,
    is_picture,
)
from arrowimg._storage.base import StorageOptions
from arrowimg._storage.open import is_in_store
from arrowimg._storage.patterns import is_pattern
from arrowimg._write.sources import table_files
from arrowimg._write.sources.file_columns import FileColumns, no_captions
from arrowimg._write.sources.items import Item
from arrowimg._write.sources.partitions import partitions_of, with_partitions
from arrowimg._write.sources.pieces.files import (
    PictureFiles,
    pieces_of_pictures,
    pieces_of_table_file,
)
from arrowimg._write.sources.store_files import store_items
from arrowimg._write.sources.tars import item_of_tars
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

logger = logging.getLogger("arrowimg.sources")

EXPECTED = "a folder of images, a Parquet or Arrow file, tars, or an image file"
_FILES_WEIGHED = 100
"""Of picture files, so many are asked for their size."""

_TABLE_SUFFIXES = frozenset({*table_files.PARQUET_SUFFIXES, *table_files.IPC_SUFFIXES})


class Reader(Struct, frozen=True):
    """How files are read.

    Attributes
    ----------
    file_columns
        What picture files bring along.
    storage_options
        What object stores are told.
    passed_over
        Number of files that are left out by rule, by reason; grows as folders are read.
    """

    file_columns: FileColumns = FileColumns()
    storage_options: StorageOptions | None = None
    passed_over: Counter[str] = field(default_factory=Counter)

    def items_of_path(self, source: str | os.PathLike[str]) -> list[Item]:
        """Return the items of a path, a pattern or a URL.

        Raises
        ------
        SourceError
            When it leads to nothing that holds images, or a folder cannot be listed.
        StorageError
            When a store cannot be listed.
        """
        if names_tars(source):
            return [item_of_tars(source, self.storage_options)]
        if isinstance(source, str) and is_in_store(source):
            items, passed_over = store_items(source, self.storage_options, self.file_columns)
            self.passed_over.update(passed_over)
            return items
        path = Path(source)
        if path.is_dir():
            return self._items_of_folder(path)
        if is_pattern(os.fspath(source)) and not os.path.lexists(path):
            return self._items_of_pattern(os.fspath(source))
        has_suffix = is_image_path(path) and os.path.lexists(path)
        if has_suffix or (not path.suffix and path.is_file() and is_picture(path)):
            return [self.item_of_pictures([path])]
        table_files.check_is_file(path, EXPECTED)
        if not table_files.is_table_file(path):
            raise table_files.no_table_file(path, EXPECTED)
        return [item_of_table_file(path)]

    def item_of_pictures(self, files: Sequence[Path], folder: Path | None = None) -> Item:
        """Return picture files as an item, named below their folder where there is one.

        Raises
        ------
        SourceError
            When none of them has a caption, and these are asked for.
        """
        captions = self.file_columns.caption_suffix
        beside = (Path(self.file_columns.caption_name(str(it))) for it in files)
        if captions and not any(it.is_file() for it in beside):
            raise no_captions(str(folder or files[0].parent), captions)

        file_columns = self.file_columns
        if folder is not None and file_columns.labels is not None:
            num_within = sum(path.parent == folder for path in files)
            place = Path(os.path.abspath(folder)).as_posix()  # noqa: PTH100  # follows no link
            file_columns = file_columns.of_folder(place, num_within, len(files) - num_within)

        def pieces() -> Iterator[PictureFiles]:
            return pieces_of_pictures(files, folder, file_columns)

        def tables() -> Iterator[pa.Table]:
            return chain.from_iterable(piece.tables() for piece in pieces())

        some = files[:: max(1, len(files) // _FILES_WEIGHED)]
        nbytes = sum(map(file_nbytes, some)) * len(files) // max(1, len(some))
        return Item(tables, len(files), pieces=pieces, nbytes=nbytes, is_of_pictures=True)

    def _items_of_folder(self, folder: Path) -> list[Item]:
        found = find_images(folder, self.file_columns.caption_suffix)
        if found.num_links:
            logger.info("%s: followed %d links to folders", folder, found.num_links)
        if found.paths:
            self._say(folder, found.passed_over)
            return [self.item_of_pictures(found.paths, folder)]
        tables = find_files(folder, _TABLE_SUFFIXES)
        if not tables.paths:
            raise _no_images(folder, found.passed_over)
        self._say(folder, tables.passed_over)
        parts = partitions_of([it.relative_to(folder).as_posix() for it in tables.paths])
        return [
            with_partitions(item_of_table_file(path), part)
            for path, part in zip(tables.paths, parts, strict=True)
        ]

    def _items_of_pattern(self, pattern: str) -> list[Item]:
        matches = sorted(Path(it) for it in glob.glob(pattern, recursive=True))  # noqa: PTH207  # a pattern may be absolute
        files = [it for it in matches if not it.is_dir()]
        if not files:
            advice = "of folders below, ** stands for any: write **/*.parquet"
            found = "nothing that matches this pattern"
            raise SourceError(EXPECTED, found, pattern, advice if "**" in pattern else "")
        return [
            item
            for are_pictures, some in groupby(files, is_image_path)
            for item in (
                [self.item_of_pictures([*some])]
                if are_pictures
                else chain.from_iterable(map(self.items_of_path, some))
            )
        ]

    def _say(self, folder: Path, passed_over: Counter[str]) -> None:
        self.passed_over.update(passed_over)
        if passed_over:
            logger.warning("%s: passed over %s", folder, passed_over_text(passed_over))


def item_of_table_file(path: Path) -> Item:
    """Return a Parquet or Arrow file as an item."""
    num_rows = table_files.count_rows(path)
    return Item(
        lambda: table_files.tables_of_file(path),
        num_rows,
        lambda: table_files.read_schema(path),
        str(path),
        # Of a stream, batches can only be read in turn.
        None if num_rows is None else partial(pieces_of_table_file, path),
        file_nbytes(path),
    )


def is_path(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Tell whether a source is a path."""
    return isinstance(source, (str, os.PathLike))


def is_image_path(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Tell whether a source is a path of this machine with the suffix of a picture."""
    is_local = is_path(source) and not is_in_store(source)
    return is_local and Path(source).suffix.lower() in IMAGE_SUFFIXES  # type: ignore[arg-type]


def passed_over_text(passed_over: dict[str, int]) -> str:
    """Return how many files and folders were left out and why, the most frequent first."""
    ordered = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} ({reason})" for reason, count in ordered)


def _no_images(folder: Path, passed_over: Counter[str]) -> SourceError:
    expected = f"image files ({', '.join(sorted(IMAGE_SUFFIXES))})"
    found = (
        f"none below it, but {passed_over_text(passed_over)}" if passed_over else "none below it"
    )
    advice = ""
    if "suffix .tar" in passed_over:
        advice = f"tars are a source by their names: pass {str(folder / '*.tar')!r}"
    return SourceError(expected, found, str(folder), advice)

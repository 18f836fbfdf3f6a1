"""The one constructor of storages: from what a caller says to a place for files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from arrowimg._storage.local import LocalStorage
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arrowimg._storage.base import Durability, Place, Storage

# One slash, since `pathlib.Path` makes "s3:/bucket" of "s3://bucket".
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def open_storage(
    place: Place,
    storage_options: Mapping[str, object] | None = None,
    durability: Durability = "full",
    *,
    argument: str = "output_dir",
) -> Storage:
    """Return the storage of a place. Nothing is looked at or made.

    Parameters
    ----------
    place
        A folder of the local file system: a path, or a ``file://`` URL. A relative one is that of
        the working directory as it is now.
    storage_options
        What the storage is told; nothing where it is a folder.
    durability
        See `WriteOptions`.
    argument
        What the caller calls `place`, for errors.

    Raises
    ------
    OptionError
        When `place` is no path, or one of a storage that is not known; when there are options for
        a folder.
    """
    path = local_path(place, argument)
    if storage_options:
        option, expected = "storage_options", "none for a local folder"
        raise OptionError(option, expected, sorted(storage_options))
    return LocalStorage(path, durability)


def local_path(place: object, argument: str = "output_dir") -> str:
    """Return the local path that a caller means.

    Raises
    ------
    OptionError
        When it is none: neither a str nor a path, or a URL of something else.
    """
    path = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(path, str):
        expected = "a str or a path"
        raise OptionError(argument, expected, place)
    if _is_no_text(path) or "\0" in path:
        expected = "a path in UTF-8, which has no NUL"
        raise OptionError(argument, expected, path)
    scheme = _SCHEME.match(path)
    if scheme is None:
        return path
    url = urlsplit(path)
    if scheme[1].lower() != "file" or url.netloc not in ("", "localhost"):
        expected = f'a local folder, or "./{path}" if it is one: other storages are not supported'
        raise OptionError(argument, expected, path)
    return unquote(url.path)


def _is_no_text(path: str) -> bool:
    """Tell whether a path has bytes that are no UTF-8, which file groups could not name."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def open_files(paths: Iterable[str]) -> list[tuple[Storage, str]]:
    """Return storage and name of each file, one storage for all files of a folder.

    Raises
    ------
    OptionError
        When a path is one of a storage that is not known.
    """
    split = [path.rpartition("/") for path in paths]
    storages = {
        (folder, slash): open_storage(folder or slash or ".", argument="tar_path")
        for folder, slash, _ in split
    }
    return [(storages[folder, slash], name) for folder, slash, name in split]

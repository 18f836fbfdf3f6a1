"""The one constructor of storages: from what a caller says to a place for files."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from arrowimg._storage.adopted import Adopted, AdoptedStorage
from arrowimg._storage.local import LocalStorage
from arrowimg.errors import MissingDependencyError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arrowimg._storage.base import Durability, Place, ReadyStore, Storage, StorageOptions

URL_SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
"""Of object stores."""

# One slash, since `pathlib.Path` makes "s3:/bucket" of "s3://bucket".
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def open_storage(
    place: Place,
    storage_options: StorageOptions | ReadyStore | None = None,
    durability: Durability = "full",
    *,
    argument: str = "output_dir",
) -> Storage:
    """Return the storage of a place. Nothing is looked at or made.

    Parameters
    ----------
    place
        A folder of the local file system: a path, or a ``file://`` URL. A relative one is that of
        the working directory as it is now. Or an object store: a URL, or a store of obstore.
    storage_options
        What an object store is told, by the keys of object_store, or the store of obstore that a
        URL of ours is of; nothing where it is a folder, or a store that is ready.
    durability
        See `WriteOptions`.
    argument
        What the caller calls `place`, for errors.

    Raises
    ------
    OptionError
        When `place` is no path, or one of a storage that is not known; when there are options for
        a folder, or one that the store does not know.
    MissingDependencyError
        When it is an object store, and obstore is not installed.
    """
    if isinstance(place, Adopted):
        if storage_options and not is_in_store(place):
            option, expected = "storage_options", "none for local folders"
            raise OptionError(option, expected, _names_of(storage_options))
        told = [options_for(it, storage_options) for it in (place.output_dir, place.tars)]
        storage = open_storage(place.output_dir, told[0], durability, argument=argument)
        return AdoptedStorage(storage, open_storage(place.tars, told[1], argument="tars"))
    if is_in_store(place):
        if not isinstance(place, str) and storage_options not in (None, {}, place):
            option, expected = "storage_options", "none beside a store that is ready"
            raise OptionError(option, expected, _names_of(storage_options))
        return _open_store(place, storage_options, argument)
    path = local_path(place, argument)
    if storage_options:
        option, expected = "storage_options", "none for a local folder"
        raise OptionError(option, expected, _names_of(storage_options))
    return LocalStorage(path, durability)


def _names_of(storage_options: object) -> list[str]:
    return sorted(storage_options) if isinstance(storage_options, Mapping) else ["a store"]


def is_in_store(place: object) -> bool:
    """Tell whether a place is in an object store: its URL, or a store of obstore."""
    if isinstance(place, Adopted):
        return is_in_store(place.output_dir) or is_in_store(place.tars)
    if isinstance(place, str):
        scheme, separator, _ = place.partition("://")
        return bool(separator) and scheme.lower() in URL_SCHEMES
    return any(kind.__module__.partition(".")[0] == "obstore" for kind in type(place).__mro__)


def absolute_place(place: Place) -> Place:
    """Return a place that stays where it is, whatever the working directory is later."""
    if isinstance(place, Adopted):
        here = [absolute_place(it) for it in (place.output_dir, place.tars)]
        return Adopted(*here)  # type: ignore[arg-type]  # paths stay paths
    # No file is touched, and no link followed.
    return place if is_in_store(place) else os.path.abspath(local_path(place))  # noqa: PTH100


def options_for(
    place: object, storage_options: StorageOptions | ReadyStore | None
) -> StorageOptions | ReadyStore | None:
    """Return the options where a place is in an object store, none for a folder."""
    return storage_options if is_in_store(place) else None


def place_as_text(place: Place, storage: Storage) -> str:
    """Return a place as its caller said it; of a store that is ready, its URL."""
    return storage.path_of("") if not isinstance(place, str | os.PathLike) else os.fspath(place)


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
        raise _no_place(path, argument)
    return unquote(url.path)


def _no_place(path: str, argument: str) -> OptionError:
    """Return the error that a URL is of nothing that is known; what may be secret is not in it."""
    known = ", ".join(f"{scheme}://" for scheme in URL_SCHEMES)
    shown = re.sub(r"//[^/]*@", "//***@", path.partition("?")[0])
    expected = (
        f'a local folder, or "./{shown}" if it is one, or a URL of {known} or file://, as text'
    )
    return OptionError(argument, expected, shown)


def _open_store(place: Place, storage_options: object, argument: str) -> Storage:
    if importlib.util.find_spec("obstore") is None:
        feature = "an object store (pip install 'arrowimg[cloud]')"
        raise MissingDependencyError(feature, "cloud")
    # An extra, and slow to load.
    from arrowimg._storage.object_store.storage import open_object_storage  # noqa: PLC0415

    return open_object_storage(place, storage_options, argument)


def _is_no_text(path: str) -> bool:
    """Tell whether a path has bytes that are no UTF-8, which file groups could not name."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def open_files(
    paths: Iterable[str], storage_options: StorageOptions | ReadyStore | None = None
) -> list[tuple[Storage, str]]:
    """Return storage and name of each file, one storage for all files of a folder.

    Parameters
    ----------
    storage_options
        Of those that are in object stores.

    Raises
    ------
    OptionError
        When a path is one of a storage that is not known.
    """
    split = [path.rpartition("/") for path in paths]
    storages = {
        (folder, slash): open_storage(
            folder or slash or ".", options_for(folder, storage_options), argument="tar_path"
        )
        for folder, slash, _ in split
    }
    return [(storages[folder, slash], name) for folder, slash, name in split]

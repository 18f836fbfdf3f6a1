"""Which tars are meant: paths and URLs, brace ranges, patterns, folders, and lists of these."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, TypeGuard

from msgspec import Struct

from arrowimg._format.names import TAR_SUFFIX, is_tar_below
from arrowimg._storage.base import Storage
from arrowimg._storage.open import is_in_store, local_path, open_storage, options_for
from arrowimg._storage.patterns import is_like
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from arrowimg._storage.base import StorageOptions

PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.zstd", ".tar.bz2", ".tar.xz", ".tar.lz4")
"""Suffixes of tars that are packed as a whole."""

_EXPECTED = "tars (*.tar): paths or URLs, ranges as 'a-{000..099}.tar', patterns as 'tars/*.tar'"
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(-?[0-9]+)\.\.(-?[0-9]+)(?:\.\.-?([1-9][0-9]*))?")
_WILD = re.compile(r"[*?\[]")
_MOST_TARS = 10**6
_AT_MOST, _MORE = f"at most {_MOST_TARS:,} tars", "more"
_BYTES, _PACKED = "a path of bytes", "one that is packed as a whole"


class Tars(Struct, frozen=True):
    """Tars of one place.

    Attributes
    ----------
    storage
        The folder that all of them are in, or below.
    names
        Their paths below it, each once, in the order in which they were said; those of a pattern
        or a folder sorted.
    """

    storage: Storage
    names: list[str]


def names_tars(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Tell whether a source is a path or URL of tars, by its suffix."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = os.fspath(source)
    return isinstance(path, str) and path.endswith((TAR_SUFFIX, *PACKED))


def find_tars(source: object, storage_options: StorageOptions | None = None) -> Tars:
    """Return the tars that a caller means.

    Raises
    ------
    SourceError
        When there are none, one is packed, or they are of several places.
    StorageError
        When a folder or a store cannot be listed.
    """
    places = [place for said in _said(source) for place in _places(said, storage_options)]
    found = list(dict.fromkeys(it for place in places for it in _matching(place, storage_options)))
    if not found:
        shown = places[0] if places else ""
        raise SourceError(_EXPECTED, "none", shown)
    root = _common_folder(found)
    storage = open_storage(root, options_for(root, storage_options), argument="source")
    names = [path[len(root) :].lstrip("/") for path in found]
    wrong = next((name for name in names if not is_tar_below(name)), None)
    if wrong is not None:
        expected = "tars of one folder, or of folders below it"
        raise SourceError(expected, repr(wrong), root)
    return Tars(storage, names)


def _said(source: object) -> Iterator[str]:
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if not isinstance(path, str):
            raise SourceError(_EXPECTED, _BYTES)
        # As webdataset has several in one text.
        yield from path.split("::")
    elif isinstance(source, (list, tuple)):
        for item in source:
            yield from _said(item)
    else:
        found = f"a {type(source).__qualname__}"
        raise SourceError(_EXPECTED, found)


def _places(said: str, storage_options: StorageOptions | None) -> list[str]:
    """Return what braces stand for; where a tar or a folder of tars has that name, it itself."""
    if _BRACES.search(said) and _is_there(said, storage_options):
        return [said]
    return _expanded(said)


def _is_there(place: str, storage_options: StorageOptions | None) -> bool:
    """Tell whether a tar or a folder of tars has that name, whatever it would stand for."""
    is_tar = place.endswith(TAR_SUFFIX)
    folder, name = os.path.split(place) if is_tar else (place, "")
    storage = open_storage(folder, options_for(folder, storage_options), argument="source")
    try:
        names = [storage.stat(name).name] if is_tar else storage.names()
    except OSError:
        return False
    return any(it.endswith(TAR_SUFFIX) for it in names)


def _expanded(text: str) -> list[str]:
    """Return what braces stand for, as a shell and webdataset expand them.

    Raises
    ------
    SourceError
        When it is more than a million.
    """
    waiting, done = [text], list[str]()
    while waiting:
        first = waiting.pop()
        match = next((it for it in _BRACES.finditer(first) if _choices(it[1]) is not None), None)
        if match is None:
            done.append(first)
            continue
        choices = _choices(match[1]) or []
        if len(waiting) + len(done) + len(choices) > _MOST_TARS:
            raise SourceError(_AT_MOST, _MORE, text)
        head, tail = first[: match.start()], first[match.end() :]
        waiting += [f"{head}{choice}{tail}" for choice in reversed(choices)]
    return done


def _choices(inner: str) -> Sequence[str] | None:
    """Return what a pair of braces stands for, None where it stands for itself."""
    match = _RANGE.fullmatch(inner)
    if match is None:
        return inner.split(",") if "," in inner else None
    first, last, step = match[1], match[2], int(match[3] or 1)
    is_padded = any(it.lstrip("-").startswith("0") and len(it) > 1 for it in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    low, high = int(first), int(last)
    if abs(high - low) // step >= _MOST_TARS:
        raise SourceError(_AT_MOST, _MORE, f"{{{inner}}}")
    numbers = range(low, high + 1, step) if low <= high else range(low, high - 1, -step)
    return [f"{number:0{width}d}" for number in numbers]


def _matching(place: str, storage_options: StorageOptions | None) -> Iterable[str]:
    """Return the tars of a place: itself, those of its pattern, or those in it.

    Raises
    ------
    SourceError
        When there are none, or it is packed.
    """
    is_store = is_in_store(place)
    said = place if is_store else os.path.normpath(local_path(place, "source"))
    path = said if is_store else os.path.abspath(said)  # noqa: PTH100
    if path.endswith(PACKED):
        expected, advice = "a tar with byte ranges", "unpack it first: gunzip, zstd -d or the like"
        raise SourceError(expected, _PACKED, place, advice)
    wild = _WILD.search(said)
    if wild and not _is_there(said, storage_options):
        # The working directory was not said, so that nothing in it stands for something else.
        pattern = said[said.rfind("/", 0, wild.start()) + 1 :]
        head, is_deep = path[: -len(pattern) - 1], "/" in pattern
    elif path.endswith(TAR_SUFFIX):
        return [path]
    else:
        head, pattern, is_deep = path.rstrip("/"), f"*{TAR_SUFFIX}", False
    storage = open_storage(head or "/", options_for(head, storage_options), argument="source")
    names = storage.names_below() if is_deep else storage.names()
    found = [it for it in names if is_like(it, pattern)]
    if not found:
        raise SourceError(_EXPECTED, f"none among {len(names):,} files", place)
    return [f"{head}/{name}" for name in found if name.endswith(TAR_SUFFIX)]


def _common_folder(paths: Sequence[str]) -> str:
    """Return the folder that all paths are in, or below.

    Raises
    ------
    SourceError
        When they are of several stores, or of a store and a disk.
    """
    folders = {path.rpartition("/")[0] for path in paths}
    low, high = min(folders).split("/"), max(folders).split("/")
    same = [first == last for first, last in zip(low, high, strict=False)]
    root = "/".join(low[: [*same, False].index(False)])
    is_store = {is_in_store(path) for path in paths}
    if len(is_store) > 1 or (True in is_store and root.count("/") < 2):
        expected, several = "tars of one bucket, or of one disk", "several"
        raise SourceError(expected, several, paths[0])
    return root or "/"

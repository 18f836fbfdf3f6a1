"""Image files on disk: found, named and read into tables."""

from __future__ import annotations

import errno
import heapq
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct, structs

from arrowimg._images.columns import FILES_AND_FAULTS
from arrowimg.errors import SourceError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
        *(".apng", ".avif", ".avifs", ".dib", ".heic", ".heif", ".j2k", ".jp2", ".jpf", ".jpx"),
        *(".jxl", ".pjp", ".pjpeg"),
    }
)
"""Suffixes of pictures, also of formats that are not read: such a file is a row with a code."""

_FIRST_BYTES = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\xff\x0a"),
)
_AFTER_SIZE = re.compile(rb"RIFF.{4}WEBP|BM.{4}\0{4}|.{4}ftyp(avif|avis|heic|heix|mif1)", re.DOTALL)

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_BATCH_NBYTES = 64 * 2**20
_NO_SUFFIX = "suffix (none)"
_MOST_SUFFIXES = 20
_LONGEST_SUFFIX = 10


class FoundImages(Struct, frozen=True):
    """The image files below a folder, and how many others there are.

    Attributes
    ----------
    paths
        Sorted.
    passed_over
        Number of files and folders that are left out by rule, by reason.
    num_links
        Number of links to folders that were followed.
    """

    paths: list[Path]
    passed_over: Counter[str]
    num_links: int = 0


def find_images(folder: Path, beside: str = "") -> FoundImages:
    """Return the image files below a folder.

    Left out, and counted, are files of other suffixes, files and folders whose name starts with a
    dot, links to nothing, and what is no regular file. A file without a suffix is an image where
    its first bytes say so. A folder is read once, a link to it is followed only where it is not
    below the folder by itself.

    Parameters
    ----------
    beside
        Suffix of files that belong to pictures; those that have none are counted.

    Raises
    ------
    SourceError
        When a folder cannot be listed.
    """
    found = find_files(folder, IMAGE_SUFFIXES, is_picture)
    alone = f"suffix {beside}"
    if beside and alone in found.passed_over:
        taken = sum(path.with_suffix(beside).is_file() for path in found.paths)
        found.passed_over[alone] = max(0, found.passed_over[alone] - taken)
        return structs.replace(found, passed_over=+found.passed_over)
    return found


def is_picture(path: Path) -> bool:
    """Tell whether a regular file begins like a picture; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            first = file.read(16)
    except OSError:
        return False
    return first.startswith(_FIRST_BYTES) or _AFTER_SIZE.match(first) is not None


def find_files(
    folder: Path, suffixes: Collection[str], is_wanted: Callable[[Path], bool] | None = None
) -> FoundImages:
    """Return the files below a folder that have one of these suffixes, as `find_images` does.

    Parameters
    ----------
    is_wanted
        Judges regular files without a suffix; None: they are left out.
    """
    found, passed_over, seen = list[Path](), Counter[str](), set[tuple[int, int]]()
    num_links = 0
    # Folders before links to folders, so that what is here itself has its own name.
    waiting = [(False, folder)]
    while waiting:
        is_link, path = heapq.heappop(waiting)
        entries = _list_once(path, seen)
        if entries is None:
            passed_over["a folder that was read already"] += 1
            continue
        num_links += is_link
        for entry in entries:
            is_folder, reason = _judge(entry, suffixes)
            if reason == _NO_SUFFIX and is_wanted and is_wanted(path / entry.name):
                reason = None
            if is_folder:
                heapq.heappush(waiting, (entry.is_symlink(), path / entry.name))
            elif reason is None:
                found.append(path / entry.name)
            else:
                passed_over[_bounded(reason, passed_over)] += 1
    return FoundImages(sorted(found), passed_over, num_links)


def ids_of_files(paths: list[Path], folder: Path | None = None) -> list[str]:
    """Return one id per file: its path below `folder`, without suffix where that is unique.

    Where two files differ in their suffix only, all ids keep theirs.
    """
    relative = [path.relative_to(folder) if folder else path for path in paths]
    bare = [path.with_suffix("").as_posix() for path in relative]
    return bare if len(set(bare)) == len(bare) else [path.as_posix() for path in relative]


def read_files(
    paths: Iterable[Path],
    image_ids: Iterable[str],
    batch_nbytes: int = _BATCH_NBYTES,
    *,
    must_read: bool = False,
) -> Iterator[pa.Table]:
    """Yield tables of image_id, image_path and image_data, each of about `batch_nbytes` bytes.

    A file that cannot be read, or whose name is no UTF-8, is a row that says so, or the error
    itself where it must be read. Nothing but regular files is opened.
    """
    rows: list[_FileRow] = []
    nbytes = 0
    for path, image_id in zip(paths, image_ids, strict=True):
        row = _read_file(path, image_id, must_read=must_read)
        row_nbytes = len(row.data or b"")
        if rows and nbytes + row_nbytes > batch_nbytes:
            yield _table(rows)
            rows, nbytes = [], 0
        rows.append(row)
        nbytes += row_nbytes
    if rows:
        yield _table(rows)


def file_nbytes(path: Path) -> int:
    """Return the size of a file, 0 where it cannot be told."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def as_paths(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return paths as a list.

    Raises
    ------
    SourceError
        When these are no paths, or only one, which is no list.
    """
    expected = "a list of paths of image files"
    if isinstance(paths, str | bytes | os.PathLike):
        raise SourceError(expected, f"one {type(paths).__qualname__}")
    listed = list(paths)
    for path in listed:
        if not isinstance(path, str | os.PathLike):
            raise SourceError(expected, f"{type(path).__qualname__} among them")
    return [Path(path) for path in listed]


class _FileRow(Struct, frozen=True):
    """What became of one file: its bytes, or what is wrong."""

    image_id: str | None
    path: str
    data: bytes | None
    fault: str | None


def _list_once(folder: Path, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]] | None:
    """Return what is in a folder and add it to those seen, None where it was seen before."""
    try:
        state = folder.stat()
        if (state.st_dev, state.st_ino) in seen:
            return None
        seen.add((state.st_dev, state.st_ino))
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        expected, found = "a folder that can be listed", error.strerror or str(error)
        advice = "let it be read, or take it out of the source"
        raise SourceError(expected, found, str(folder), advice) from error


def _judge(entry: os.DirEntry[str], suffixes: Collection[str]) -> tuple[bool, str | None]:
    """Return whether an entry is a folder to read, else why it is not wanted, None if it is."""
    if entry.name.startswith("."):
        return False, "hidden"
    suffix = Path(entry.name).suffix.lower()
    reason = None if suffix in suffixes else f"suffix {printable(suffix) or '(none)'}"
    if entry.is_symlink():
        return _judge_link(entry, reason)
    if entry.is_dir(follow_symlinks=False):
        return True, None
    return False, reason if entry.is_file(follow_symlinks=False) else "no regular file"


def _judge_link(entry: os.DirEntry[str], reason: str | None) -> tuple[bool, str | None]:
    """Return what `_judge` does, of a link to what the reason would be for."""
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return False, "a link to nothing"
        # It may be a picture or a folder of pictures: reading it will tell what is wrong.
        return reason is not None, None
    if stat.S_ISDIR(mode):
        return True, None
    return False, reason if stat.S_ISREG(mode) else "no regular file"


def _bounded(reason: str, counted: Counter[str]) -> str:
    """Return a reason, one for all suffixes that are long or come late."""
    if reason in counted or not reason.startswith("suffix "):
        return reason
    is_long = len(reason) > len("suffix ") + _LONGEST_SUFFIX
    return "another suffix" if is_long or len(counted) >= _MOST_SUFFIXES else reason


def _read_file(path: Path, image_id: str, *, must_read: bool) -> _FileRow:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(name).decode(errors="backslashreplace")
        if must_read:
            expected = "a file name in UTF-8"
            raise SourceError(expected, "other bytes in it", shown) from error
        # The id is null, or it might be another file's, whose name spells the escape out.
        return _FileRow(None, shown, None, f"a file name that is no UTF-8, {shown}")
    try:
        return _FileRow(image_id, name, _read_regular(path), None)
    except OSError as error:
        if must_read:
            raise
        return _FileRow(image_id, name, None, f"{name}: {error.strerror or error}")


def _read_regular(path: Path) -> bytes:
    # Opening anything else might wait for ever, or set a device going.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "no regular file")
    return path.read_bytes()


def _table(rows: list[_FileRow]) -> pa.Table:
    data = pa.array([row.data for row in rows], pa.large_binary())
    faults = pa.array([row.fault for row in rows], pa.string())
    if faults.null_count < len(faults):
        data = pa.StructArray.from_arrays([data, faults], fields=list(FILES_AND_FAULTS))
    return pa.table(
        {
            "image_id": pa.array([row.image_id for row in rows], pa.string()),
            "image_path": pa.array([row.path for row in rows], pa.string()),
            "image_data": data,
        }
    )

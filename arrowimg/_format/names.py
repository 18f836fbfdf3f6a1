"""Names of files: what each file of a dataset is called, and what a file is, given its name."""

from __future__ import annotations

import hashlib
import re
from enum import Enum, auto

from arrowimg._core.pieces import TEMPORARY_PREFIX

MANIFEST_NAME = "manifest.json"

SHARD_PREFIX = "images-"
"""The name of a shard that arrowimg wrote starts with this; its files are named after it."""

TAR_SUFFIX = ".tar"
SIDECAR_SUFFIX = ".parquet"
INDEX_SUFFIX = ".idx"
"""Of the indexes beside a tar, one of each tar."""

README = "README.md"
"""May hold a person's own text, and says nothing of single shards: it is never taken away."""

ADOPTED_PREFIX = "adopted-"
"""The name of a shard whose tar others wrote starts with this."""

SPOOLS_FOLDER = f"{TEMPORARY_PREFIX}spools"
"""Of the batches that workers of a cluster encoded, until they are joined to full shards."""

_QUARANTINE_PREFIX = "quarantine-"
_NUMBER = "[0-9]{6,}"
_STEM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,199}")
"""Of a shard. Such a name leads nowhere, and means nothing in a shell, a pattern or markup."""

_MOST_PATH, _MOST_SHOWN, _DIGEST_NBYTES = 1024, 60, 8
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")

_NUMBERED = re.compile(SHARD_PREFIX + _NUMBER)
_OF_BATCH = re.compile(f"(.+)-{_NUMBER}")


class FileKind(Enum):
    """What a file is, by its name: only its content tells whether it really is that.

    Indexes of a dataset as a whole are among the others: those who write them name them.
    """

    TAR = auto()
    SIDECAR = auto()
    QUARANTINE = auto()
    MANIFEST = auto()
    INDEX = auto()
    TEMPORARY = auto()
    OTHER = auto()


def kind_of(name: str) -> FileKind:
    """Return what a file is, given its name."""
    if name.startswith(TEMPORARY_PREFIX):
        return FileKind.TEMPORARY
    if name == MANIFEST_NAME:
        return FileKind.MANIFEST
    if name.endswith(INDEX_SUFFIX):
        return FileKind.INDEX
    if name.endswith(SIDECAR_SUFFIX):
        return FileKind.SIDECAR
    if name.endswith(TAR_SUFFIX):
        return FileKind.QUARANTINE if name.startswith(_QUARANTINE_PREFIX) else FileKind.TAR
    return FileKind.OTHER


def is_shard_file(name: str, kind: FileKind) -> bool:
    """Tell whether a name that was read somewhere is that of a shard's file of this kind.

    Whatever a document says: what passes here is the name of a file in the folder itself.
    """
    return kind_of(name) is kind and _STEM.fullmatch(shard_of(name)) is not None


def shard_of(name: str) -> str:
    """Return the name of the shard that a tar, sidecar, quarantine tar or tar's index belongs to.

    Examples
    --------
    >>> shard_of("quarantine-images-000000.tar")
    'images-000000'
    >>> shard_of("images-000000.tar.idx")
    'images-000000'
    """
    stem = name.removesuffix(INDEX_SUFFIX).removesuffix(SIDECAR_SUFFIX).removesuffix(TAR_SUFFIX)
    return stem.removeprefix(_QUARANTINE_PREFIX) if kind_of(name) is FileKind.QUARANTINE else stem


def shard_name(number: int) -> str:
    """Return the name of a shard of a dataset that is numbered from 0: ``images-000000``."""
    return f"{SHARD_PREFIX}{number:06d}"


def batch_shard_name(base_name: str, number: int) -> str:
    """Return the name of a shard of a batch, numbered from 0: ``<base name>-000000``."""
    return f"{base_name}-{number:06d}"


def batch_of(shard: str) -> str | None:
    """Return the base name of the batch that a shard belongs to by its name, None of none."""
    match = _OF_BATCH.fullmatch(shard)
    return match[1] if match else None


def is_ours(shard: str) -> bool:
    """Tell whether arrowimg gives such names to shards."""
    return shard.startswith(SHARD_PREFIX) and shard != SHARD_PREFIX


def is_numbered(shard: str) -> bool:
    """Tell whether a shard is one of a dataset that is numbered, by its name."""
    return _NUMBERED.fullmatch(shard) is not None


def tar_name(shard: str) -> str:
    """Return the name of a shard's tar."""
    return f"{shard}{TAR_SUFFIX}"


def sidecar_name(shard: str) -> str:
    """Return the name of a shard's sidecar."""
    return f"{shard}{SIDECAR_SUFFIX}"


def quarantine_name(shard: str) -> str:
    """Return the name of the tar that holds a shard's quarantined bytes."""
    return f"{_QUARANTINE_PREFIX}{tar_name(shard)}"


def adopted_shard(tar_file: str) -> str:
    """Return the name of the shard of a tar that others wrote.

    Parameters
    ----------
    tar_file
        Path of the tar below the folder of all tars, with slashes. Whatever its name, that of the
        shard is portable; one that is not portable itself is told apart by its digest.

    Examples
    --------
    >>> adopted_shard("00017.tar")
    'adopted-00017'
    >>> adopted_shard("cc3m train/0.tar")
    'adopted-cc3m-train-0-cec3e4ab0ac7f2b3'
    """
    stem = tar_file.removesuffix(TAR_SUFFIX)
    shard = ADOPTED_PREFIX + stem
    if _STEM.fullmatch(shard) and not _UNSAFE.search(stem):
        return shard
    digest = hashlib.blake2b(tar_file.encode(), digest_size=_DIGEST_NBYTES).hexdigest()
    return f"{ADOPTED_PREFIX}{_UNSAFE.sub('-', stem)[-_MOST_SHOWN:].strip('-')}-{digest}"


def is_tar_below(path: str) -> bool:
    """Tell whether a path that was read somewhere is that of a tar in a folder or below it.

    Whatever a document says: what passes here leads nowhere else, unless by way of a link.
    """
    segments = path.split("/")
    return (
        path.endswith(TAR_SUFFIX)
        and len(path.encode()) <= _MOST_PATH
        and "\0" not in path
        and not any(segment in ("", ".", "..") for segment in segments)
    )

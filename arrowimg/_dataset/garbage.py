"""Garbage: what writers that died left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from arrowimg._dataset.folder import read_manifest
from arrowimg._dataset.sidecars import read_footer
from arrowimg._format.names import (
    ADOPTED_PREFIX,
    SPOOLS_FOLDER,
    TAR_SUFFIX,
    FileKind,
    is_ours,
    kind_of,
    quarantine_name,
    shard_of,
    tar_name,
)
from arrowimg._storage.base import FileStat
from arrowimg._storage.open import open_storage
from arrowimg.errors import ManifestError, OptionError, StorageError

if TYPE_CHECKING:
    from arrowimg._storage.base import Place, Storage, StorageOptions

DAY_SECONDS = 24 * 60 * 60


class Garbage(Struct, frozen=True):
    """A file that no shard needs.

    Attributes
    ----------
    name
        Of the file, without the folder of the dataset.
    nbytes
        Its size.
    age_days
        Since it was last written to.
    """

    name: str
    nbytes: int
    age_days: float


def collect_garbage(
    output_dir: Place,
    older_than_days: float = 7,
    *,
    delete: bool = False,
    storage_options: StorageOptions | None = None,
) -> list[Garbage]:
    """Return temporary files, spools, and tars that no sidecar names; `delete`: and remove them.

    A tar without a sidecar was left by a writer that died in between. It is whole, but no reader
    that starts from sidecars sees it, and writing the same batch again adopts it. Spools are what a
    job of Ray encoded that came to no end; without them, its next run encodes all anew.

    Parameters
    ----------
    output_dir
        Folder of shards.
    older_than_days
        Younger files are left alone: a writer may be at work.
    delete
        True: remove them, while no writer publishes. An object store has no lock that would tell:
        there, `older_than_days` has to be longer than any writer may take from its tar to its
        sidecar, and a day at least.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.

    Raises
    ------
    OptionError
        When files of an object store are to be removed that are younger than a day.
    StorageError
        When another writer holds on to the folder, or a file cannot be removed.
    """
    storage = open_storage(output_dir, storage_options)
    if not delete:
        return _find_garbage(storage, older_than_days) + _find_spools(storage, older_than_days)
    if storage.promises.is_remote and older_than_days < 1:
        option, expected = "older_than_days", "1 or more, as an object store has no lock"
        raise OptionError(option, expected, older_than_days)
    with storage.lock() as is_alone:
        if not is_alone and not storage.promises.is_remote:
            raise StorageError(str(output_dir), "a writer is publishing", 0, None, None)
        garbage = _find_garbage(storage, older_than_days)
        storage.remove([file.name for file in garbage])
        spools = _find_spools(storage, older_than_days)
        if spools:
            storage.at(SPOOLS_FOLDER).clear()
    return garbage + spools


def _find_garbage(storage: Storage, older_than_days: float) -> list[Garbage]:
    names = storage.names()
    # Where tars of others were adopted, or are about to be, none of them is garbage.
    is_theirs = any(name.startswith(ADOPTED_PREFIX) for name in names)
    candidates = [
        name
        for name in names
        if _may_be_garbage(name) and not (is_theirs and name.endswith(TAR_SUFFIX))
    ]
    # Where there is none, no clock is asked for.
    now = storage.now() if candidates else 0.0
    needed = _needed_tars(storage, names)
    # Of some there is none: their writers published or discarded them; or they are not ours.
    stats = storage.stats([name for name in candidates if name not in needed])
    found = [
        Garbage(file.name, file.nbytes, (now - file.modified_at) / DAY_SECONDS)
        for file in stats
        if isinstance(file, FileStat)
    ]
    return [file for file in found if file.age_days >= older_than_days]


def _find_spools(storage: Storage, older_than_days: float) -> list[Garbage]:
    """Return all spools, or none while one is younger: they are of one job."""
    files = [file for page in storage.at(SPOOLS_FOLDER).pages() for file in page]
    now = storage.now() if files else 0.0
    found = [
        Garbage(f"{SPOOLS_FOLDER}/{it.name}", it.nbytes, (now - it.modified_at) / DAY_SECONDS)
        for it in files
    ]
    return found if all(file.age_days >= older_than_days for file in found) else []


def _may_be_garbage(name: str) -> bool:
    kind = kind_of(name)
    is_tar = kind in (FileKind.TAR, FileKind.QUARANTINE)
    return kind is FileKind.TEMPORARY or (is_tar and is_ours(shard_of(name)))


def _needed_tars(storage: Storage, names: list[str]) -> set[str]:
    manifest = read_manifest(storage)
    needed = {entry.tar for entry in manifest.shards} if manifest else set()
    sidecars = {name for name in names if kind_of(name) is FileKind.SIDECAR}
    sidecars |= {entry.parquet for entry in manifest.shards} if manifest else set()
    for name in sidecars:
        # A sidecar that is gone or cannot be read may still be mended: its tars stay.
        shard = shard_of(name)
        needed |= {tar_name(shard), quarantine_name(shard), *_read_tar_names(storage, name)}
    return needed


def _read_tar_names(storage: Storage, sidecar: str) -> set[str]:
    try:
        return set(read_footer(storage, sidecar, check=False).tar_checksums)
    except ManifestError:
        return set()

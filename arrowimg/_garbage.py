"""Garbage: what writers that died left behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

from arrowimg._manifest import MANIFEST_NAME
from arrowimg._sidecar import read_footer
from arrowimg._staging import TEMPORARY_PREFIX
from arrowimg._storage import LocalStorage, Storage
from arrowimg.errors import ManifestError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

DAY_SECONDS = 24 * 60 * 60


class Garbage(Struct, frozen=True):
    """A file that no shard needs.

    Attributes
    ----------
    name
        Of the file, without folder.
    nbytes
        Its size.
    age_days
        Since it was last written to.
    """

    name: str
    nbytes: int
    age_days: float


def collect_garbage(
    output_dir: str | Path, older_than_days: float = 7, *, delete: bool = False
) -> list[Garbage]:
    """Return temporary files, and tars that no sidecar names; `delete`: and remove them.

    A tar without a sidecar was left by a writer that died in between. It is whole, but no reader
    that starts from sidecars sees it, and writing the same batch again adopts it.

    Parameters
    ----------
    output_dir
        Folder of shards.
    older_than_days
        Younger files are left alone: a writer may be at work.
    delete
        True: remove them, while no writer publishes.

    Raises
    ------
    StorageError
        When another writer holds on to the folder, or a file cannot be removed.
    """
    storage = LocalStorage(output_dir)
    if not delete:
        return _find_garbage(storage, older_than_days)
    with storage.lock() as is_alone:
        if not is_alone:
            raise StorageError(str(output_dir), "a writer is publishing", 0, None, None)
        garbage = _find_garbage(storage, older_than_days)
        storage.remove([file.name for file in garbage])
    return garbage


def _find_garbage(storage: Storage, older_than_days: float) -> list[Garbage]:
    names, now = storage.names(), time.time()
    needed = _needed_tars(storage, names)
    found = []
    for name in names:
        if name.startswith(TEMPORARY_PREFIX) or (name.endswith(".tar") and name not in needed):
            nbytes, modified_at = storage.stat(name)
            age_days = (now - modified_at) / DAY_SECONDS
            if age_days >= older_than_days:
                found.append(Garbage(name, nbytes, age_days))
    return found


def _needed_tars(storage: Storage, names: list[str]) -> set[str]:
    needed = {MANIFEST_NAME}
    for name in names:
        if name.endswith(".parquet"):
            # A sidecar that cannot be read may still be mended: its tar stays.
            needed.add(name.removesuffix(".parquet") + ".tar")
            needed |= _tars_of(storage, name)
    return needed


def _tars_of(storage: Storage, sidecar: str) -> set[str]:
    try:
        with storage.open(sidecar) as file:
            footer = read_footer(file, sidecar)
    except ManifestError:
        return set()
    return {footer.tar_file, footer.quarantine_file or footer.tar_file}

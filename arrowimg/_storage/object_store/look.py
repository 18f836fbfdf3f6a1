"""A look at what stands at a name of an object store, and the mark that its writer left."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import obstore as obs
from msgspec import Struct
from obstore.exceptions import GenericError

if TYPE_CHECKING:
    from arrowimg._core.checksums import ChecksumName
    from arrowimg._storage.object_store.storage import ObjectStorage

MARK = "arrowimg"
"""Letters only: names of metadata that Azure takes."""

_LOOKS = 3


class Look(Struct, frozen=True):
    """What stands at a name.

    Attributes
    ----------
    nbytes
        Size.
    mark
        How it was hashed, its checksum, the number of its writer; None without such a mark.
    version
        By which a request says that it means this very file.
    modified_at
        When it was written, in seconds since 1970, by the clock of the store.
    """

    nbytes: int
    mark: str | None
    version: dict[str, str]
    modified_at: float

    def checksum(self, checksum_name: ChecksumName) -> str | None:
        """Return the checksum by its mark; None where that has none of this kind."""
        name, _, rest = (self.mark or "").partition(":")
        digest = rest.partition(":")[0]
        return digest if name == checksum_name and digest else None


def look(storage: ObjectStorage, name: str) -> Look:
    """Return what stands at a name; `FileNotFoundError` where there is nothing."""
    path = storage.path_of(name)
    with storage.connection.reading(path):
        found = _with_retries(storage, name)
    meta = found.meta
    version = {key: str(meta[key]) for key in ("e_tag", "version") if meta.get(key)}
    attributes = {str(key).lower(): str(value) for key, value in found.attributes.items()}
    modified_at = meta["last_modified"].timestamp()
    return Look(meta["size"], attributes.get(MARK), version, modified_at)


def _with_retries(storage: ObjectStorage, name: str) -> obs.GetResult:
    store, key = storage.connection.store(), storage.key_of(name)
    for number in range(_LOOKS - 1):
        try:
            return obs.get(store, key, options={"head": True})
        except GenericError:
            wait_a_little(number)
    return obs.get(store, key, options={"head": True})


def wait_a_little(number: int) -> None:
    time.sleep(random.uniform(0, 0.1 * 2**number))  # noqa: S311  # no secret

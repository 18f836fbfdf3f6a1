"""Checksums of stored bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BytesLike: TypeAlias = bytes | memoryview | npt.NDArray[np.uint8]

ChecksumName = Literal["xxh3_128", "sha256"]

CHECKSUM_NBYTES: dict[ChecksumName, int] = {"xxh3_128": 16, "sha256": 32}
"""How long checksums are, which tells by what they were made."""


class Hasher(Protocol):
    """What hashlib and xxhash have in common."""

    def update(self, data: BytesLike, /) -> None:
        """Add bytes."""
        ...

    def digest(self) -> bytes:
        """Return the checksum of all bytes added so far."""
        ...

    def hexdigest(self) -> str:
        """Return the same in hexadecimal."""
        ...


def new_hasher(name: ChecksumName) -> Hasher:
    """Return an empty hasher of that name."""
    return xxhash.xxh3_128() if name == "xxh3_128" else hashlib.sha256()


def checksum(data: BytesLike, name: ChecksumName) -> bytes:
    """Return the checksum of `data`: 16 bytes of XXH3-128 (big-endian) or 32 of SHA-256."""
    return digest_function(name)(data)


def digest_function(name: ChecksumName) -> Callable[[BytesLike], bytes]:
    """Return the function that `checksum` calls, for those who call it often."""
    return xxhash.xxh3_128_digest if name == "xxh3_128" else _sha256_digest


def recorded_checksum(options: Mapping[str, Any]) -> ChecksumName:
    """Return how files and members were hashed, by the options that were recorded of them."""
    return "sha256" if options.get("checksum") == "sha256" else "xxh3_128"


def is_checksum(stated: bytes | None, data: BytesLike) -> bool:
    """Tell whether `stated` is the checksum of `data`; its length tells how it was made."""
    is_sha256 = stated is not None and len(stated) == CHECKSUM_NBYTES["sha256"]
    return checksum(data, "sha256" if is_sha256 else "xxh3_128") == stated


def _sha256_digest(data: BytesLike) -> bytes:
    return hashlib.sha256(data).digest()

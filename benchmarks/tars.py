"""Tars by Python's own `tarfile`: an independent reader, and the ready bytes of a tar."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def read_pictures(out: str) -> Iterator[tuple[str, bytes]]:
    """Yield the stem and the data of each ``.jpg`` member of every tar in a folder, in order."""
    for path in sorted(Path(out).rglob("*.tar")):
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                stem, _, extension = member.name.partition(".")
                if extension == "jpg":
                    yield stem, _data(tar, member)


def _data(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise tarfile.ReadError(member.name)
    return file.read()


def write_tar(file: io.BufferedIOBase, members: Iterable[tuple[str, bytes]]) -> None:
    """Write members as a ustar archive."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

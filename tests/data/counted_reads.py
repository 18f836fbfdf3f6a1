"""How many bytes of tars are read: files that count what is asked of them."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Self

from arrowimg._storage.local import LocalStorage

if TYPE_CHECKING:
    import pytest


class CountedFile:
    """An open file that can be read in the plain ways only; what is read is noted."""

    def __init__(self, file: IO[bytes], read: list[int]) -> None:
        self._file, self._read = file, read
        self.seek, self.tell = file.seek, file.tell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, nbytes: int = -1) -> bytes:
        data = self._file.read(nbytes)
        self._read.append(len(data))
        return data

    def readinto(self, memory: memoryview) -> int:
        nbytes: int = self._file.readinto(memory)  # type: ignore[attr-defined]  # of a file
        self._read.append(nbytes)
        return nbytes


def reads_of_tars(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the bytes of each read of a tar are added from now on."""
    read, opened = list[int](), LocalStorage.open

    def counting(storage: LocalStorage, name: str) -> IO[bytes] | CountedFile:
        file = opened(storage, name)
        return CountedFile(file, read) if name.endswith(".tar") else file

    monkeypatch.setattr(LocalStorage, "open", counting)
    return read

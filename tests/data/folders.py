"""What a folder of files holds, to compare before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return inode, time of change and bytes of each file, by name."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
    }

"""Names of files that were read from somewhere, checked before they lead anywhere."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from arrowimg._storage.base import Storage


def is_file_name(name: str) -> bool:
    """Tell whether a name is that of a file in the place itself, and leads nowhere else."""
    return PurePath(name).name == name and name not in ("", "..")


def check_file_name(storage: Storage, name: str) -> None:
    """Raise `ManifestError` when what was read names a file outside the place."""
    if not is_file_name(name):
        raise ManifestError(storage.path_of(""), "names of files in the folder", repr(name))

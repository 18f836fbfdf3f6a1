"""The version, and the versions of what decides the bytes that are written."""

from __future__ import annotations

from importlib.metadata import version

__version__ = "0.1.0"

FORMAT_VERSION = 1
"""Version of what is written: tar, sidecar, footer, manifest (``docs/reference/format.md``)."""

ADOPTED_VERSION = 2
"""Version of what is written of tars that others wrote."""

PICTURES_VERSION = 3
"""Version of what has pictures that are no JPEG, several of a sample, or members left out."""

NEWEST_VERSION = 3
"""The newest version that is read."""


_WRITER_VERSIONS = {
    # Read once: a disk that fails later must not show in what is written.
    "arrowimg": __version__,
    "opencv": version("opencv-python-headless"),
    "pyarrow": version("pyarrow"),
}


def writer_versions() -> dict[str, str]:
    """Return name and version of everything that the written bytes depend on."""
    return dict(_WRITER_VERSIONS)

"""Patterns of names, as a shell has them: the same on a disk and in a store."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

_MARKS = re.compile(r"[*?\[]")
_ANY_FOLDERS = "**"


def is_pattern(path: str) -> bool:
    """Tell whether a path may be a pattern: it has ``*``, ``?`` or ``[``."""
    return _MARKS.search(path) is not None


def split_pattern(path: str) -> tuple[str, str]:
    """Return the folder that a pattern looks in, and the pattern below it; empty where it is none.

    Parameters
    ----------
    path
        With ``/``; the folder may be the start of a URL.
    """
    found = _MARKS.search(path)
    if found is None:
        return path, ""
    folder = path[: found.start()].rpartition("/")[0]
    return folder, path[len(folder) :].removeprefix("/")


def is_like(name: str, pattern: str) -> bool:
    """Tell whether a path is like a pattern, both with ``/``.

    ``*``, ``?`` and ``[...]`` stand for characters of one part, ``**`` for any folders, or at the
    end for all below. What begins with a dot is only like what does so too.
    """
    return _are_like(name.split("/"), pattern.split("/"))


def _are_like(parts: list[str], patterns: list[str]) -> bool:
    if not patterns or not parts:
        return not patterns and not parts
    first, rest = patterns[0], patterns[1:]
    if parts[0].startswith(".") and not first.startswith("."):
        return first == _ANY_FOLDERS and _are_like(parts, rest)
    if first == _ANY_FOLDERS:
        is_below = not rest and len(parts) == 1
        return is_below or _are_like(parts, rest) or _are_like(parts[1:], patterns)
    return fnmatchcase(parts[0], first) and _are_like(parts[1:], rest)

"""What the operating system saw: the calls on files of a process, as strace tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

_OPENING = {"open", "openat", "openat2"}
_CHANGING = "creat truncate chmod chown mkdir rmdir rename link symlink unlink lchown"
_CHANGING += " renameat renameat2 linkat symlinkat unlinkat mkdirat fchmodat fchownat"
CALLS = frozenset(_OPENING.union(_CHANGING.split(" ")))


class Call(Struct, frozen=True):
    """A call that succeeded.

    Attributes
    ----------
    text
        As strace tells it.
    paths
        The absolute ones among its arguments, and the file that was really opened, links followed.
    changes
        Whether it may change a file, or make or remove one.
    """

    text: str
    paths: tuple[str, ...]
    changes: bool


def strace(log: Path) -> list[str]:
    """Return how to run a program, so that `calls` can read the log."""
    traced = f"trace={','.join(sorted(CALLS))}"
    return ["strace", "-f", "-y", "-s", "4096", "-qq", "-e", traced, "-o", str(log)]


def calls(log: Path) -> list[Call]:
    """Return the calls that succeeded."""
    found, begun = list[Call](), dict[str, str]()
    for line in log.read_text(errors="replace").splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[pid] = text.removesuffix("<unfinished ...>")
            continue
        if text.startswith("<... "):
            text = begun.pop(pid, "") + text.partition("resumed>")[2]
        name = text.partition("(")[0]
        if name not in CALLS or re.search(r"\) += (-1 |\?)", text):
            continue
        paths = tuple(re.findall(r'["<](/[^">]*)[">]', text))
        changes = name not in _OPENING or bool(re.search("O_WRONLY|O_RDWR|O_CREAT", text))
        found.append(Call(text, paths, changes))
    return found

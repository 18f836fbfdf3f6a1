"""The threads of Polars, which a forked child lacks."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from arrowimg.errors import ForkedProcessError

_lacks_polars_threads = False
_has_polars_threads = False


def check_polars_threads() -> None:
    """Raise `ForkedProcessError` where Polars would wait for threads that are not there.

    Polars keeps its threads from the first query on, and a forked child has none of them.
    """
    if _lacks_polars_threads:
        raise ForkedProcessError


def _before_fork() -> None:
    global _has_polars_threads  # noqa: PLW0603  # of the process, as threads are
    _has_polars_threads = "polars" in sys.modules and _has_thread("polars-0")


def _after_fork() -> None:
    global _lacks_polars_threads  # noqa: PLW0603
    _lacks_polars_threads = _lacks_polars_threads or _has_polars_threads


def _has_thread(name: str) -> bool:
    """Tell whether this process has a thread of that name, where the system tells."""
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            # Threads end at any time.
            with suppress(OSError):
                if (thread / "comm").read_text().strip() == name:
                    return True
    return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)

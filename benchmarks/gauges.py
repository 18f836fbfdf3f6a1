"""What a stretch of work took: time, processor time, that of others, and memory (Linux)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of the first line of /proc/stat, see proc(5): all but idle (3), iowait (4) and the guests'
# (8 and 9), which user and nice hold already. Steal (7) counts: somebody else had the core.
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)


@dataclass(frozen=True)
class Reading:
    """What was used between two moments.

    Attributes
    ----------
    seconds
        Wall time.
    cpu_seconds
        Processor time of this process and of the children it waited for.
    busy_seconds
        Processor time of the whole machine, in steps of 10 ms.
    """

    seconds: float
    cpu_seconds: float
    busy_seconds: float

    @property
    def others_seconds(self) -> float:
        """Processor time of others."""
        return max(self.busy_seconds - self.cpu_seconds, 0.0)


class Clock:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._busy = _busy_seconds()
        self._cpu = _cpu_seconds()
        self._start = time.perf_counter()

    def read(self) -> Reading:
        """Return what was used since the clock was made."""
        seconds = time.perf_counter() - self._start
        return Reading(seconds, _cpu_seconds() - self._cpu, _busy_seconds() - self._busy)


def _cpu_seconds() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _busy_seconds() -> float:
    first_line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    numbers = [int(number) for number in first_line.split()[1:]]
    return sum(numbers[place] for place in _BUSY_FIELDS) / _TICKS


def forget_peak() -> None:
    """Let the peak of `peak_nbytes` begin anew with what is resident now, see proc(5)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_nbytes() -> int:
    """Return the bytes of this process that are in memory now."""
    return _status("VmRSS")


def peak_nbytes() -> int:
    """Return the most bytes of this process that were in memory at once."""
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        field, _, value = line.partition(":")
        if field == name:
            return int(value.split()[0]) * 1024
    raise KeyError(name)

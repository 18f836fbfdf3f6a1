"""The command line's door: whatever happens becomes lines for people and an exit status.

What it needs is imported inside, so that an interrupt while that is going on is answered, too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    interrupts = _Interrupts(is_process=arguments is None)
    try:
        with interrupts:
            return _run(arguments)
    except KeyboardInterrupt:
        return _say_interrupted(arguments)
    except Exception:
        # An interrupt may come out of a library as an error of its own.
        if interrupts.happened:
            return _say_interrupted(arguments)
        raise


def _run(arguments: Sequence[str] | None) -> int:
    from arrowimg._cli.parser import parse
    from arrowimg._cli.text import error_text, is_wrong_usage
    from arrowimg.errors import ArrowimgError

    parsed = parse(arguments)
    try:
        status: int = parsed.command(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read stdout had enough; Python would complain when it flushes on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ArrowimgError, OSError, MemoryError) as error:
        print(f"arrowimg: error: {error_text(error)}", file=sys.stderr)
        return 2 if is_wrong_usage(error) else 1
    return status


class _Interrupts:
    """Notes that there was an interrupt, whatever becomes of its exception.

    Parameters
    ----------
    is_process
        True: the process ends with this command. A second interrupt then kills it, and one that
        comes when all is done is too late to matter.
    """

    def __init__(self, *, is_process: bool) -> None:
        self.happened = False
        self._is_process = is_process
        is_main = threading.current_thread() is threading.main_thread()
        # Whoever started this process may have said that interrupts are not for it.
        is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._is_ours = is_main and is_default

    def __enter__(self) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, self._interrupt)

    def __exit__(self, *_: object) -> None:
        if not self._is_ours:
            return
        after = signal.SIG_IGN if self._is_process else signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_DFL if self.happened else after)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.happened = True
        signal.default_int_handler(number, frame)


def _say_interrupted(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    hint = "; --if-exists skip encodes nothing twice" if "write" in given[:1] else ""
    print(f"arrowimg: interrupted; the same command again goes on{hint}", file=sys.stderr)
    return INTERRUPTED

"""What libtiff complains of while Pillow calls it: it says so to the terminal, and may go on."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from typing import TYPE_CHECKING

from PIL import _imaging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_listening = threading.local()
_kept: list[object] = []


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what libtiff complains of in this thread, inside the block; others hear it still.

    The texts are libtiff's formats, without their values.
    """
    _listen()
    heard: list[str] = []
    _listening.heard = heard
    try:
        yield heard
    finally:
        _listening.heard = None


@functools.cache
def _listen() -> None:
    """Put listeners before the handlers that are there, once a process."""
    # The symbols are those of the library that Pillow is linked with.
    library = ctypes.CDLL(_imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        set_handler = getattr(library, name)
        set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [_Handler]
        chain: list[Callable[..., None]] = []
        listener = _Handler(functools.partial(_hear, chain))
        before = set_handler(listener)
        if before:
            chain.append(_Handler(before))
        _kept.append(listener)


def _hear(
    chain: list[Callable[..., None]], module: bytes | None, text: bytes | None, values: int | None
) -> None:
    heard = getattr(_listening, "heard", None)
    if heard is not None:
        heard.append((text or b"").decode(errors="replace"))
        return
    for handler in chain:
        handler(module, text, values)

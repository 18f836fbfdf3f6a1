"""How files that nobody is to see yet are called: who writes them, and who finds them, ask here."""

from __future__ import annotations

TEMPORARY_PREFIX = ".arrowimg-"
"""Of files and folders that are being written, or were left by a writer that died."""

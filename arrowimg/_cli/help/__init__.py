"""What the command line says of itself: the specification of its options, written by a person."""

from __future__ import annotations

from arrowimg._cli.help.looking import GC, INDEX, INSPECT, VERIFY, VIEW
from arrowimg._cli.help.writing import DEMO, MERGE, OVERVIEW, RESHARD, WRITE

__all__ = [
    "DEMO",
    "GC",
    "INDEX",
    "INSPECT",
    "MERGE",
    "OVERVIEW",
    "RESHARD",
    "VERIFY",
    "VIEW",
    "WRITE",
]

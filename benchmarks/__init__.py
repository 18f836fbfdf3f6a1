"""How fast arrowimg is, beside the limits of the machine and beside what people use today."""

from __future__ import annotations

"""How many processes write."""

from __future__ import annotations

import logging

from arrowimg._core.option_checks import check_option, is_int
from arrowimg._core.processes.pool import why_no_workers

logger = logging.getLogger("arrowimg")


def check_workers(workers: int | None) -> int | None:
    """Return a number of processes, or None; raise `OptionError` where it is neither."""
    expected = "an int of at least 1, or None"
    check_option(workers is None or is_int(workers, 1), "workers", expected, workers)
    return workers


def usable_workers(workers: int, context: object) -> int:
    """Return as many workers as were asked for, or 1, and say why, where there can be no others.

    Parameters
    ----------
    context
        What they need.
    """
    reason = why_no_workers(context) if workers > 1 else ""
    if reason:
        logger.warning("workers: 1 in place of %d, since %s", workers, reason)
    return 1 if reason else workers

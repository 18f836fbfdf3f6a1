"""How many processes write."""

from __future__ import annotations

import logging

from arrowimg._core.option_checks import check_option, is_int
from arrowimg._core.processes.pool import why_no_workers
from arrowimg._core.threads import granted_cores

_SECONDS_A_ROW, _SECONDS_A_BYTE = 15e-6, 1e-9
"""Least that any source was measured to take of one core."""

_WORTH_SECONDS = 20
"""A worker takes half a second to start, sixteen of them one or two: then it is a tenth."""

_LARGE_NBYTES = 300_000

logger = logging.getLogger("arrowimg")


def check_workers(workers: int | None) -> int | None:
    """Return a number of processes, or None; raise `OptionError` where it is neither."""
    expected = "an int of at least 1, or None"
    check_option(workers is None or is_int(workers, 1), "workers", expected, workers)
    return workers


def chosen_workers(num_rows: int | None, nbytes: int | None) -> int:
    """Return how many processes write a source, where its caller did not say.

    Threads do for four cores, and for eight where pictures are large. Beyond, processes pay once
    the work is many times what it takes to start them.

    Parameters
    ----------
    num_rows, nbytes
        Of a source that workers can read by themselves, None where that is not known.
    """
    cores = granted_cores()
    if not num_rows or nbytes is None:
        return 1
    seconds = _SECONDS_A_ROW * num_rows + _SECONDS_A_BYTE * nbytes
    cores_of_threads = 8 if nbytes / num_rows > _LARGE_NBYTES else 4
    workers = cores if cores > cores_of_threads and seconds > _WORTH_SECONDS else 1
    text = "workers: %d, for about %.0f seconds of work for one core, and %d cores"
    logger.info(text, workers, seconds, cores)
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

"""What is there judged by options: whether it was written alike, whether too many rows are bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arrowimg.errors import ErrorFractionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arrowimg._write.options.write import WriteOptions

ROWS_TO_JUDGE = 1000
"""Of a dataset that is still being written, fewer rows say nothing of how many are bad."""


def option_differences(committed: dict[str, Any], offered: dict[str, Any]) -> list[str]:
    """Return one line for each recorded option that differs."""
    return [
        f"{name}: {committed.get(name)!r} there, {offered.get(name)!r} here"
        for name in sorted({*committed, *offered})
        if committed.get(name) != offered.get(name)
    ]


def check_error_fraction(codes: Mapping[str, int], num_rows: int, options: WriteOptions) -> None:
    """Raise `ErrorFractionError` when more rows are bad than the options allow.

    Parameters
    ----------
    codes
        Number of bad rows by error code.
    num_rows
        Number of all rows.
    """
    num_errors, allowed = sum(codes.values()), options.max_error_fraction
    if allowed is not None and num_errors > allowed * num_rows:
        raise ErrorFractionError(num_errors, num_rows, allowed, codes)

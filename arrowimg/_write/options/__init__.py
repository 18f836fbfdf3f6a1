"""What a caller may choose about writing, checked once, when the options are made."""

from __future__ import annotations

from arrowimg._write.options.judge import ROWS_TO_JUDGE, check_error_fraction, option_differences
from arrowimg._write.options.keywords import StageKeywords, WriteKeywords, write_options
from arrowimg._write.options.write import OnError, WriteOptions

__all__ = [
    "ROWS_TO_JUDGE",
    "OnError",
    "StageKeywords",
    "WriteKeywords",
    "WriteOptions",
    "check_error_fraction",
    "option_differences",
    "write_options",
]

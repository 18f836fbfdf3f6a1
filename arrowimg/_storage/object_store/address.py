"""Addresses in object stores: what a URL says, and what it must not say."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from arrowimg.errors import OptionError

_KINDS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
}
"""Schemes of URLs, and the kind of store that each is of."""

MOST_NBYTES = {"s3": 5 * 10**9, "gs": 5 * 10**12, "az": 5000 * 2**20}
"""What each kind of store takes in one request, which is how a file is created or not at all."""


class Address(Struct, frozen=True):
    """Where files are in an object store.

    Attributes
    ----------
    kind
        Of the store: ``"s3"``, ``"gs"`` or ``"az"``.
    root
        The URL of the bucket or container, without a slash at its end.
    prefix
        What keys begin with, without slashes around it; empty at the top of a bucket.
    """

    kind: str
    root: str
    prefix: str


def parse_address(url: str, argument: str) -> Address:
    """Return the address that a URL is of. Keys stand in it as they are, without escapes.

    Raises
    ------
    OptionError
        When it has a password or a query, which may be one, or no bucket. What it says is not
        repeated then.
    """
    split = _split(url, argument)
    scheme = split.scheme.lower()
    kind = _KINDS[scheme]
    user, at, host = split.netloc.rpartition("@")
    # In abfss://container@account.dfs.core.windows.net it is the container that stands there.
    has_secret = ":" in user or (at and not scheme.startswith("abfs"))
    if has_secret or split.query or split.fragment:
        expected = (
            "a URL without user, password, query and fragment: credentials are for "
            "storage_options or the environment"
        )
        shown = redacted(url if ":" in user else f"{scheme}://***@{host}{split.path}")
        raise OptionError(argument, expected, shown if at else redacted(url))
    segments = split.path.strip("/").split("/")
    is_path = segments == [""] or not any(it in ("", ".", "..") for it in segments)
    if not host or not is_path or split.path.startswith("//"):
        expected = f'"{scheme}://<bucket>/<prefix>", no segment of the prefix empty, "." or ".."'
        raise OptionError(argument, expected, redacted(url))
    return Address(kind, f"{scheme}://{split.netloc}", split.path.strip("/"))


def _split(url: str, argument: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        expected = "a URL"
        raise OptionError(argument, expected, redacted(url)) from error


def redacted(url: str) -> str:
    """Return a URL, or text with some, without what stands before an ``@`` or behind a ``?``."""
    without_user = re.sub(r"//[^/@\s]*:[^/@\s]*@", "//***@", url)
    return re.sub(r"(\w://[^\s?#]*)[?#][^\s)]*", r"\1?***", without_user)

"""Texts of indexes: names as brace ranges."""

from __future__ import annotations

import pytest
import webdataset

from arrowimg._dataset.index.text import brace_ranges


@pytest.mark.parametrize(
    ("names", "ranges"),
    [
        ([], []),
        (["a-0.tar"], ["a-0.tar"]),
        (["a-08.tar", "a-09.tar", "a-10.tar"], ["a-{08..10}.tar"]),
        (["a-0.tar", "a-1.tar", "a-3.tar"], ["a-{0..1}.tar", "a-3.tar"]),
        (["a-9.tar", "a-10.tar"], ["a-9.tar", "a-10.tar"]),
        (["a-1.tar", "b-2.tar"], ["a-1.tar", "b-2.tar"]),
        (["a-2.tar", "a-1.tar"], ["a-2.tar", "a-1.tar"]),
        (["a.tar", "b.tar", "0.tar", "1.tar"], ["a.tar", "b.tar", "{0..1}.tar"]),
        (["a1-000000.tar", "a1-000001.tar"], ["a1-{000000..000001}.tar"]),
    ],
)
def test_ranges_cover_the_names_in_order(names: list[str], ranges: list[str]) -> None:
    expanded = [name for it in ranges for name in webdataset.shardlists.expand_urls(it)]

    assert brace_ranges(names) == ranges
    assert expanded == names

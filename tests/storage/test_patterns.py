"""Patterns of names: what a shell and Python's own glob find, the same in a list of names."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

import pytest

from arrowimg._storage.patterns import is_like, is_pattern, split_pattern

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    *("a.tar", "b.tar", "ab.tar", ".c.tar", "a/1.tar", "a/2.parquet", "a/b/3.tar", "a/.h/4.tar"),
    *("b/1.tar", "b/c/d/1.tar", "[a].tar", ".h/5.tar", "a[1]/6.tar", "B.tar"),
)


@pytest.mark.parametrize(
    "pattern",
    [
        *("*.tar", "?.tar", "[ab].tar", "[!a].tar", "[[]a].tar", ".*.tar", "*/*.tar", "a/*"),
        *("**/*.tar", "**/1.tar", "b/**/1.tar", "a/**", "**", "**/b/**", "*/**/*.tar", "a/.h/*"),
        *("**/.h/*.tar", "a[[]1]/*", "a", "none/*", "a/*/*", "**/**/1.tar", ".h/**"),
    ],
)
def test_the_files_are_those_that_glob_finds(pattern: str, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = glob.glob(pattern, root_dir=tmp_path, recursive=True)  # noqa: PTH207  # the oracle

    expected = {it for it in found if (tmp_path / it).is_file()}
    assert {name for name in NAMES if is_like(name, pattern)} == expected


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("s3://bucket/a/b*.tar", ("s3://bucket/a", "b*.tar")),
        ("s3://bucket/**/b.tar", ("s3://bucket", "**/b.tar")),
        ("/x/[ab]/c", ("/x", "[ab]/c")),
        ("a?", ("", "a?")),
        ("/a?", ("", "a?")),
        ("s3://bucket/a.tar", ("s3://bucket/a.tar", "")),
    ],
)
def test_a_pattern_looks_in_the_folder_before_its_first_mark(
    path: str, parts: tuple[str, str]
) -> None:
    assert split_pattern(path) == parts
    assert is_pattern(path) == bool(parts[1])

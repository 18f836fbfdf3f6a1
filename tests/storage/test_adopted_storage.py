"""Two places as one: what is written and removed is in the one, tars are read in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrowimg._storage.adopted import AdoptedStorage
from arrowimg._storage.local import LocalStorage

if TYPE_CHECKING:
    from pathlib import Path


def test_tars_of_others_are_not_removed(tmp_path: Path) -> None:
    for name in ("a.tar", "b.parquet", "c.parquet"):
        (tmp_path / name).write_bytes(b"theirs")
    same = AdoptedStorage(LocalStorage(tmp_path), LocalStorage(tmp_path))

    same.remove(["a.tar", "b.parquet"])

    assert sorted(it.name for it in tmp_path.iterdir()) == ["a.tar", "c.parquet"]


def test_another_durability_is_of_the_same_places(tmp_path: Path) -> None:
    places = AdoptedStorage(LocalStorage(tmp_path / "index"), LocalStorage(tmp_path / "tars"))

    same = places.with_durability("process")

    assert same == places
    assert same.path_of("a.tar") == str(tmp_path / "tars" / "a.tar")
    assert same.path_of("a.parquet") == str(tmp_path / "index" / "a.parquet")

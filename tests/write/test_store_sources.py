"""Files of a store as a source: a URL means what the same path on a disk would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG
from storage_data import moto_options, put

from arrowimg import scan, write_shards
from arrowimg._storage.object_store.storage import ObjectStorage
from arrowimg._storage.open import open_storage
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("t/a.parquet", "t/b.parquet", "t/[a].parquet", "t/label=x/c.parquet", "t/.h/d.parquet")
PICTURES = ("p/1.jpg", "p/2.jpg", "p/[1].jpg", "p/x [1]/3.jpg", "p/x [1]/4.png", "p/2.txt")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return a folder, and the URL of a store with the same files."""
    folder = tmp_path_factory.mktemp("files")
    for name in (*TABLES, *PICTURES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.table({"image_id": [name], "image_data": [JPEG]}), path)
        else:
            path.write_bytes(b"two" if path.suffix == ".txt" else JPEG)
    url = f"s3://storages/{folder.name}"
    storage = open_storage(url, moto_options())
    for name in (*TABLES, *PICTURES):
        parent, _, last = name.rpartition("/")
        put(open_storage(f"{url}/{parent}", moto_options()), last, (folder / name).read_bytes())
    assert len(storage.names_below()) == len(TABLES) + len(PICTURES)
    return str(folder), url


def written(place: str, source: str, out: Path, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    told = moto_options() if "://" in place else None
    write_shards(f"{place}/{source}", out, storage_options=told, **options)
    return scan(out).drop("original_path", "tar_path").collect().to_dicts()


@pytest.mark.parametrize(
    "source",
    [
        *("t", "t/*.parquet", "t/?.parquet", "t/[ab].parquet", "t/[a].parquet", "t/[!a].parquet"),
        *("t/**/*.parquet", "t/*/*.parquet", "*/a.parquet", "p", "p/x [1]"),
    ],
)
def test_it_means_the_files_that_a_path_does(
    source: str, tmp_path: Path, places: tuple[str, str]
) -> None:
    here, there = (
        written(place, source, tmp_path / str(number)) for number, place in enumerate(places)
    )

    assert there == here


@pytest.mark.parametrize("source", ["p/?.jpg", "p/[12].jpg", "p/**/*.jpg"])
def test_pictures_are_named_below_the_folder_that_a_pattern_looks_in(
    source: str, tmp_path: Path, places: tuple[str, str]
) -> None:
    here, there = (
        [row["image_id"] for row in written(place, source, tmp_path / str(number))]
        for number, place in enumerate(places)
    )

    folder = f"{places[0]}/p/"
    assert there == [it.removeprefix(folder) for it in here]


@pytest.mark.parametrize("source", ["p", "p/x [1]"])
def test_labels_are_those_of_a_folder_of_this_machine(
    source: str, tmp_path: Path, places: tuple[str, str]
) -> None:
    here, there = (
        [row["label"] for row in written(place, source, tmp_path / str(number), labels="folder")]
        for number, place in enumerate(places)
    )

    assert there == here
    assert {*there} == ({"x [1]"} if source != "p" else {"x [1]", None})


def test_several_urls_are_read_with_what_the_store_is_told(
    tmp_path: Path, places: tuple[str, str]
) -> None:
    urls = [f"{places[1]}/{name}" for name in ("t/b.parquet", "t/a.parquet")]

    write_shards(urls, tmp_path / "out", storage_options=moto_options())

    found = scan(tmp_path / "out").collect()["image_id"].to_list()
    assert found == ["t/b.parquet", "t/a.parquet"]


@pytest.mark.parametrize(("source", "name"), [("p/[1].jpg", "[1]"), ("p/x [1]/3.jpg", "3")])
def test_a_name_with_the_marks_of_a_pattern_is_that_file(
    source: str, name: str, tmp_path: Path, places: tuple[str, str]
) -> None:
    (row,) = written(places[1], source, tmp_path / "out")

    assert row["image_id"] == name


@pytest.mark.parametrize(("source", "captions"), [("p/?.jpg", [None, "two"]), ("p/2.jpg", ["two"])])
def test_captions_are_looked_for_in_one_listing(
    source: str,
    captions: list[str | None],
    tmp_path: Path,
    places: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listings, listed = list[str](), ObjectStorage._list

    def counted(storage: ObjectStorage) -> Any:  # noqa: ANN401  # of obstore
        listings.append(storage.path_of(""))
        return listed(storage)

    monkeypatch.setattr(ObjectStorage, "_list", counted)

    rows = written(places[1], source, tmp_path / "out", captions="txt")

    assert [row["caption"] for row in rows] == captions
    assert len(listings) == 1
    with pytest.raises(SourceError, match=r"captions beside pictures.*\.txt"):
        written(places[1], "p/1.jpg", tmp_path / "none", captions="txt")

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from storage_data import commit

import arrowimg
from arrowimg._storage.local import LocalStorage
from arrowimg._storage.open import open_files, open_storage
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable


TABLE = pa.table({"image_data": pa.array([], pa.binary())})


class Folder:
    """A path that is neither text nor of pathlib."""

    def __fspath__(self) -> str:
        return "some/folder"


class TestPlaces:
    @pytest.mark.parametrize("place", ["some/folder", Path("some/folder"), Folder()])
    def test_text_and_paths_are_folders(self, place: str | os.PathLike[str]) -> None:
        storage = open_storage(place)

        assert storage == LocalStorage("some/folder")
        assert storage.path_of("a.tar") == "some/folder/a.tar"

    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("file:///data/out", "/data/out"),
            ("file://localhost/data/out", "/data/out"),
            ("FILE:///data/a%20b", "/data/a b"),
            ("file:/data/out", "/data/out"),
        ],
    )
    def test_urls_of_files_are_folders(self, url: str, path: str) -> None:
        assert open_storage(url).path_of("") == path

    @pytest.mark.parametrize(
        "place",
        [
            "s4://bucket/prefix",
            "gcs://bucket",
            "https://host/x",
            "memory:///x",
            "file://host/data",
        ],
    )
    def test_no_store_becomes_a_local_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | os.PathLike[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)

        with pytest.raises(OptionError, match="a local folder") as caught:
            open_storage(place)

        assert (caught.value.option, caught.value.found) == ("output_dir", os.fspath(place))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("scheme", ["s3", "s3a", "gs", "az", "abfs", "abfss"])
    def test_what_is_no_place_is_answered_with_those_that_are(self, scheme: str) -> None:
        with pytest.raises(OptionError, match=f"{scheme}://"):
            open_storage("https://host/x")

    def test_a_path_in_place_of_a_url_lost_a_slash_and_is_refused(self) -> None:
        with pytest.raises(OptionError, match="as text") as caught:
            open_storage(Path("s3://bucket/prefix"))

        assert caught.value.found == "s3:/bucket/prefix"

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("ftp://user:hidden@host/x", "ftp://***@host/x"),
            ("https://host/x?sig=hidden", "https://host/x"),
            ("s3://user:hidden@bucket/x", "s3://***@bucket/x"),
            ("s3://hidden@bucket/x", None),
            ("s3://bucket/x?secret=hidden", "s3://bucket/x?***"),
            ("s3://bucket/x#hidden", "s3://bucket/x?***"),
            ("abfss://container:hidden@account/x", "abfss://***@account/x"),
        ],
    )
    def test_a_url_with_a_secret_is_refused_and_not_repeated(
        self, url: str, shown: str | None
    ) -> None:
        with pytest.raises(OptionError) as caught:
            open_storage(url, {"skip_signature": True})

        assert "hidden" not in str(caught.value)
        assert shown in (None, caught.value.found)

    @pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://bucket/a//b", "s3://bucket/../a"])
    def test_a_url_without_a_bucket_or_with_odd_segments_is_refused(self, url: str) -> None:
        with pytest.raises(OptionError, match="segment of the prefix"):
            open_storage(url)

    @pytest.mark.parametrize("folder", ["a:b", "C:/x", "with:colon/x", "x/s3://y", "./s3://bucket"])
    def test_a_colon_alone_makes_no_url(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        commit(open_storage(folder), {"a.tar": b"data"})

        assert (tmp_path / folder / "a.tar").read_bytes() == b"data"

    @pytest.mark.parametrize("place", [None, 5, b"bytes", ["a", "list"], object])
    def test_what_is_no_path_is_refused(self, place: object) -> None:
        with pytest.raises(OptionError, match="a str or a path") as caught:
            open_storage(place, argument="new_dir")  # type: ignore[arg-type]

        assert caught.value.option == "new_dir"

    @pytest.mark.parametrize("options", [None, {}])
    def test_no_options_are_none(self, options: dict[str, object] | None) -> None:
        assert open_storage("out", options) == LocalStorage("out")

    def test_options_for_a_folder_are_refused_by_their_names_without_their_values(self) -> None:
        with pytest.raises(OptionError, match="storage_options") as caught:
            open_storage("out", {"aws_secret_access_key": "hidden", "region": "x"})

        assert caught.value.found == ["aws_secret_access_key", "region"]
        assert "hidden" not in str(caught.value)


class TestFaces:
    @pytest.mark.parametrize("place", ["https://host/prefix", 5, b"out"])
    @pytest.mark.parametrize(
        "call",
        [
            arrowimg.ImageWriterStage,
            arrowimg.ShardWriter,
            arrowimg.scan,
            arrowimg.verify,
            arrowimg.collect_garbage,
            arrowimg.export_index,
            pytest.param(lambda place: next(arrowimg.read_batches(place)), id="read_batches"),
            pytest.param(lambda place: arrowimg.reshard(place, "new"), id="reshard"),
            pytest.param(lambda place: arrowimg.write_shards(TABLE, place), id="write_shards"),
        ],
    )
    def test_every_one_refuses_what_is_no_folder(
        self, call: Callable[[object], object], place: object
    ) -> None:
        with pytest.raises(OptionError, match=r"expected a (str or a path|local folder)") as caught:
            call(place)

        assert caught.value.option == "output_dir"

    def test_copies_say_which_folder_it_is(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="new_dir"):
            arrowimg.reshard(tmp_path, "s4://bucket")
        with pytest.raises(OptionError, match="sources"):
            arrowimg.merge(["s4://bucket"], tmp_path)


class TestFiles:
    def test_files_of_one_folder_share_a_storage(self) -> None:
        paths = ["out/a.tar", "other/a.tar", "out/b.tar", "here.tar", "/top.tar"]
        files = open_files(paths)

        assert [storage.path_of(name) for storage, name in files] == paths
        assert files[0][0] is files[2][0]
        assert len({id(storage) for storage, _ in files}) == 4

"""Layouts, computed from sidecars, against what tarfile finds in the tars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_data import members_in, samples_of, write_batches, write_dataset
from verify_data import rewrite, with_value
from writer_data import IDS, windows

from arrowimg import ImageBatch, write_shards
from arrowimg._dataset.folder import read_listing
from arrowimg._dataset.sidecars import read_layout
from arrowimg._storage.open import open_storage
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

    from arrowimg._format.layout import Layout


def layouts_of(folder: Path) -> list[Layout]:
    storage = open_storage(folder)
    return [read_layout(storage, shard) for shard in read_listing(storage).shards]


def assert_as_in_the_tars(folder: Path) -> None:
    tars = members_in(folder)
    layouts = layouts_of(folder)

    assert [layout.tar_file for layout in layouts] == list(tars)
    for layout, members in zip(layouts, tars.values(), strict=True):
        samples = samples_of(members)
        extensions = [member.field for member in samples[0]] if samples else layout.extensions
        ends = [-(-sample[-1].size // 512) * 512 + sample[-1].offset for sample in samples]
        assert layout.keys.to_pylist() == [sample[0].key for sample in samples]
        assert layout.extensions == extensions
        assert layout.offsets.tolist() == [[it.offset for it in sample] for sample in samples]
        assert layout.sizes.tolist() == [[it.size for it in sample] for sample in samples]
        assert layout.bounds.tolist() == [0, *ends]
        assert layout.bounds[:-1].tolist() == [sample[0].header for sample in samples]


@pytest.mark.parametrize("checksum", ["xxh3_128", "sha256"])
def test_members_of_all_kinds_are_where_tarfile_finds_them(
    tmp_path: Path, checksum: Literal["xxh3_128", "sha256"]
) -> None:
    write_dataset(tmp_path, checksum=checksum)

    assert layouts_of(tmp_path)[0].extensions == ["jpg", "json", "mask.png", "txt"]
    assert_as_in_the_tars(tmp_path)


def test_pictures_alone_are_where_tarfile_finds_them(tmp_path: Path) -> None:
    write_dataset(tmp_path, members={}, remove_image_data=False)

    assert_as_in_the_tars(tmp_path)


def test_folders_in_keys_are_kept(tmp_path: Path) -> None:
    batch = ImageBatch.from_arrays(windows(3), ["a/1", "a/b/2", "c"], label=[5, 6, None])
    write_shards(batch, tmp_path, keys="verbatim", members={"cls": "label"})

    assert layouts_of(tmp_path)[0].keys.to_pylist() == ["a/1", "a/b/2", "c"]
    assert_as_in_the_tars(tmp_path)


def test_a_tar_of_no_pictures_has_no_members(tmp_path: Path) -> None:
    torn = pa.table({"image_id": IDS[:2], "image_data": [b"\xff\xd8\xff"] * 2, "caption": IDS[:2]})
    write_shards(torn, tmp_path, on_error="quarantine", members={"txt": "caption"})
    (layout,) = layouts_of(tmp_path)

    assert layout.offsets.shape == (0, 2)
    assert layout.bounds.tolist() == [0]
    assert_as_in_the_tars(tmp_path)


def test_shards_without_a_manifest_have_their_own_members(tmp_path: Path) -> None:
    write_batches(tmp_path)
    write_batches(tmp_path, members={"txt": "caption"})

    assert {tuple(layout.extensions) for layout in layouts_of(tmp_path)} == {
        ("jpg",),
        ("jpg", "txt"),
    }
    assert_as_in_the_tars(tmp_path)


VALUES = {
    "text": st.none() | st.text(max_size=600),
    "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
    "real": st.none() | st.floats(width=32),
    "data": st.none() | st.binary(max_size=1100),
    "times": st.none() | st.datetimes(),
    "nested": st.none() | st.lists(st.integers(0, 9) | st.none(), max_size=3),
}


@given(st.data())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_stands_beside_a_picture_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("layout")
    columns: dict[str, Any] = {
        name: data.draw(st.lists(values, min_size=5, max_size=5), name)
        for name, values in VALUES.items()
    }
    columns["real"] = pa.array(columns["real"], pa.float32())
    columns["times"] = pa.array(columns["times"], pa.timestamp("us"))
    columns["nested"] = pa.array(columns["nested"], pa.list_(pa.int8()))
    table = ImageBatch.from_arrays(windows(5), IDS[:5]).data
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values) if isinstance(values, list) else values)
    members = {name: name for name in ("text", "whole", "real", "data", "times")}
    write_shards(table, folder, 3, members=members | {"json": ["text", "real", "times", "nested"]})

    assert_as_in_the_tars(folder)


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    """Return the sidecar of one shard of three pictures without a manifest."""
    write_shards(ImageBatch.from_arrays(windows(3), IDS[:3], caption=IDS[:3]), tmp_path)
    (tmp_path / "manifest.json").unlink()
    return tmp_path / "images-000000.parquet"


@pytest.mark.parametrize(
    ("name", "row", "value", "found"),
    [
        ("offset", 1, 512, "one behind the other"),
        ("size", 2, 9000, "offsets and sizes within"),
        ("member_name", 0, "a b.jpg", "portable member names"),
        ("member_name", 0, 'a".jpg', "portable member names"),
        ("member_name", 0, "a\n.jpg", "portable member names"),
        ("member_name", 0, "a.png", "portable member names"),
        ("member_name", 0, "a.b.jpg", "portable member names"),
        ("member_name", 0, None, "'images-000000.tar'"),
    ],
)
def test_a_sidecar_that_contradicts_itself_is_refused(
    sidecar: Path, name: str, row: int, value: object, found: str
) -> None:
    rewrite(sidecar.parent, with_value(pq.read_table(sidecar), name, row, value))

    with pytest.raises(ManifestError, match=found):
        layouts_of(sidecar.parent)


@pytest.mark.parametrize("fields", [{"tar_nbytes": 1024}, {"options": {"members": {"x": "gone"}}}])
def test_a_footer_that_contradicts_the_rows_is_refused(
    sidecar: Path, fields: dict[str, Any]
) -> None:
    rewrite(sidecar.parent, pq.read_table(sidecar), **fields)

    with pytest.raises(ManifestError):
        layouts_of(sidecar.parent)


def test_a_sidecar_of_another_dataset_than_is_listed_is_refused(tmp_path: Path) -> None:
    write_shards(ImageBatch.from_arrays(windows(3), IDS[:3]), tmp_path)
    write_shards(ImageBatch.from_arrays(windows(3), IDS[3:6]), tmp_path / "other")
    (tmp_path / "other" / "images-000000.parquet").replace(tmp_path / "images-000000.parquet")

    with pytest.raises(ManifestError, match="the sidecar of"):
        layouts_of(tmp_path)


def test_a_sidecar_that_is_gone_or_torn_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_shards(ImageBatch.from_arrays(windows(3), IDS[:3]), tmp_path)
    path = tmp_path / "images-000000.parquet"
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)

    for content in (data, b"torn", None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
            layouts_of(tmp_path)


def test_names_outside_the_folder_are_refused(tmp_path: Path) -> None:
    write_shards(ImageBatch.from_arrays(windows(3), IDS[:3]), tmp_path)
    manifest = msgspec.json.decode((tmp_path / "manifest.json").read_bytes())
    manifest["shards"][0]["tar"] = "../images-000000.tar"
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(manifest))

    with pytest.raises(ManifestError, match="instead of the name of a tar in the folder"):
        layouts_of(tmp_path)

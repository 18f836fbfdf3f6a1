from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from writer_data import (
    IDS,
    ROWS,
    dataset,
    in_batches,
    rows_in,
    windows,
    write_all,
)

from arrowimg import ImageBatch, ShardWriter, scan, verify, write_shards
from arrowimg.errors import (
    DuplicateIdError,
    ImageError,
    MetadataJoinError,
    SchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def renamed(rows: int, first: int = 3, **columns: Any) -> pa.Table:  # noqa: ANN401
    """Return rows with ids that come after those of others."""
    table = dataset(first + rows)[first:]
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


class TestRefusals:
    @pytest.mark.parametrize("images_per_tar", [2, 3, 1000])
    def test_a_clash_names_both_batches_and_nothing_of_the_second_is_written(
        self, tmp_path: Path, images_per_tar: int
    ) -> None:
        with ShardWriter(tmp_path, images_per_tar) as writer:
            writer.write(dataset(3, score=[1.0, 2.0, 3.0]))
            other = ImageBatch.from_arrays(windows(3), ["x", "y", "z"], score=["a", "b", "c"])
            with pytest.raises(SchemaError, match="string in rows 3 to 5") as caught:
                writer.write(other)

        assert caught.value.column == "score"
        assert caught.value.expected == "double, as in rows 0 to 2"
        assert writer.file_group.num_images == 3

    def test_a_batch_that_was_refused_decides_nothing(self, tmp_path: Path) -> None:
        with ShardWriter(tmp_path) as writer:
            bad = pa.table({"image_id": ["a"], "image_data": [b"no picture"], "n": [1]})
            with pytest.raises(ImageError):
                writer.write(bad)
            writer.write(dataset(3))

        assert writer.file_group.num_images == 3

    def test_columns_in_another_order_are_the_same_schema(self, tmp_path: Path) -> None:
        table = dataset(4, n=range(4), score=np.arange(4.0))

        write_all(iter([table[:2], table[2:].select(table.column_names[::-1])]), tmp_path)

        assert [(row["n"], row["score"]) for row in rows_in(tmp_path)] == [
            (0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)
        ]  # fmt: skip

    def test_an_id_in_two_batches_of_one_shard_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DuplicateIdError, match="'id000'"):
            write_all(iter([dataset(3), dataset(1)]), tmp_path / "out")

        assert not list(tmp_path.rglob("*.parquet"))


class TestUnevenColumns:
    """Batches are written with the types that they have together."""

    def test_batches_of_one_shard_have_the_wider_type(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        batches = [dataset(3, score=[1, 2, 3]), renamed(3, score=[0.5] * 3), renamed(3, 6)]
        caplog.set_level("WARNING", "arrowimg")

        group = write_all(iter(batches), tmp_path)

        table = pq.read_table(group.parquet_paths[0])
        assert table.schema.field("score").type == pa.float64()
        assert table["score"].to_pylist() == [1, 2, 3, 0.5, 0.5, 0.5, None, None, None]
        assert [it for it in caplog.messages if "score" in it] == [
            "column 'score' is written as double, of int64 and double in rows 3 to 5"
        ]
        assert json.loads((tmp_path / "manifest.json").read_text())["widened"] == {
            "score": "double"
        }

    @pytest.mark.parametrize("images_per_tar", [2, 3, 4, 1000])
    @pytest.mark.parametrize("values", [[None] * 3, [1] * 3])
    def test_a_first_batch_of_nulls_or_without_a_column_decides_nothing(
        self, tmp_path: Path, images_per_tar: int, values: list[int | None]
    ) -> None:
        first = dataset(3, n=pa.array(values), caption=pa.nulls(3))
        rest = renamed(3, n=[0.5, 1.5, 2.5], caption=["a", None, "b"], extra=[[1]] * 3)

        write_all(iter([first, rest]), tmp_path, images_per_tar=images_per_tar)

        frame = scan(tmp_path).collect()
        assert frame["n"].to_list() == [*values, 0.5, 1.5, 2.5]
        assert frame["caption"].to_list() == [None, None, None, "a", None, "b"]
        assert frame["extra"].to_list() == [None, None, None, [1], [1], [1]]

    def test_members_follow_the_type_of_their_shard(self, tmp_path: Path) -> None:
        batches = [dataset(2, score=[1, 2]), renamed(2, 2, score=[0.5, 1.5])]

        with ShardWriter(tmp_path, members={"txt": "score"}) as writer:
            for batch in batches:
                writer.write(batch)

        with tarfile.open(writer.file_group.tar_paths[0]) as tar:
            texts = [tar.extractfile(it) for it in tar.getnames() if it.endswith(".txt")]
            assert [it.read() for it in texts if it] == [b"1.0", b"2.0", b"0.5", b"1.5"]
        assert verify(tmp_path).is_sound

    def test_a_writer_that_goes_on_writes_the_same_bytes(self, tmp_path: Path) -> None:
        batches = [dataset(3, n=[1] * 3), renamed(3, n=[0.5] * 3), renamed(3, 6, n=[2] * 3)]
        whole = write_all(iter(batches), tmp_path / "whole", images_per_tar=2)
        stopped = iter([*batches[:2], pa.table({"no": ["images"]})])
        with pytest.raises(SchemaError):
            write_all(stopped, tmp_path / "again", images_per_tar=2)

        with ShardWriter(tmp_path / "again", 2, if_exists="skip") as writer:
            for batch in batches:
                writer.write(batch)

        for path in [*map(Path, whole.paths), tmp_path / "whole" / "manifest.json"]:
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()

    def test_a_value_that_the_wider_type_cannot_hold_is_refused(self, tmp_path: Path) -> None:
        with ShardWriter(tmp_path) as writer:
            writer.write(dataset(2, n=[1, 2**53 + 1]))
            with pytest.raises(SchemaError, match="column 'n': expected values that double"):
                writer.write(renamed(2, 2, n=[0.5, 1.5]))

        assert [row["n"] for row in rows_in(tmp_path)] == [1, 2**53 + 1]

    def test_a_column_that_may_be_null_in_one_batch_may_be_in_all(self, tmp_path: Path) -> None:
        table = dataset(4, n=range(4))
        at = table.schema.get_field_index("n")
        strict = table.set_column(at, pa.field("n", pa.int64(), nullable=False), table["n"])

        group = write_all(iter([strict[:2], table[2:]]), tmp_path)

        assert pq.read_schema(group.parquet_paths[0]).field("n").nullable


class TestMetadata:
    FRAME = pl.DataFrame({"image_id": IDS[::-1], "score": list(range(ROWS))[::-1]})

    def test_a_frame_in_any_order_is_joined_by_id(self, tmp_path: Path) -> None:
        write_shards(in_batches(dataset(), 50), tmp_path, 100, metadata=self.FRAME)

        assert [row["score"] for row in rows_in(tmp_path)] == list(range(ROWS))

    def test_members_can_come_from_the_frame(self, tmp_path: Path) -> None:
        group = write_shards(
            dataset(2),
            tmp_path,
            metadata=self.FRAME.tail(2).with_columns(caption=pl.lit("naïve")),
            members={"txt": "caption", "json": ["score", "caption"]},
        )

        with tarfile.open(group.tar_paths[0]) as tar:
            assert tar.getnames() == [
                f"id00{n}.{kind}" for n in (0, 1) for kind in ("jpg", "json", "txt")
            ]
            json_member, text = tar.extractfile("id001.json"), tar.extractfile("id001.txt")
            assert json_member is not None
            assert text is not None
            assert json.load(json_member) == {"score": 1, "caption": "naïve"}
            assert text.read().decode() == "naïve"

    @pytest.mark.parametrize(
        "source",
        [lambda: dataset(3), lambda: in_batches(dataset(3), 2)],
        ids=["in memory", "stream"],
    )
    def test_what_does_not_match_leaves_no_dataset(
        self, tmp_path: Path, source: Callable[[], object]
    ) -> None:
        for frame, offenders in ((self.FRAME.tail(2), {"id002"}), (self.FRAME.tail(4), {"id003"})):
            with pytest.raises(MetadataJoinError) as caught:
                write_shards(source(), tmp_path / "out", metadata=frame)

            assert set(caught.value.image_ids) == offenders
            assert not list(tmp_path.rglob("*.json"))

    def test_images_without_an_id_column_cannot_be_joined(self, tmp_path: Path) -> None:
        with pytest.raises(SchemaError, match="'image_id'"):
            write_shards(dataset(2).drop_columns(["image_id"]), tmp_path, metadata=self.FRAME)

    def test_a_column_on_both_sides_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SchemaError, match="'score'"):
            write_shards(dataset(1, score=[1]), tmp_path, metadata=self.FRAME.tail(1))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgress:
    @pytest.mark.parametrize(
        ("progress", "is_shown"), [(None, False), (False, False), (True, True)]
    )
    def test_a_bar_is_on_stderr_only_where_it_was_asked_for(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        progress: bool | None,  # noqa: FBT001
        is_shown: bool,  # noqa: FBT001
    ) -> None:
        write_shards(dataset(3), tmp_path, progress=progress)

        shown = capsys.readouterr()
        assert shown.out == ""
        assert ("3/3" in shown.err) is is_shown
        assert bool(shown.err) is is_shown

    def test_a_terminal_shows_it_unasked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)

        write_shards(dataset(3), tmp_path)

        assert "3/3" in terminal.getvalue()


def test_ids_may_be_views_into_text_that_are_coded() -> None:
    """As Polars and DuckDB may hand out text that repeats."""
    views = pa.array(["a", "b", "c"], pa.string_view())
    ids = pa.DictionaryArray.from_arrays(pa.array([2, 0, 1]), views)
    batch = ImageBatch(pa.table({"image_id": ids, "image_data": [b"", b"", b""]}))

    assert batch.ids().to_pylist() == ["c", "a", "b"]


def test_pictures_of_several_shapes_may_be_an_array_of_objects() -> None:
    pictures = [np.zeros((8, 8, 3), np.uint8), np.ones((9, 9, 3), np.uint8)]
    objects = np.empty(2, object)
    objects[:] = pictures

    assert ImageBatch.from_arrays(objects).data.equals(ImageBatch.from_arrays(pictures).data)

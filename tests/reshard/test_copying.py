"""Copies with new columns by any key, and copies in splits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import polars as pl
import pytest
from reshard_data import members, source, table
from writer_data import IDS

from arrowimg import merge, reshard, scan, verify, write_shards
from arrowimg._cli.main import main
from arrowimg.errors import MetadataJoinError, OptionError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path


def ids_in(out: Path) -> list[str]:
    ids: list[str] = scan(out).select("image_id").collect()["image_id"].to_list()
    return ids


class TestNewColumns:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_they_may_be_in_a_file_and_joined_on_any_column(
        self, tmp_path: Path, suffix: str
    ) -> None:
        write_shards(table(8, code=[f"0{row}" for row in range(8)]), tmp_path / "old", 3)
        new = pl.DataFrame({"key": [f"0{row}" for row in range(8)], "votes": range(8)}).reverse()
        path = tmp_path / f"votes{suffix}"
        new.write_csv(path) if suffix == ".csv" else new.write_parquet(path)

        reshard(tmp_path / "old", tmp_path / "new", "votes > 2", metadata=path, on=("code", "key"))

        rows = scan(tmp_path / "new").select("image_id", "votes").collect()
        assert rows.rows() == [(IDS[row], row) for row in range(3, 8)]

    def test_what_is_not_there_is_named(self, tmp_path: Path) -> None:
        write_shards(table(3), tmp_path / "old")
        metadata = pl.DataFrame({"key": ["x"], "votes": [1]})

        with pytest.raises(SchemaError, match="'code'"):
            reshard(tmp_path / "old", tmp_path / "new", metadata=metadata, on=("code", "key"))
        with pytest.raises(MetadataJoinError, match="'x'"):
            reshard(tmp_path / "old", tmp_path / "new", metadata=metadata, on=("image_id", "key"))
        with pytest.raises(OptionError, match="on"):
            reshard(tmp_path / "old", tmp_path / "new", on="key")


class TestSplits:
    FRACTIONS: ClassVar = {"train": 0.6, "val": 0.4}

    def test_they_are_those_of_the_writer(self, tmp_path: Path) -> None:
        old = source(tmp_path / "old")
        write_shards(table(20), tmp_path / "written", 4, split=self.FRACTIONS)

        group = reshard(old, tmp_path / "copied", images_per_tar=4, split=self.FRACTIONS)

        assert group.num_images == 20
        for name in self.FRACTIONS:
            folder = tmp_path / "copied" / name
            assert ids_in(folder) == ids_in(tmp_path / "written" / name)
            assert members(folder) == members(tmp_path / "written" / name)
            assert verify(folder).is_sound
            assert json.loads((folder / "manifest.json").read_text())["split"] == name
            assert group.splits[name].num_images == len(ids_in(folder))

    def test_rows_that_are_wanted_are_split_by_a_new_column(self, tmp_path: Path) -> None:
        write_shards(table(40), tmp_path / "old", 7)
        groups = pl.DataFrame({"image_id": IDS[:40], "place": [row // 5 for row in range(40)]})

        reshard(
            tmp_path / "old",
            tmp_path / "new",
            "place > 0",
            metadata=groups,
            split=self.FRACTIONS,
            split_by="place",
            shuffle_seed=1,
        )

        train, val = (
            set(scan(tmp_path / "new" / name).collect()["place"]) for name in self.FRACTIONS
        )
        assert train | val == set(range(1, 8))
        assert train.isdisjoint(val)

    def test_a_copy_of_a_split_is_that_split_and_of_two_is_none(self, tmp_path: Path) -> None:
        write_shards(table(20), tmp_path / "old", split=self.FRACTIONS)
        folders = [tmp_path / "old" / name for name in self.FRACTIONS]

        reshard(folders[1], tmp_path / "one")
        merge(folders, tmp_path / "both")

        assert json.loads((tmp_path / "one" / "manifest.json").read_text())["split"] == "val"
        assert "split" not in json.loads((tmp_path / "both" / "manifest.json").read_text())

    def test_the_command_line_splits_too(self, tmp_path: Path) -> None:
        write_shards(table(20), tmp_path / "old")
        arguments = ["reshard", str(tmp_path / "old"), str(tmp_path / "new")]

        assert main([*arguments, "--split", "train=0.6,val=0.4", "-q"]) == 0
        assert main([*arguments, "--split", "train=0.6,val=0.3", "-q"]) == 2

        assert len(ids_in(tmp_path / "new" / "train") + ids_in(tmp_path / "new" / "val")) == 20

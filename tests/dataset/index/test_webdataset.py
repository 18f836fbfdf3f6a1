"""Indexes of WebDataset, wids and open_clip."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
import webdataset
from index_data import members_in, samples_of, write_batches, write_dataset
from writer_data import IDS

from arrowimg import export_index

# Readers of tars that leave closing to the garbage collector; it runs while this still holds.
LEAVES_FILES_OPEN = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "out")


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    return write_batches(tmp_path / "batches")


def counts_in(folder: Path) -> dict[str, int]:
    return {tar: len(samples_of(members)) for tar, members in members_in(folder).items()}


class TestWebdataset:
    def test_shards_have_their_counts_and_sizes(self, out: Path) -> None:
        export_index(out)
        index = json.loads((out / "webdataset.json").read_bytes())
        counts = counts_in(out)

        assert index == {
            "urls": "images-{000000..000002}.tar",
            "num_shards": 3,
            "num_samples": 18,
            "shards": [
                {"url": tar, "nsamples": count, "filesize": (out / tar).stat().st_size}
                for tar, count in counts.items()
            ],
        }
        assert list(counts.values()) == [7, 7, 4]

    @LEAVES_FILES_OPEN
    def test_webdataset_reads_the_urls(
        self, batches: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        export_index(batches)
        monkeypatch.chdir(batches)
        index = json.loads(Path("webdataset.json").read_bytes())
        samples = list(webdataset.WebDataset(index["urls"], shardshuffle=False))
        gc.collect()

        assert sorted(sample["__key__"] for sample in samples) == IDS[:18]
        assert index["num_samples"] == 18
        assert index["urls"].count("{000000..000002}.tar") == 2


class TestWids:
    def test_every_shard_has_what_wids_asks_for(self, out: Path) -> None:
        export_index(out, ("wids",))
        index = json.loads((out / "wids.json").read_bytes())

        assert (index["__kind__"], index["wids_version"]) == ("wids-shard-index-v1", 1)
        assert {it["url"]: it["nsamples"] for it in index["shardlist"]} == counts_in(out)
        for shard in index["shardlist"]:
            assert shard["filesize"] == (out / shard["url"]).stat().st_size


class TestSizes:
    def test_sizes_are_numbers_of_samples(self, out: Path, batches: Path) -> None:
        for folder in (out, batches):
            export_index(folder, ("sizes",))

            assert json.loads((folder / "sizes.json").read_bytes()) == counts_in(folder)

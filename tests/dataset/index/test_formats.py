"""Indexes for WebDataset, wids, open_clip, DALI and fsspec."""

from __future__ import annotations

import gc
import json
import subprocess
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
import webdataset
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from index_data import members_in, samples_of, write_batches, write_dataset
from writer_data import IDS

from arrowimg import export_index, write_shards
from arrowimg._dataset.index.formats import brace_ranges, fsspec_index

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
    def test_ranges_cover_the_names_in_order(self, names: list[str], ranges: list[str]) -> None:
        expanded = [name for it in ranges for name in webdataset.shardlists.expand_urls(it)]

        assert brace_ranges(names) == ranges
        assert expanded == names


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


class TestDali:
    def test_lines_are_those_of_the_tar(self, out: Path, batches: Path) -> None:
        for folder in (out, batches):
            paths = export_index(folder, ("dali",))

            for path, (tar, members) in zip(paths, members_in(folder).items(), strict=True):
                samples = samples_of(members)
                lines = [
                    " ".join(f"{it.field} {it.offset} {it.size} {it.name}" for it in sample)
                    for sample in samples
                ]
                expected = "\n".join([f"v1.2 {len(samples)}", *lines]) + "\n"
                assert Path(path).read_text(encoding="ascii") == expected
                assert path == str(folder / tar.replace(".tar", ".idx"))

    def test_gnu_tar_finds_the_members_at_the_same_blocks(self, out: Path) -> None:
        export_index(out, ("dali",))
        command = ["tar", "--list", "--block-number", "--file", str(out / "images-000000.tar")]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout

        found = []
        for line in listing.splitlines():
            block, _, name = line.partition(": ")
            if not name.startswith("**"):
                found.append((name, 512 * int(block.removeprefix("block ")) + 512))
        words = [line.split() for line in (out / "images-000000.idx").read_text().splitlines()[1:]]
        indexed = [(line[at + 3], int(line[at + 1])) for line in words for at in range(0, 16, 4)]
        assert indexed == found

    def test_a_tar_of_no_pictures_has_no_index(self, tmp_path: Path) -> None:
        torn = pa.table({"image_id": IDS[:2], "image_data": [b"\xff\xd8\xff"] * 2})
        write_shards(torn, tmp_path, on_error="quarantine")

        assert export_index(tmp_path, ("dali",)) == []


class TestFsspec:
    def test_every_member_is_read_through_its_reference(self, out: Path, batches: Path) -> None:
        for folder in (out, batches):
            export_index(folder, ("fsspec",))
            below = DirFileSystem(str(folder), LocalFileSystem())
            files = fsspec.filesystem("reference", fo=str(folder / "fsspec.json"), fs=below)

            members = {}
            for path in folder.glob("images-*.tar"):
                with tarfile.open(path) as tar:
                    for member in tar:
                        file = tar.extractfile(member)
                        assert file is not None
                        members[member.name] = file.read()
            assert {name: files.cat_file(name) for name in members} == members
            assert sorted(files.references) == sorted(members)

    def test_references_are_in_the_order_of_the_tars(self, out: Path) -> None:
        export_index(out, ("fsspec",))
        index = json.loads((out / "fsspec.json").read_bytes())

        assert index["version"] == 1
        assert list(index["refs"].items()) == [
            (it.name, [it.tar, it.offset, it.size])
            for members in members_in(out).values()
            for it in members
        ]

    @pytest.mark.parametrize("texts", [[], ["", ""], ["", "a", "b"], ["a", "", "b"], ["a", ""]])
    def test_shards_of_no_pictures_leave_no_gap(self, texts: list[str]) -> None:
        entries = (f',"{text}":0'.encode() if text else b"" for text in texts)
        ((_, pieces),) = fsspec_index(entries)

        index = json.loads(b"".join(bytes(piece) for piece in pieces))
        assert index == {"version": 1, "refs": {text: 0 for text in texts if text}}

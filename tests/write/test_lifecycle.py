"""Writers while the world around them changes: working directories, folders that go, forks."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PIXELS = np.zeros((3, 8, 8, 3), np.uint8)


def batch(name: str) -> ImageBatch:
    return ImageBatch.from_arrays(PIXELS, [f"{name}{at}" for at in range(3)])


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return another folder; the working directory is a third."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "elsewhere"


def tars_below(folder: Path) -> set[str]:
    return {path.parent.relative_to(folder).as_posix() for path in folder.rglob("*.tar")}


class TestWorkingDirectory:
    def test_batches_of_a_writer_stay_together(self, elsewhere: Path) -> None:
        def batches() -> Iterator[ImageBatch]:
            yield batch("a")
            os.chdir(elsewhere)
            yield batch("b")

        arrowimg.write_shards(batches(), "out", 3, progress=False)

        assert tars_below(elsewhere.parent) == {"here/out"}
        assert arrowimg.verify(elsewhere.parent / "here" / "out").num_images == 6

    @pytest.mark.parametrize("how", ["same", "pickled", "replaced"])
    def test_batches_of_a_stage_stay_together(self, elsewhere: Path, how: str) -> None:
        stage = ImageWriterStage("out")
        stage.process(batch("a"))
        data = pickle.dumps(stage)
        os.chdir(elsewhere)
        ways: dict[str, Callable[[], ImageWriterStage]] = {
            "same": lambda: stage,
            "pickled": lambda: pickle.loads(data),  # noqa: S301  # made three lines before
            "replaced": lambda: stage.__replace__(verbose=True, images_per_tar=2),
        }
        again = ways[how]()

        group = again.process(batch("b"))

        assert tars_below(elsewhere.parent) == {"here/out"}
        assert again.output_dir == "out"
        assert group.metadata["output_dir"] == "out"

    def test_a_replaced_folder_is_that_of_the_working_directory_now(self, elsewhere: Path) -> None:
        stage = ImageWriterStage("out")
        os.chdir(elsewhere)
        stage.__replace__(output_dir="new").process(batch("a"))

        assert tars_below(elsewhere.parent) == {"elsewhere/new"}

    def test_rows_of_a_scan_are_found_from_anywhere(self, elsewhere: Path) -> None:
        arrowimg.write_shards(batch("a"), "out")
        lazy = arrowimg.scan("out")
        rows = lazy.collect()
        os.chdir(elsewhere)

        assert arrowimg.fetch_images(rows)["image_data"].null_count() == 0
        assert arrowimg.fetch_images(lazy)["image_data"].null_count() == 0


class TestGone:
    @pytest.mark.parametrize("what", ["folder", "images-000000.tar", "images-000001.parquet"])
    def test_no_manifest_lists_what_is_not_there(self, tmp_path: Path, what: str) -> None:
        out = tmp_path / "out"

        def batches() -> Iterator[ImageBatch]:
            for name in "abc":
                yield batch(name)
            if what == "folder":
                shutil.rmtree(out)
            else:
                (out / what).unlink()

        with pytest.raises(StorageError, match="a shard that was committed is gone"):
            arrowimg.write_shards(batches(), out, 3, progress=False)
        assert not (out / "manifest.json").exists()

    def test_no_manifest_lists_a_file_of_another_size(self, tmp_path: Path) -> None:
        def batches() -> Iterator[ImageBatch]:
            yield batch("a")
            yield batch("b")
            os.truncate(tmp_path / "images-000000.tar", 512)

        with pytest.raises(StorageError, match="512 are there"):
            arrowimg.write_shards(batches(), tmp_path, 3, progress=False)
        assert not (tmp_path / "manifest.json").exists()


FORKED = """
import os, sys
import numpy as np
import arrowimg

out = sys.argv[1]
ids = [str(at) for at in range(9)]

def rows():
    return arrowimg.ImageBatch.from_arrays(np.zeros((9, 8, 8, 3), np.uint8), ids)
arrowimg.write_shards(rows(), out, 3, progress=False)
arrowimg.fetch_images(arrowimg.scan(out))  # the threads of Polars are there now
WORK = {
    "write": lambda: arrowimg.write_shards(rows(), out + "-new", 3, progress=False).num_images,
    "process": lambda: arrowimg.ImageWriterStage(out + "-stage", 3).process(rows()).num_images,
    "verify": lambda: arrowimg.verify(out).num_images,
    "batches": lambda: sum(it.num_items for it in arrowimg.read_batches(out)),
    "reshard": lambda: arrowimg.reshard(out, out + "-copy", progress=False).num_images,
    "scan": lambda: arrowimg.scan(out),
    "fetch": lambda: arrowimg.fetch_images(arrowimg.scan(out)),
    "metadata": lambda: arrowimg.write_shards(
        rows(), out + "-joined", metadata=arrowimg.scan(out), progress=False
    ),
}
for name, work in WORK.items():
    child = os.fork()
    if not child:
        try:
            print(name, work(), flush=True)
        except arrowimg.errors.ForkedProcessError:
            print(name, "refused", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell threads apart")
def test_a_forked_process_works_or_says_why_it_cannot(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)

    assert dict(line.split() for line in done.stdout.splitlines()) == {
        **dict.fromkeys(("write", "process", "verify", "batches", "reshard"), "9"),
        **dict.fromkeys(("scan", "fetch", "metadata"), "refused"),
    }


def test_a_process_whose_parent_never_used_polars_may_use_it(tmp_path: Path) -> None:
    program = FORKED.replace(
        "arrowimg.fetch_images(arrowimg.scan(out))  # the threads of Polars are there now", ""
    ).replace("arrowimg.scan(out),", "len(arrowimg.scan(out).collect()),")
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)

    assert "scan 9" in done.stdout

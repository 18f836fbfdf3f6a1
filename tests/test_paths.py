"""What is no path is answered in one way, whatever is called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import arrowimg
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def batch() -> arrowimg.ImageBatch:
    return arrowimg.ImageBatch.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"])


CALLS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "write_shards": ("output_dir", lambda path: arrowimg.write_shards(batch(), path)),
    "ShardWriter": ("output_dir", arrowimg.ShardWriter),
    "ImageWriterStage": ("output_dir", arrowimg.ImageWriterStage),
    "reshard": ("output_dir", lambda path: arrowimg.reshard(path, "new")),
    "reshard to": ("new_dir", lambda path: arrowimg.reshard("old", path)),
    "merge": ("sources", lambda path: arrowimg.merge([path], "new")),
    "merge to": ("new_dir", lambda path: arrowimg.merge(["old"], path)),
    "scan": ("output_dir", arrowimg.scan),
    "read_batches": ("output_dir", lambda path: list(arrowimg.read_batches(path))),
    "verify": ("output_dir", arrowimg.verify),
    "collect_garbage": ("output_dir", arrowimg.collect_garbage),
    "export_index": ("output_dir", arrowimg.export_index),
}


@pytest.mark.parametrize("path", [5, None, b"out", ["out"], "https://host/out", "a\0b"])
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_path_is_refused(call: str, path: object) -> None:
    argument, made = CALLS[call]

    with pytest.raises(OptionError) as caught:
        made(path)

    assert (caught.value.option, caught.value.found) == (argument, path)


class Folder:
    """A path as other libraries have them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_any_path_will_do(tmp_path: Path) -> None:
    out, new = Folder(tmp_path / "out"), Folder(tmp_path / "new")

    group = arrowimg.write_shards(batch(), out)
    arrowimg.reshard(out, new)
    arrowimg.merge([out], Folder(tmp_path / "merged"))
    stage = arrowimg.ImageWriterStage(Folder(tmp_path / "stage"))

    assert group.metadata["output_dir"] == os.fspath(out)
    assert arrowimg.verify(new).is_sound
    assert arrowimg.scan(new).collect().height == 2
    assert stage.process(batch()).metadata["output_dir"] == str(tmp_path / "stage")
